// What stands above and below every stored run: its title and what can be done with it, and how it was measured.
import { html, nothing } from '../web/vendor/lit-html.js';
import { bytes } from '../web/format.js';
import { linkButton } from '../web/parts.js';
import { files } from './files.js';

export const whenLong = (s) => new Date(s * 1e3).toLocaleString([], { year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
const minute = (s) => Math.floor(s / 60);

// Where the answers of a comparison were not all measured with the run: when they were.
const older = (v) => {
  const times = v.how.measured.map(([, at]) => at);
  if (!times.some((at) => v.created - at > 60)) return nothing;
  const [low, high] = [Math.min(...times), Math.max(...times)];
  return html`<span>${minute(low) === minute(high) ? `answers measured ${whenLong(low)}` : `answers measured from ${whenLong(low)} to ${whenLong(high)}`}</span>`;
};

// acts: what the owner can do with the run.
export const head = (v, acts) => html`
  <header class="rn-head">
    <div class="words">
      <p class="rn-kind">${v.kind_words}</p><h2>${v.title}</h2>
      <p class="rn-line quiet"><span>${v.model}</span><span>${whenLong(v.created)}</span>${older(v)}${v.revoked ? html`<span class="rn-revoked">the link is revoked: only you can open this run</span>` : nothing}</p>
      ${v.note ? html`<p class="rn-said">${v.note}</p>` : nothing}
    </div>
    <div class="rn-acts">${acts}${files(v.id)}${linkButton(v.id)}</div>
  </header>`;

const facts = (title, pairs) => (pairs.length ? html`
  <section class="rn-facts"><h4>${title}</h4><dl>${pairs.map(([name, words]) => html`<dt>${name}</dt><dd>${words}</dd>`)}</dl></section>` : nothing);
const cell = (name, words) => html`<td data-name=${name}>${words || '–'}</td>`;
const variants = (rows) => html`
  <div class="rn-wrap"><table class="rn-variants">
    <thead><tr>${['Variant', 'Made by', 'On disk', 'Bits per weight', 'Engine', 'Weights'].map((words) => html`<th scope="col">${words}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>
      <th scope="row"><b>${row.label}</b><span class="id">${row.id}</span></th>
      ${cell('Made by', row.made)}${cell('On disk', row.bytes ? bytes(row.bytes) : '')}${cell('Bits per weight', row.bits?.toFixed(2))}
      ${cell('Engine', row.engine && [row.engine, row.dtype].filter(Boolean).join(' · '))}
      <td class="hash" data-name="Weights" data-tip=${row.hash ? `Content hash of the weights: ${row.hash}` : nothing}>${row.hash ? row.hash.slice(0, 12) : '–'}</td></tr>`)}</tbody>
  </table></div>`;

export const how = (v) => html`
  <section class="rn-how" aria-label="How this was measured">
    <div class="ui-section"><h3>How this was measured</h3><span class="quiet">${whenLong(v.created)}</span></div>
    <div class="rn-grid">
      ${facts('Settings', v.how.settings)}${facts('Machine', v.how.device)}
      ${facts('Answers measured', v.how.measured.map(([label, at]) => [label, whenLong(at)]))}
      ${facts('Time', v.how.time)}${facts('Versions', v.how.versions)}
    </div>
    ${v.how.variants.length ? variants(v.how.variants) : nothing}
    ${v.prompt?.length ? html`<details class="rn-before"><summary>Messages before the prompt</summary>${v.prompt.map(([role, text]) => html`<div><span class="quiet">${role}</span><pre>${text}</pre></div>`)}</details>` : nothing}
  </section>`;
