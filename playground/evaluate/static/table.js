// The verdict table: a row per variant, the reference first in every order. A cell has the figure; a click opens the rest.
import { html, nothing, ref, render, svg } from '../web/vendor/lit-html.js';
import { bytes, fig } from '../web/format.js';
import { copy, download, select } from '../web/parts.js';
import { card } from './card.js';
import { chance, count, known, moved, nats, score, unit, withUnit } from './words.js';

const WORDS = { worse: 'worse', better: 'better', 'not distinguishable': 'not distinguishable', withheld: 'no verdict', reference: 'reference' };
const KINDS = { worse: 'worse', better: 'better', 'not distinguishable': 'same', withheld: 'withheld', reference: 'reference' };
const FILTERS = [['', 'every verdict'], ['worse', 'worse somewhere'], ['not distinguishable', 'not distinguishable on any task'], ['better', 'better somewhere'], ['withheld', 'no verdict somewhere']];

const rowOf = (view, variant, task) => view.rows.find((row) => row.variant === variant && row.task === task);
const kldOf = (view, variant) => view.divergence.find((row) => row.variant === variant);
const engines = (view) => [...new Set(view.variants.map((v) => v.speed?.engine).filter(Boolean))];

// What a column sorts by, smaller first; `down`: larger first.
const columnsOf = (view) => [
  { key: 'size', words: 'Size', small: 'on disk', value: (v) => v.bytes, tip: 'All tensors of the checkpoint. For a variant that is quantized while loading: the size it would have.' },
  { key: 'bits', words: 'Bits', short: 'Bits/weight', small: 'per weight', value: (v) => v.bits_per_weight, tip: 'Bits of all tensors divided by the number of parameters. Tensors that stay in 16 bits count too.' },
  ...(view.variants.some((v) => v.speed) ? [{ key: 'speed', words: 'Decode', short: 'Decode, tok/s', small: engines(view).length === 1 ? `tok/s in ${engines(view)[0]}` : 'tok/s', value: (v) => v.speed?.decode_tok_s ?? null, down: true, tip: 'Tokens per second of one generation, mean ± standard deviation. It is the speed of this engine with this variant: another engine may have kernels that this one lacks.' }] : []),
  ...(view.divergence.length ? [{ key: 'kld', words: 'KLD', short: 'KLD, nats', small: 'nats, mean', value: (v) => kldOf(view, v.id)?.kld_mean ?? null, tip: 'Kullback-Leibler divergence of the next-token distribution from the reference’s, mean over the text, ± standard error by document. 0 means no change.' }] : []),
  ...view.tasks.map((task) => ({ key: task.name, task, words: task.name, value: (v) => rowOf(view, v.id, task.name)?.score ?? null, down: task.higher_is_better })),
];

// A difference and its interval on the scale of its task, with a mark at zero.
const interval = (row, reach, task) => {
  const x = (v) => 80 + (76 * Math.max(-reach, Math.min(reach, v))) / reach;
  return svg`<svg viewBox="0 0 160 12" class="interval ${KINDS[row.verdict]}" preserveAspectRatio="none" role="img" aria-label="95% interval ${moved(row.diff_ci95[0], task)} to ${moved(row.diff_ci95[1], task)}">
    <line x1="2" x2="158" y1="6" y2="6" class="rail"></line><line x1="80" x2="80" y1="0" y2="12" class="zero"></line>
    <line x1=${x(row.diff_ci95[0])} x2=${x(row.diff_ci95[1])} y1="6" y2="6" class="span"></line><line x1=${x(row.diff)} x2=${x(row.diff)} y1="1" y2="11" class="mean"></line></svg>`;
};

