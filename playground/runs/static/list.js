// The list of runs, for the owner: find, name, explain, revoke and delete them, and put two side by side.
import { html, live, nothing, render, repeat } from '../web/vendor/lit-html.js';
import '../web/vendor/webawesome.js';
import { call, get, go, keep, me } from '../web/app.js';
import { plural, when } from '../web/format.js';
import { notice, runLink, runPath, select } from '../web/parts.js';

const SORTS = [['newest', 'Newest first'], ['oldest', 'Oldest first'], ['title', 'By title'], ['kind', 'By kind']];
const FIRST = { words: '', kind: '', model: '', sort: 'newest', revoked: '' };
const WAIT_MS = 180; // for more letters of a search

let root, found = null, error = null, loading = false, said = '';
let filters = { ...FIRST }, limit = 0, typing = 0, asked = null;
let open = { id: '', as: '' }; // what a row shows in place: its form for 'title' or 'note', or the question before 'revoke' or 'remove'
const picked = new Map();

export const mount = (section) => { root = section; };
export const show = (state) => {
  filters = { ...FIRST, ...Object.fromEntries(Object.keys(FIRST).filter((key) => state[key]).map((key) => [key, state[key]])) };
  if (me.role === 'owner') look(); else render(notYours(), root);
};

// ---- asking
const look = async () => {
  clearTimeout(typing);
  asked?.abort();
  const mine = (asked = new AbortController());
  loading = true; draw();
  const query = new URLSearchParams(Object.entries({ ...filters, limit: limit || '' }).filter(([, value]) => value));
  try {
    const next = await get(`api/runs?${query}`, mine.signal);
    if (mine !== asked) return;
    found = next; error = null;
  } catch (failed) {
    if (mine !== asked || failed.name === 'AbortError') return;
    error = failed;
  }
  loading = false; draw();
};
const filter = (change, wait = 0) => {
  Object.assign(filters, change);
  limit = 0;
  keep('runs', { ...filters, sort: filters.sort === 'newest' ? '' : filters.sort });
  clearTimeout(typing);
  if (wait) typing = setTimeout(look, wait); else look();
};
// Does something to a run and reads the list again. Focus goes to the same row, or to the one that took its place.
const act = async (verb, body, row) => {
  const at = found.lines.findIndex((line) => line.id === row.id);
  open = { id: '', as: '' };
  let failed = null;
  try { await call(`api/runs/${verb}`, body); } catch (refusal) { failed = refusal; }
  if (verb === 'remove' && !failed) for (const id of body.ids) picked.delete(id);
  await look();
  if (failed) { error = failed; draw(); }
  focusRow(found.lines.findIndex((line) => line.id === row.id), at);
};
const focusRow = (same, at) => {
  const titles = [...root.querySelectorAll('.rs-line .title')];
  (titles[same >= 0 ? same : Math.min(at, titles.length - 1)] || root.querySelector('input[type="search"]')).focus();
};

// ---- one row
const ask = (row, as) => {
  open = { id: row.id, as };
  draw();
};
// The menu gives the focus back to its button when it has closed; then it goes on to what was opened.
const closed = (row) => {
  const field = open.id === row.id && root.querySelector('.rs-form .ui-input, .rs-sure .ui-bad');
  if (!field) return;
  field.focus();
  if (open.as === 'title') field.select();
};
const calm = (row) => {
  open = { id: '', as: '' };
  draw();
  root.querySelector(`[data-id="${row.id}"] .rs-menu button`)?.focus();
};
const copyLink = async (row) => {
  try { await navigator.clipboard.writeText(runLink(row.id)); said = `The link of ${row.title} is copied.`; draw(); } catch { ask(row, 'link'); closed(row); }
};
const choose = (row, value) => {
  if (value === 'copy') copyLink(row);
  else if (value === 'restore') act('restore', { id: row.id }, row);
  else ask(row, value);
};
const menu = (row) => html`
  <wa-dropdown class="rs-menu" placement="bottom-end" @wa-select=${(e) => choose(row, e.detail.item.value)} @wa-after-hide=${() => closed(row)}>
    <button slot="trigger" type="button" class="ui-quiet" aria-label="Actions for ${row.title}">Actions</button>
    <wa-dropdown-item value="copy">Copy link</wa-dropdown-item>
    <wa-dropdown-item value="title">Rename</wa-dropdown-item>
    <wa-dropdown-item value="note">${row.note ? 'Edit note' : 'Add a note'}</wa-dropdown-item>
    <wa-dropdown-item value=${row.revoked ? 'restore' : 'revoke'}>${row.revoked ? 'Restore link' : 'Revoke link'}</wa-dropdown-item>
    <wa-dropdown-item value="remove" variant="danger">Delete</wa-dropdown-item>
  </wa-dropdown>`;

