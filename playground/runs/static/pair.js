// Two stored runs side by side: what was done differently, each number of both, and the answers of comparisons.
import { html, nothing } from '../web/vendor/lit-html.js';
import { bytes, fig, seconds } from '../web/format.js';
import { linkButton, runPath } from '../web/parts.js';
import { nats } from '../compare/tokens.js';
import { whenLong } from './head.js';

const NAMES = { Settings: ['setting', 'settings'], Machine: ['fact about the machine', 'facts about the machine'], Versions: ['version', 'versions'], Variants: ['variant', 'variants'], Prompt: ['prompt', 'prompts'] };

const figure = (value, unit) => {
  if (value === null || value === undefined) return '–';
  if (unit === 'bytes') return bytes(value);
  if (unit === 'tokens') return String(value);
  if (unit === '%') return `${value.toFixed(1)}%`;
  if (unit === 'nats') return nats(value);
  if (unit === 's') return seconds(value);
  return fig(value);
};
const signed = (text, value) => (value > 0 ? `+${text}` : value < 0 ? `−${text}` : text);
const moved = (cell) => {
  if (cell.moved === null) return '';
  const size = Math.abs(cell.moved);
  if (cell.change === 'percent') return signed(`${size < 9.95 ? size.toFixed(1) : Math.round(size)}%`, Math.round(10 * cell.moved));
  if (cell.change === 'points') return `${signed(size.toFixed(1), Math.round(10 * cell.moved))} points`;
  const text = figure(size, cell.unit);
  return text === '0' ? text : signed(text, cell.moved);
};
const own = ({ diff, interval, n, verdict }) => {
  const one = (value) => signed(Math.abs(value).toFixed(1), Math.round(10 * value));
  const tip = `Compared with the reference of the same run, n = ${n}: ${verdict}.${interval ? ' In brackets: the 95% interval.' : ''}`;
  return html`<small class="own" data-tip=${tip}>${interval ? `${one(diff)} [${one(interval[0])}, ${one(interval[1])}]` : one(diff)}</small>`;
};
const side = (cell, name) => {
  const spread = cell[`${name}_spread`], difference = cell[`${name}_own`];
  return html`<span class="side"><i>${name.toUpperCase()}</i><b>${figure(cell[name], cell.unit)}</b>${spread === null || spread === undefined ? nothing : html`<small> ± ${figure(spread, cell.unit)}</small>`}${difference ? own(difference) : nothing}</span>`;
};
const tableCell = (cell, name, shared) => {
  if (cell.a === null && cell.b === null) return html`<td data-name=${name}><span class="none">–</span></td>`;
  const words = shared ? '' : moved(cell) || (cell.a === null ? 'only in B' : cell.b === null ? 'only in A' : '');
  return html`<td data-name=${name}>${side(cell, 'a')}${side(cell, 'b')}<span class="moved">${words}</span></td>`;
};
const SHARED = 'Both runs contain the same answer: it was measured once.';
const table = (one) => html`
  <section class="ev-card" aria-label=${one.title}>
    <div class="ev-card-head"><h3>${one.title}</h3><span class="quiet">${one.note}</span></div>
    <div class="rn-wrap"><table class="rp-table">
      <thead><tr><th scope="col">Variant</th>${one.columns.map((words) => html`<th scope="col">${words}</th>`)}</tr></thead>
      <tbody>${one.lines.map((line) => html`<tr>
        <th scope="row"><b>${line.name}</b>${line.id && line.id !== line.name ? html`<span class="id">${line.id}</span>` : nothing}${line.shared ? html`<span class="rp-shared">${SHARED}</span>` : nothing}</th>
        ${line.cells.map((cell, at) => tableCell(cell, one.columns[at], line.shared))}</tr>`)}</tbody>
    </table></div>
  </section>`;

const answer = (text, begins, name) => (text === null ? html`<div class="rp-answer none"><i>${name}</i><p>not in this run</p></div>`
  : html`<div class="rp-answer"><i>${name}</i><p>${begins}${text ? html`<mark>${text}</mark>` : nothing}</p></div>`);
const answers = (rows) => html`
  <section class="ev-card" aria-label="Answers">
    <div class="ev-card-head"><h3>Answers</h3><span class="quiet">highlighted from the first difference on</span></div>
    ${rows.map((row) => html`<h4 class="rp-who">${row.name}<span class="quiet">${row.shared ? SHARED : row.a === '' && row.b === '' ? 'The texts are the same.' : ''}</span></h4>
      <div class="rp-two">${answer(row.a, row.begins, 'A')}${answer(row.b, row.begins, 'B')}</div>`)}
  </section>`;

const changed = (groups) => {
  const rows = groups.flatMap((group) => group.changed.map((one) => [group.name, ...one]));
  const same = groups.filter((group) => group.same).map((group) => `${group.same} ${NAMES[group.name][group.same === 1 ? 0 : 1]}`).join(', ');
  return html`
    <section class="ev-card" aria-label="What was done differently">
      <div class="ev-card-head"><h3>${rows.length ? 'What was done differently' : 'Nothing was done differently'}</h3><span class="quiet">${same ? `the same: ${same}` : ''}</span></div>
      ${rows.length ? html`<dl class="rp-changed">${rows.map(([group, name, before, after]) => html`
        <dt><span class="quiet">${group}</span><b>${name}</b></dt>
        <dd class=${before === null ? 'none' : ''}><i>A</i><span>${before ?? 'not there'}</span></dd>
        <dd class=${after === null ? 'none' : ''}><i>B</i><span>${after ?? 'not there'}</span></dd>`)}</dl>` : nothing}
    </section>`;
};

export const pair = (v) => {
  const [first, second] = v.runs, tables = v.tables.filter((one) => one.lines.length);
  return html`
    <header class="rn-head">
      <div class="words"><p class="rn-kind">Two runs side by side</p><h2>${v.same_kind ? `${first.kind_words}: A and B` : `${first.kind_words} and ${second.kind_words.toLowerCase()}`}</h2></div>
      <div class="rn-acts"><a class="ui-quiet" href=${runPath(second.id, first.id)}>Swap A and B</a>${linkButton(first.id, second.id)}</div>
    </header>
    <div class="rp-two">${v.runs.map((run, at) => html`
      <article class="rp-side ${at ? 'is-b' : ''}"><i class="mark">${'AB'[at]}</i><a href=${runPath(run.id)}>${run.title}</a><p class="quiet">${run.model} · ${whenLong(run.created)}</p>${run.note ? html`<p class="rn-said">${run.note}</p>` : nothing}</article>`)}</div>
    ${v.same_kind ? nothing : html`<div class="ui-empty">These runs are of different kinds, so their numbers cannot be compared.</div>`}
    ${tables.map(table)}${tables.length ? html`<p class="quiet rp-claim">${v.claim}</p>` : nothing}
    ${v.answers.length ? answers(v.answers) : nothing}
    ${changed(v.changed.groups)}`;
};