// ---- what a cell opens
const details = (v, task, row) => {
  const facts = [
    [`Score, ${task.metric}`, `${withUnit(row.score, task)}${known(row.stderr) ? ` ± ${score(row.stderr, task)}` : ''}`],
    known(row.recovery) && row.verdict !== 'reference' && ['Recovery', `${row.recovery.toFixed(1)}% of the reference’s score`],
    known(row.diff) && row.diff_ci95 && ['Difference', `${moved(row.diff, task)} ${unit(task)}, 95% interval ${moved(row.diff_ci95[0], task)} to ${moved(row.diff_ci95[1], task)} (paired bootstrap)`],
    ['Items', `n = ${count(row.n)}`],
    known(row.smallest_drop) && ['Smallest detectable drop', `${score(row.smallest_drop, task)} ${unit(task)}: what ${count(row.n)} items with this many changed answers detect in 80 of 100 evaluations`],
    known(row.flips_lost) && ['Flips', `−${row.flips_lost} +${row.flips_won}: ${row.flips_lost} answers from right to wrong, ${row.flips_won} from wrong to right`],
    known(row.mcnemar_p) && ['McNemar’s exact test', `p ${row.mcnemar_p < 0.001 ? '' : '= '}${chance(row.mcnemar_p)}: how often chance alone splits the flips at least this unevenly`],
    row.truncated && ['Cut off', `${Math.round(100 * row.truncated)}% of the answers reached the token limit`],
  ].filter(Boolean);
  return html`<h4>${v.label} on ${task.name}</h4><p class="word ${KINDS[row.verdict]}">${WORDS[row.verdict]}</p>
    ${row.warnings?.length ? html`<ul>${row.warnings.map((text) => html`<li>${text}</li>`)}</ul>` : nothing}
    <dl>${facts.map(([name, words]) => html`<dt>${name}</dt><dd>${words}</dd>`)}</dl>`;
};
const openDetails = (button, box, content) => {
  render(content, box);
  box.showPopover();
  const at = button.getBoundingClientRect(), { width, height } = box.getBoundingClientRect();
  const below = at.bottom + 6 + height < innerHeight;
  box.style.setProperty('left', `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`);
  box.style.setProperty('top', `${Math.max(8, below ? at.bottom + 6 : at.top - height - 6)}px`);
  box.focus();
};

const plain = (words, small, tip) => html`<span class="v" tabindex=${tip ? 0 : nothing} data-tip=${tip || nothing}><b>${words}</b>${small ? html`<small>${small}</small>` : nothing}</span>`;
const none = html`<span class="none">–</span>`;
const factCell = (view, column, v) => {
  if (column.key === 'size') return plain(bytes(v.bytes));
  if (column.key === 'bits') return plain(known(v.bits_per_weight) ? v.bits_per_weight.toFixed(1) : '–');
  if (column.key === 'speed') {
    if (!v.speed) return none;
    const more = [known(v.speed.sd) && `± ${fig(v.speed.sd)}`, engines(view).length > 1 && `in ${v.speed.engine}`].filter(Boolean).join(' ');
    return plain(fig(v.speed.decode_tok_s), more, `In ${v.speed.engine}: ${v.speed.repetitions} repetitions of ${v.speed.prompt_tokens} prompt tokens and ${v.speed.output_tokens} generated tokens.`);
  }
  const row = kldOf(view, v.id);
  if (!row) return none;
  const noise = view.floor && v !== view.variants[0] && row.kld_mean <= view.floor.kld_mean;
  return html`${plain(nats(row.kld_mean), row.kld_mean ? `± ${nats(row.kld_stderr)}` : '', `Median ${nats(row.kld_median)}, p99 ${nats(row.kld_p99)}, largest ${nats(row.kld_max)} nats over ${count(row.tokens)} tokens of ${row.documents} documents. Same top token in ${(100 * row.top1_agreement).toFixed(1)}%; perplexity × ${row.ppl_ratio.toFixed(3)}.${view.floor ? ` Noise floor: ${nats(view.floor.kld_mean)}.` : ''}`)}${noise ? html`<small class="noise">within the noise</small>` : nothing}`;
};