const form = (row, name, verb, value, rows) => {
  const send = (box) => act(verb, { id: row.id, text: box.querySelector('.ui-input').value }, row);
  const keys = (e) => {
    if (e.key === 'Escape') { e.stopPropagation(); calm(row); }
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); send(e.currentTarget); }
  };
  return html`
    <form class="rs-form" @submit=${(e) => { e.preventDefault(); send(e.currentTarget); }} @keydown=${keys}>
      ${rows ? html`<textarea class="ui-input" rows=${rows} aria-label=${name} placeholder="What a reader should know" .value=${live(value)}></textarea>`
    : html`<input class="ui-input" aria-label=${name} autocomplete="off" .value=${live(value)}>`}
      <button type="submit" class="ui-quiet">Save</button><button type="button" class="ui-quiet" @click=${() => calm(row)}>Cancel</button>
    </form>`;
};
const sure = (row, question, yes, go) => html`
  <div class="rs-sure" role="group" aria-label=${question} @keydown=${(e) => { if (e.key === 'Escape') { e.stopPropagation(); calm(row); } }}>
    <span>${question}</span><button type="button" class="ui-bad" @click=${go}>${yes}</button><button type="button" class="ui-quiet" @click=${() => calm(row)}>Keep</button>
  </div>`;
const inPlace = (row) => {
  if (open.id !== row.id) return nothing;
  if (open.as === 'note') return form(row, 'Note', 'annotate', row.note, 3);
  if (open.as === 'revoke') return sure(row, 'Revoke the link? Then only you can open this run.', 'Revoke', () => act('revoke', { id: row.id }, row));
  if (open.as === 'remove') return sure(row, 'Delete this run and its files? This cannot be undone.', 'Delete', () => act('remove', { ids: [row.id] }, row));
  if (open.as === 'link') return html`<div class="rs-form"><input class="ui-input" readonly aria-label="Link to this run" .value=${runLink(row.id)} @focus=${(e) => e.target.select()}><button type="button" class="ui-quiet" @click=${() => calm(row)}>Done</button></div>`;
  return nothing;
};
const line = (row) => html`
  <article class="rs-line ${row.revoked ? 'is-revoked' : ''} ${picked.has(row.id) ? 'is-picked' : ''}" role="listitem" data-id=${row.id}>
    <input type="checkbox" .checked=${live(picked.has(row.id))} aria-label="Select ${row.title} to compare" @change=${() => pick(row)}>
    <div class="what">
      <div class="top">${open.id === row.id && open.as === 'title' ? form(row, 'Title', 'rename', row.title, 0)
    : html`<a class="title" href=${runPath(row.id)}>${row.title}</a>${row.revoked ? html`<span class="rs-tag">revoked</span>` : nothing}`}</div>
      <p class="under quiet"><span class="kind">${row.kind_words}</span><span>${row.variants.join(', ')}</span><span>${row.model}</span></p>
      ${row.note && !(open.id === row.id && open.as === 'note') ? html`<p class="note">${row.note}</p>` : nothing}
      ${inPlace(row)}
    </div>
    <div class="figure">${row.number[0] ? html`<b>${row.number[0]}</b><span class="quiet">${row.number[1]}</span>` : nothing}</div>
    <time class="when quiet" datetime=${new Date(row.created * 1e3).toISOString()}>${when(row.created)}</time>
    ${menu(row)}
  </article>`;

