// One evaluation or divergence: the verdict, its warnings, tables, plots, and the items. For any page that shows a run:
//
//   evaluationView(root, value, { runId, bare }) draws into `root`
//     value   what `GET api/evaluate/run?id=` returns, also the `evaluation` of a stored run's page
//     runId   of the run whose items and plots are asked for, by default `value.id`
//     bare    without the heading and without "How it was measured", where the page around it has both
import { html, nothing, render } from '../web/vendor/lit-html.js';
import { bytes, between, plural, seconds, when } from '../web/format.js';
import { linkButton } from '../web/parts.js';
import '../web/tooltip.js';
import { divergenceTable } from './divergence.js';
import { itemsBrowser } from './items.js';
import { plots } from './plots.js';
import { verdictTable } from './table.js';

export const evaluationView = (root, value, { runId = value.id, bare = false } = {}) => {
  root.classList.add('ev-view');
  const labels = value.variants.map((v) => v.label);
  const title = labels.length > 1 ? `${labels.slice(1).join(', ')} against ${labels[0]}` : labels[0] || value.title;
  render(html`
    ${bare ? nothing : html`<div class="ui-section"><h3>${title}</h3><span class="quiet">${value.model} · ${when(value.created)}</span>${linkButton(runId)}</div>`}
    ${verdict(value)}
    ${warnings(value)}
    ${value.rows.length ? verdictTable(value) : nothing}
    ${value.divergence.length > 1 ? divergenceTable(value) : nothing}
    ${plots(runId)}
    ${value.rows.length ? itemsBrowser(value, runId) : nothing}
    ${bare ? nothing : measured(value)}`, root);
};

const verdict = ({ verdict: sentences }) => html`
  <section class="ev-verdict" aria-label="Verdict">
    ${sentences.length ? sentences.map((one) => html`<div class="ev-said ${one.kind}"><p>${one.text}${one.rest ? html`<span class="rest"> ${one.rest}</span>` : nothing}</p>${one.note ? html`<span class="note">${one.note}</span>` : nothing}</div>`)
      : html`<div class="ev-said same"><p>Only the reference was measured: there is nothing to compare.</p></div>`}
  </section>`;

// One list, what withholds a verdict first.
const warnings = ({ warnings: found, variants }) => {
  if (!found.length) return nothing;
  const withheld = found.filter((one) => one.withholds).length;
  const where = (one) => [one.variants.length < variants.length ? one.variants.join(', ') : '', one.tasks.join(', ')].filter(Boolean).join(' on ');
  return html`
    <section class="ev-warnings ${withheld ? 'withholds' : ''}" aria-label="Warnings">
      <h4>${plural(found.length, 'warning')}${withheld ? html`<span class="quiet">, ${withheld} of them ${withheld === 1 ? 'withholds' : 'withhold'} a verdict</span>` : nothing}</h4>
      <ul>${found.map((one) => html`
        <li class="ev-warning ${one.withholds ? 'withholds' : ''}">
          <b>${one.withholds ? 'No verdict' : 'Caution'}${where(one) ? ': ' : ''}</b><span class="where">${where(one)}</span><span class="said">${one.texts[0]}</span>
          ${one.texts.length > 1 ? html`<details><summary>${plural(one.texts.length - 1, 'similar warning')}</summary><ul>${one.texts.slice(1).map((text) => html`<li>${text}</li>`)}</ul></details>` : nothing}
        </li>`)}</ul>
    </section>`;
};

const measured = (value) => {
  const { total, ...stages } = value.seconds, expected = value.estimate?.seconds;
  const time = [Number.isFinite(total) && `${seconds(total)} in all`, expected && `expected ${value.estimate.missing.length ? 'at least ' : ''}${between(expected)}${value.estimate.resumed ? ' for the whole: it continued an interrupted job' : ''}`].filter(Boolean).join(' · ');
  const facts = [
    ['Conditions', value.conditions.join(' · ')],
    ['Machine', value.device.join(' · ')],
    ['Time', time],
    ['of which', Object.entries(stages).filter(([, s]) => Number.isFinite(s)).map(([name, s]) => `${name} ${seconds(s)}`).join(' · ')],
    ...value.variants.map((v) => [v.label, [v.id, v.engine, v.dtype, v.kernel, v.loaded_bytes && `${bytes(v.loaded_bytes)} loaded`, v.content_hash && `weights ${v.content_hash.slice(0, 12)}`, v.template_hash && `template ${v.template_hash.slice(0, 12)}`].filter(Boolean).join(' · ')]),
  ];
  return html`
    <details class="ev-how"><summary>How it was measured<span class="quiet"> · ${value.conditions.join(' · ')}</span></summary>
      <dl>${facts.filter(([, words]) => words).map(([name, words]) => html`<dt>${name}</dt><dd>${words}</dd>`)}</dl></details>`;
};