// As text, for the clipboard: tabs between cells.
const asText = (view, rows, shown) => {
  const cell = (c, v) => {
    if (!c.task) { const value = c.value(v); return c.key === 'size' ? bytes(value) : !known(value) ? '–' : c.key === 'kld' ? nats(value) : String(+value.toPrecision(4)); }
    const row = rowOf(view, v.id, c.key);
    if (!row) return '–';
    const own = `${score(row.score, c.task)}${known(row.stderr) ? ` ± ${score(row.stderr, c.task)}` : ''}`;
    return row.verdict === 'reference' ? own : `${own} (${row.verdict === 'withheld' ? WORDS.withheld : `${moved(row.diff, c.task)}, ${WORDS[row.verdict]} at n = ${row.n}`})`;
  };
  const names = ['Variant', ...shown.map((c) => (c.task ? c.words : `${c.words}, ${c.small}`))];
  return [names, ...rows.map((v) => [v.label, ...shown.map((c) => cell(c, v))])].map((line) => line.join('\t')).join('\n');
};

export const verdictTable = (view) => html`<div class="ev-scores" ${ref((area) => { if (area && area.dataset.run !== view.id) { area.dataset.run = view.id; draws(area, view); } })}></div>`;

const draws = (area, view) => {
  const all = columnsOf(view), hidden = new Set(), pinned = new Set();
  let by = null, down = false, words = '', only = '';
  const reaches = new Map(view.tasks.map((task) => [task.name, Math.max(1e-9, ...view.rows.filter((row) => row.task === task.name && row.diff_ci95).flatMap((row) => row.diff_ci95.map(Math.abs)))]));
  const shown = () => all.filter((c) => !hidden.has(c.key));
  const fits = (v) => {
    const verdicts = view.rows.filter((row) => row.variant === v.id).map((row) => row.verdict);
    if (words && !`${v.label} ${v.id} ${v.method} ${v.scheme}`.toLowerCase().includes(words)) return false;
    return !only || (only === 'not distinguishable' ? verdicts.length && verdicts.every((one) => one === only) : verdicts.includes(only));
  };
  // The reference, then what is pinned, then the others in the chosen order.
  const listed = () => {
    const [reference, ...others] = view.variants;
    const rest = others.filter((v) => pinned.has(v.id) || fits(v));
    const column = all.find((c) => c.key === by);
    if (column) rest.sort((a, b) => { const [x, y] = [column.value(a), column.value(b)]; return known(x) - known(y) ? known(y) - known(x) : (down ? y - x : x - y); });
    return [reference, ...rest.filter((v) => pinned.has(v.id)), ...rest.filter((v) => !pinned.has(v.id))];
  };
  const sort = (c) => {
    if (by !== c.key) { by = c.key; down = Boolean(c.down); } else if (down === Boolean(c.down)) down = !down; else by = null;
    draw();
  };
  const heading = (c) => {
    const t = c.task;
    const small = t ? [t.share ? `${t.metric}, %` : t.metric, `n = ${count(t.n)}${t.sample ? ` of ${count(t.n_full)}` : ''}`].join(' · ') : c.small;
    const tip = t ? `${t.title}, ${t.few_shot}-shot, ${t.higher_is_better ? 'higher' : 'lower'} is better.${known(t.chance) ? ` Guessing scores ${withUnit(t.chance, t)}.` : ''}${t.bundled ? ' A task written for this project, not the benchmark.' : ''}${t.sample ? ' Only a sample of its items: not the benchmark’s score.' : ''}` : c.tip;
    return html`<th scope="col" class=${t ? 'task' : ''} aria-sort=${by === c.key ? (down ? 'descending' : 'ascending') : nothing}>
      <button type="button" class="sort" data-key=${c.key} data-tip=${tip} aria-label="Sort by ${c.words}" @click=${() => sort(c)}><span>${c.words}</span><i class="arrow ${by === c.key ? (down ? 'down' : 'up') : ''}"></i></button><small>${small}</small></th>`;
  };
  const taskCell = (v, task) => {
    const row = rowOf(view, v.id, task.name);
    if (!row) return none;
    return html`<button type="button" class="ev-score" aria-haspopup="dialog" aria-label="${v.label} on ${task.name}: ${withUnit(row.score, task)}, ${WORDS[row.verdict]}. Details" @click=${(e) => openDetails(e.currentTarget, area.querySelector('.ev-details'), details(v, task, row))}>
      <span class="v"><b>${score(row.score, task)}</b>${known(row.stderr) ? html`<small> ± ${score(row.stderr, task)}</small>` : nothing}${row.truncated ? html`<i class="tag">${Math.round(100 * row.truncated)}% cut off</i>` : nothing}</span>
      ${row.verdict === 'reference' ? nothing : html`<span class="word ${KINDS[row.verdict]}">${row.verdict === 'withheld' || !known(row.diff) ? nothing : html`<b class="diff ${KINDS[row.verdict]}">${moved(row.diff, task)}</b> `}${WORDS[row.verdict]}</span>`}
      ${row.diff_ci95 && row.verdict !== 'withheld' && row.verdict !== 'reference' ? interval(row, reaches.get(task.name), task) : nothing}
    </button>`;
  };
  const line = (v, index) => {
    const on = pinned.has(v.id);
    return html`<tr class=${index ? '' : 'reference'} data-id=${v.id}>
      <th scope="row" class="who" data-tip=${v.id}><b>${v.label}</b>${index
        ? html`<span class="id">${v.id}</span><button type="button" class="pin ${on ? 'on' : ''}" aria-pressed=${on} aria-label="${on ? 'Unpin' : 'Pin'} ${v.label}" data-tip="Keeps this row below the reference, whatever the order and filter." @click=${() => { if (!pinned.delete(v.id)) pinned.add(v.id); draw(); area.querySelector(`[data-id="${CSS.escape(v.id)}"] .pin`)?.focus(); }}>${on ? 'pinned' : 'pin'}</button>`
        : html`<i class="role">reference</i><span class="id">${v.id}</span>`}</th>
      ${shown().map((c) => html`<td class=${c.task ? 'task' : 'fact'} data-name=${c.short || c.words}>${c.task ? taskCell(v, c.task) : factCell(view, c, v)}</td>`)}
    </tr>`;
  };
  const draw = () => {
    const rows = listed(), many = view.variants.length > 2, name = `evaluation-${view.id.slice(0, 8)}`;
    const acts = html`<span class="ev-files">
      <button type="button" class="ui-small" aria-label="Copy the table" @click=${(e) => copy(asText(view, listed(), shown()), e.currentTarget)}>Copy</button>
      <button type="button" class="ui-small" aria-label="Download as CSV" @click=${() => download(`${name}.csv`, view.files.csv, 'text/csv')}>CSV</button>
      <button type="button" class="ui-small" aria-label="Download as JSON" @click=${() => download(`${name}.json`, view.files.json, 'application/json')}>JSON</button></span>`;
    const bar = html`<div class="ev-bar">
      ${many ? html`<input class="ui-input" type="search" placeholder="Filter variants" aria-label="Filter variants" autocomplete="off" @input=${(e) => { words = e.target.value.trim().toLowerCase(); draw(); }}>${select(FILTERS, only, (value) => { only = value; draw(); }, 'Filter by verdict')}` : nothing}
      ${view.tasks.length > 1 ? html`<div class="ev-columns">${view.tasks.map((task) => html`<button type="button" class="chip" aria-pressed=${!hidden.has(task.name)} aria-label="Show ${task.name}" @click=${() => { if (!hidden.delete(task.name)) hidden.add(task.name); draw(); }}>${task.name}</button>`)}</div>` : nothing}</div>`;
    render(card('Every number', 'score ± standard error, and the difference with its 95% interval; open a cell for the rest', html`
      ${bar}
      <div class="ev-wrap" tabindex="0" role="region" aria-label="Verdict table"><table class="ev-table">
        <thead><tr><th scope="col" class="who">Variant</th>${shown().map(heading)}</tr></thead>
        <tbody>${rows.map(line)}</tbody></table></div>
      <p class="quiet ev-none" ?hidden=${rows.length > 1 || view.variants.length < 2}>No variant matches the filter.</p>
      <div class="ev-details" popover role="dialog" aria-label="Details of a score" tabindex="-1"></div>`, { acts }), area);
  };
  draw();
};