// ---- what is selected
const pick = (row) => {
  if (!picked.delete(row.id)) picked.set(row.id, row);
  if (open.id === 'picked') open = { id: '', as: '' };
  draw();
};
const clear = () => { picked.clear(); draw(); root.querySelector('.rs-line input')?.focus(); };
const removePicked = () => act('remove', { ids: [...picked.keys()] }, { id: found.lines.find((row) => picked.has(row.id))?.id ?? '' });
const bar = () => {
  if (!picked.size) return nothing;
  const [a, b] = [...picked.values()].sort((one, other) => one.created - other.created);
  const many = plural(picked.size, 'run');
  if (open.id === 'picked') {
    return html`<div class="rs-two" role="region" aria-label="Selected runs"><span>Delete ${many} and their files? This cannot be undone.</span>
      <button type="button" class="ui-bad" @click=${removePicked}>Delete ${many}</button><button type="button" class="ui-quiet" @click=${() => { open = { id: '', as: '' }; draw(); }}>Keep</button></div>`;
  }
  return html`<div class="rs-two" role="region" aria-label="Selected runs">
    <span>${picked.size === 1 ? `${a.title}: select another run to compare.` : picked.size === 2 ? `${a.title} · ${b.title}` : `${many} selected. Select exactly two to compare them.`}</span>
    ${picked.size === 2 ? html`<a class="rs-main" href=${runPath(a.id, b.id)}>Open side by side</a>` : nothing}
    <button type="button" class="ui-quiet" @click=${() => { open = { id: 'picked', as: 'remove' }; draw(); root.querySelector('.rs-two .ui-bad').focus(); }}>Delete ${picked.size === 1 ? 'it' : many}</button>
    <button type="button" class="ui-quiet" @click=${clear}>Clear</button></div>`;
};

// ---- the page
const notYours = () => html`
  <section class="rn-none"><h2>Only the owner can see all runs</h2>
    <p>A run is unlisted: anyone with its link can open it.</p>
    <button type="button" class="ui-quiet" @click=${() => document.dispatchEvent(new CustomEvent('pg-login'))}>Log in</button>
    <button type="button" class="ui-quiet" @click=${() => go('compare')}>Compare variants</button></section>`;
const controls = () => html`
  <div class="rs-bar">
    <input class="ui-input" type="search" placeholder="Search titles, notes, models and variants" aria-label="Search runs" autocomplete="off" spellcheck="false" .value=${live(filters.words)} @input=${(e) => filter({ words: e.target.value }, WAIT_MS)}>
    ${select([['', 'Every kind'], ...(found?.kinds ?? [])], filters.kind, (kind) => filter({ kind }), 'Kind')}
    ${select([['', 'Every model'], ...(found?.models ?? []).map((name) => [name, name])], filters.model, (model) => filter({ model }), 'Model')}
    ${select(SORTS, filters.sort, (sort) => filter({ sort }), 'Order')}
    <label class="rs-tick"><input type="checkbox" .checked=${live(Boolean(filters.revoked))} @change=${(e) => filter({ revoked: e.target.checked ? 'true' : '' })}><span>Include revoked</span></label>
    <span class="quiet rs-count" role="status">${counted()}</span>
  </div>`;
const counted = () => {
  if (!found?.total) return '';
  const n = found.lines.length;
  return n < found.total ? `${n} of ${found.total.toLocaleString('en')}` : plural(found.total, 'run');
};
const foot = () => {
  const n = found.lines.length;
  if (!found.total) {
    const filtered = filters.words || filters.kind || filters.model;
    return html`<div class="ui-empty"><b>${filtered ? 'No run matches.' : 'No runs yet.'}</b> ${filtered ? 'Every word must occur in the title, the note, the model or a variant.' : 'Comparisons, evaluations, speed measurements and quantizations appear here, each with a link to share.'}</div>`;
  }
  if (n >= found.total) return nothing;
  if (n >= found.most) return html`<p class="quiet">These are the first ${n} of ${found.total.toLocaleString('en')}. Search to find the others.</p>`;
  return html`<button type="button" class="ui-quiet" @click=${() => { limit = Math.min(found.most, n + found.size); look(); }}>Show ${Math.min(found.size, found.total - n)} more</button>`;
};
const draw = () => render(html`
  <div class="ui-head"><h2>Runs</h2><p class="quiet">Everything that was measured here. A run is unlisted: anyone with its link can open it and see its title and note. Only you see this list.</p></div>
  ${error ? notice(error) : nothing}
  ${controls()}
  <p class="rs-said" role="status">${said}</p>
  ${found ? html`
    ${found.lines.length > 1 ? html`<p class="rs-hint quiet">Select two to compare, or several to delete.</p>` : nothing}
    ${found.lines.length ? html`<div class="ui-list rs-list ${loading ? 'loading' : ''}" role="list" aria-label="Runs">${repeat(found.lines, (row) => row.id, line)}</div>` : nothing}
    <div class="rs-foot">${foot()}</div>
    ${bar()}` : error ? nothing : html`<div class="ui-empty" role="status">Reading the list…</div>`}`, root);
