// Divergence in full: every measure of every variant, the noise floor among them.
import { html, nothing } from '../web/vendor/lit-html.js';
import { card } from './card.js';
import { count, known, nats } from './words.js';

const percent = (v, digits = 1) => `${(100 * v).toFixed(digits)}%`;
const signed = (v) => `${v > 0 ? '+' : v < 0 ? '−' : '±'}${Math.abs(100 * v).toFixed(2)}%`;

// [name, below it, what it is, value, and what stands below the value]
const COLUMNS = [
  ['Perplexity', '', 'The exponential of the mean negative log-likelihood of the text: lower is better.', (r) => +r.ppl.toPrecision(4)],
  ['ratio', 'to the reference', 'Perplexity divided by the reference’s. 1 means no change.', (r) => r.ppl_ratio.toFixed(4)],
  ['KLD', 'mean ± SE, nats', 'Kullback-Leibler divergence of the next-token distribution from the reference’s, mean over the text. The standard error is clustered by document.', (r) => nats(r.kld_mean), (r) => (known(r.kld_stderr) && r.kld_mean ? `± ${nats(r.kld_stderr)}` : '')],
  ['median', 'nats', 'Half of the tokens diverge less.', (r) => nats(r.kld_median)],
  ['p90', 'nats', '90% of the tokens diverge less.', (r) => nats(r.kld_p90)],
  ['p99', 'nats', '99% of the tokens diverge less.', (r) => nats(r.kld_p99)],
  ['p99.9', 'nats', '99.9% of the tokens diverge less.', (r) => nats(r.kld_p999)],
  ['max', 'nats', 'The token that diverges most.', (r) => nats(r.kld_max)],
  ['Same top', 'of all tokens', 'Share of positions where both have the same most probable token.', (r) => percent(r.top1_agreement)],
  ['Δp', 'mean', 'Change in the probability of the actual next token. Below 0: less confident about the text.', (r) => signed(r.dp_mean)],
  ['Δp', 'RMS', 'Root mean square of that change.', (r) => percent(r.dp_rms, 2)],
];

export const divergenceTable = (value) => {
  const label = (row) => value.variants.find((v) => v.id === row.variant)?.label || row.variant;
  const [reference, ...others] = value.divergence;
  const line = (row, words, cls) => html`
    <tr class=${cls}>
      <th scope="row" class="who ${cls === 'noise' ? 'tipped' : ''}" tabindex=${cls === 'noise' ? 0 : nothing} data-tip=${cls === 'noise' ? 'The reference against itself, computed in another number type. A divergence no larger than this cannot be told from rounding.' : nothing}>
        <b>${words}</b>${cls === 'reference' ? html`<i class="role">reference</i>` : nothing}</th>
      ${COLUMNS.map(([name, small, , text, more]) => {
        const none = cls === 'reference' && name !== 'Perplexity';
        return html`<td data-name="${name}${small && small !== 'nats' ? `, ${small}` : ''}">${none ? html`<span class="none">–</span>` : html`<span>${text(row)}</span>${more?.(row) ? html`<small>${more(row)}</small>` : nothing}`}</td>`;
      })}
    </tr>`;
  const table = html`
    <div class="ev-wrap" tabindex="0" role="region" aria-label="Divergence table"><table class="ev-moved">
      <thead><tr><th class="who" scope="col">Variant</th>${COLUMNS.map(([name, small, tip]) => html`<th scope="col"><span class="tipped" tabindex="0" data-tip=${tip}>${name}</span><small>${small}</small></th>`)}</tr></thead>
      <tbody>${line(reference, label(reference), 'reference')}${value.floor ? line(value.floor, 'Noise floor', 'noise') : nothing}
        ${others.map((row) => line(row, label(row), value.floor && row.kld_mean <= value.floor.kld_mean ? 'within' : ''))}</tbody>
    </table></div>`;
  const note = `${count(reference.tokens)} tokens of ${reference.documents} document${reference.documents === 1 ? '' : 's'}, over the whole vocabulary; this measures distance, not quality`;
  return card('Divergence', note, table);
};
