// A part of an evaluation's page.
import { html, nothing } from '../web/vendor/lit-html.js';

export const card = (title, note, content, { acts = nothing, cls = '' } = {}) => html`
  <section class="ev-card ${cls}" aria-label=${title}>
    <div class="ev-card-head"><h3>${title}</h3><span class="quiet">${note}</span>${acts}</div>
    ${content}
  </section>`;
