// What a variant gained and what rounding cost, from its row and its card alone: the numbers first, the checks last.
import { html, nothing } from '../web/vendor/lit-html.js';
import { between, bytes, seconds, share, small } from '../web/format.js';
import { copy, download } from '../web/parts.js';
import { plot, unplot } from '../web/plot.js';

// <qz-heat .data=${{ spec, alt, high, name }}>: drawn again only when the data are others.
class Heat extends HTMLElement {
  set data(data) {
    if (JSON.stringify(data) === JSON.stringify(this.now)) return;
    this.now = data;
    if (this.isConnected) this.connectedCallback();
  }

  connectedCallback() { if (this.now) plot(this, this.now.spec, { alt: this.now.alt, name: this.now.name }); }

  disconnectedCallback() { unplot(this); }
}
customElements.define('qz-heat', Heat);

const number = (words, value, under = '', tip = '', cls = '') => html`
  <div class="qz-num ${cls}" data-tip=${tip || nothing} tabindex=${tip ? 0 : nothing}><b>${value}</b><span>${words}</span><small>${under}</small></div>`;
const against = (actual, guess) => {
  const part = (actual - guess) / guess;
  return Math.abs(part) < 0.0005 ? 'as estimated' : `${part > 0 ? '+' : '−'}${Math.abs(100 * part).toFixed(Math.abs(part) < 0.1 ? 1 : 0)}% against the estimate`;
};
const within = (actual, [low, high], words) => (actual < low ? `below the estimate of ${words}` : actual > high ? `above the estimate of ${words}` : `within the estimate of ${words}`);

export const numbers = (row, card) => {
  const guess = card.estimate, ratio = row.before ? row.before / row.after : 0;
  return html`<div class="qz-nums">
    ${number('on disk, weights', bytes(row.after), [row.before && `from ${bytes(row.before)}`, guess && against(row.after, guess.after)].filter(Boolean).join(' · '), 'All tensors of the checkpoint.', 'first')}
    ${ratio ? number(ratio >= 1 ? 'smaller' : 'larger', `${(ratio >= 1 ? ratio : 1 / ratio).toFixed(2)}×`, 'compression ratio', 'Of the whole checkpoint. The embedding and whatever else is not quantized keep their 16 bits, so this is less than the ratio of the bits.') : nothing}
    ${number('bits per weight', row.bits.toFixed(2), row.bits_before ? `from ${row.bits_before.toFixed(1)}` : '', 'All tensors in bits, divided by the number of parameters. It includes what keeps 16 bits, such as the embedding.')}
    ${row.seconds ? number('to make', seconds(row.seconds), guess?.seconds ? within(row.seconds, guess.seconds, between(guess.seconds)) : '', Object.entries(card.stages).map(([stage, s]) => `${stage} ${seconds(s)}`).join(', ')) : nothing}
    ${row.peak ? number('peak memory', bytes(row.peak), guess ? within(row.peak, guess.peak, guess.peak.map((n) => bytes(n)).join('–')) : '') : nothing}
  </div>`;
};

// One colour scale for all variants of the page: equal colours are equal errors.
export const heat = (card, name) => (card.heat ? html`
  <section class="qz-where">
    <div class="qz-text-head"><h4>Where rounding lost most</h4>
      <span class="qz-scale" data-tip="Relative error of a layer’s weight. All variants of this page share the scale, so equal colours mean equal errors." tabindex="0"><span>0%</span><i class="ramp"></i><span>${share(card.heat.high)}, one scale for all variants</span></span></div>
    <p class="quiet">${card.hurt}</p>
    <qz-heat .data=${{ ...card.heat, name }}></qz-heat>
  </section>` : card.hurt ? html`<section class="qz-where"><h4>Where rounding lost most</h4><p class="quiet">${card.hurt}</p></section>` : nothing);

export const checks = (row, card) => {
  const r = row.reload, notes = [card.calibration && `Calibrated on ${card.calibration}.`, ...card.notes].filter(Boolean);
  return html`<section class="qz-checks">
    ${r ? html`<h4>Save/reload check (not a comparison with the original)</h4>
      <div class="qz-nums small">
        ${r.top1_agreement === undefined ? nothing : number('same top token', r.top1_agreement === 1 ? '100%' : share(r.top1_agreement), '', 'On fixed prompts: the saved checkpoint, loaded in a new process, against the quantized model that was in memory.')}
        ${r.kld_mean === undefined ? nothing : number('mean KLD, nats', small(r.kld_mean), '', 'Divergence of the saved checkpoint from the quantized model that was in memory. It should be 0.')}
        ${r.max_abs_logit_difference === undefined ? nothing : number('largest logit difference', small(r.max_abs_logit_difference))}
      </div>`
      : html`<h4>Read back from the file</h4>
      <p class="quiet">${card.layers.length ? `${card.layers.length} quantized tensors were re-read and compared with the original (errors above). See its answers in Compare.` : 'No tensor was compared: the file has 16-bit values, or was made before this was measured. See its answers in Compare.'}</p>`}
    ${notes.length ? html`<ul class="qz-notes">${notes.map((words) => html`<li>${words}</li>`)}</ul>` : nothing}
  </section>`;
};

const copies = (text, label) => html`<button type="button" class="ui-small" aria-label=${label} @click=${(e) => copy(text, e.currentTarget)}>Copy</button>`;
const files = (name, text, kind, words, label) => html`<button type="button" class="ui-small" aria-label=${label} @click=${() => download(name, text, kind)}>${words}</button>`;

export const remake = (row, card) => html`<div>
  <div class="qz-text"><div class="qz-text-head"><h4>The same on the command line</h4>${copies(card.command, 'Copy the command')}</div>
    <pre tabindex="0">${card.command}</pre>
    ${card.pasted ? html`<p class="quiet">The calibration text was pasted: save it to a file and write the file’s name instead of “pasted”.</p>` : nothing}</div>
  ${row.path ? html`<div class="qz-path"><span class="quiet">Folder</span><code>${row.path}</code>${copies(row.path, 'Copy the folder')}</div>` : nothing}</div>`;

export const recipe = (row, card) => {
  const file = row.name.replace(/[^\w.-]+/g, '-');
  return html`<div class="qz-text"><div class="qz-text-head"><h4>Recipe</h4>${copies(card.recipe, 'Copy the recipe')}
    ${files(`${file}-recipe.yaml`, card.recipe, 'application/yaml', 'recipe.yaml', 'Download the recipe')}
    ${files(`${file}-card.json`, JSON.stringify(card.json), 'application/json', 'card.json', 'Download all numbers')}</div>
    <pre tabindex="0">${card.recipe}</pre></div>`;
};
