// The verdict: a sentence first, then ratios, caveats where the numbers stand; and the link to the stored run.
import { html, nothing } from '../web/vendor/lit-html.js';
import { percent } from '../web/format.js';
import { linkButton, runPath } from '../web/parts.js';
import { nats } from './tokens.js';

const figure = (value, name, tip) => html`<div class="ratio" data-tip=${tip}><b>${value}</b><span>${name}</span></div>`;
const ratio = (value, name, tip) => figure(value === null || value === undefined ? '–' : `${value.toFixed(2)}×`, name, tip);

const outcome = (o) => html`<div class="outcome"><div class="say">
  <p><b>${o.headline}</b>${o.detail ? html`<span> ${o.detail}</span>` : nothing}</p>
  ${o.explanation ? html`<p class="because">${o.explanation}</p>` : nothing}
  <p class="caveats">${o.divergence ? html`<span class="apart">${o.divergence.words}</span>` : nothing}${o.caveats.map((words) => html`<span>${words}</span>`)}</p>
</div><div class="ratios">
  ${ratio(o.size, 'size', 'Bytes of the checkpoint, over the reference’s. Lower is smaller.')}
  ${ratio(o.memory, 'memory', 'Peak memory while answering, over the reference’s. Lower is less.')}
  ${ratio(o.decode, 'decode speed', o.interval ? `Tokens per second, over the reference’s. 95% interval of this run: ${o.interval[0].toFixed(2)} to ${o.interval[1].toFixed(2)}×.` : 'Too few tokens to tell.')}
  ${o.divergence && o.divergence.kld !== null ? html`
    ${figure(nats(o.divergence.kld), 'mean KLD, nats', 'How far its distribution is from the reference’s, token by token over the reference’s own answer. 0 is the same; this prompt only.')}
    ${figure(percent(o.divergence.agreement), 'same top token', 'Share of the reference’s tokens at which both have the same most probable token. This prompt only.')}` : nothing}
</div></div>`;

const links = new Map(); // one button with its "Copied" per run
const link = (run) => {
  if (!links.has(run)) { links.clear(); links.set(run, linkButton(run)); }
  return links.get(run);
};

// `{ outcomes, words }` of the stream's row, and the id of the stored run or ''.
export const verdict = ({ outcomes = [], words = '' }, run = '') => html`
  <section class="verdict ${outcomes.length ? '' : 'none'}" aria-label="Verdict">
    ${outcomes.length ? outcomes.map(outcome) : html`<p class="quiet">${words}</p>`}
    ${run ? html`<p class="saved quiet"><span>Saved as a run:</span> <a href=${runPath(run)}>Open</a> <span>·</span> ${link(run)}</p>` : nothing}
  </section>`;
