// Plots of a report, one card each: title, legend, picture, caption. A plot is { title, spec, caption, alt, keys }.
import { html, nothing, render } from './vendor/lit-html.js';
import { plot } from './plot.js';

export const plots = (element, list) => {
  render(html`${list.map((one) => html`
    <figure class="pg-figure" aria-label=${one.title}>
      <figcaption><h3>${one.title}</h3>${one.keys.length ? html`<span class="keys">${one.keys.map(([look, words]) => html`<span class="key"><i class="look ${look}" aria-hidden="true"></i>${words}</span>`)}</span>` : nothing}</figcaption>
      <div class="area"></div>
      ${one.caption ? html`<p class="quiet">${one.caption}</p>` : nothing}
    </figure>`)}`, element);
  element.querySelectorAll('.area').forEach((area, at) => plot(area, list[at].spec, { alt: list[at].alt || list[at].title, name: list[at].title.toLowerCase().replace(/\W+/g, '-') }));
};
