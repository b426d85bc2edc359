// Plots of a run: specifications of the server, asked for when they come near.
import { html, nothing, ref, render } from '../web/vendor/lit-html.js';
import { get } from '../web/api.js';
import { notice, select, variantColour } from '../web/parts.js';
import { plot } from '../web/plot.js';
import { card } from './card.js';

export const plots = (runId) => html`<div class="ev-plots" ${ref((area) => { if (area && area.dataset.run !== runId) begin(area, runId); })}></div>`;

const begin = (area, runId) => {
  area.dataset.run = runId;
  render(html`<p class="quiet">Reading the plots…</p>`, area);
  const near = new IntersectionObserver(async (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    near.disconnect();
    try {
      const found = await get(`api/evaluate/plots?${new URLSearchParams({ id: runId })}`);
      if (area.dataset.run === runId) show(area, found);
    } catch (error) { render(notice(error), area); }
  }, { rootMargin: '600px' });
  near.observe(area);
};

const drawn = (found, name = found.title) => html`<div class="ev-plot" ${ref((element) => {
  if (!element || element.spec === found.spec) return;
  element.spec = found.spec;
  plot(element, found.spec, { alt: found.alt, name });
})}></div>`;

// [look, words]: "ref" or "variantN", as in report/plots.py.
const colour = (look) => (look === 'ref' ? variantColour(0) : look.startsWith('variant') ? variantColour(Number(look.slice(7))) : null)?.colour;
const legend = (keys) => (keys.length ? html`<ul class="ev-key">${keys.map(([look, words]) => html`<li><i class=${look} ${ref((dot) => { if (dot && colour(look)) dot.style.setProperty('background', colour(look)); })}></i>${words}</li>`)}</ul>` : nothing);

const show = (area, { tradeoff, spread, confidence, scores }) => {
  let axis = tradeoff[0]?.key;
  const sized = () => {
    const found = tradeoff.find((one) => one.key === axis);
    return card('Size, speed and quality', found.plot?.caption || '', html`
      <div class="ev-axis">${select(tradeoff.map((one) => [one.key, one.words]), axis, (key) => { axis = key; draw(); }, 'Vertical axis')}<p class="ev-frontier quiet">${found.said}</p></div>
      ${found.plot ? html`${drawn(found.plot)}${legend(found.plot.keys)}` : nothing}`, { cls: 'sized' });
  };
  const one = (found, cls) => (found ? card(found.title, found.caption, html`${drawn(found)}${legend(found.keys)}`, { cls }) : nothing);
  const draw = () => render(html`
    ${tradeoff.length ? sized() : nothing}
    ${one(spread, 'spread')}
    ${one(confidence, 'confidence wide')}
    ${scores.length ? card('Scores', 'error bars: 95% confidence; dashed line: the reference; ▼ worse, ▲ better', html`
      <div class="ev-multiples">${scores.map((found) => html`<div class="multiple"><p class="name">${found.title} <span class="quiet">${found.caption}</span></p>${drawn(found)}</div>`)}</div>`, { cls: 'scores wide' }) : nothing}`, area);
  draw();
};
