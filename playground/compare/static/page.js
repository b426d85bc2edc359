// Compare: one prompt through several variants at once. The state comes with each answer of /api/compare/..., what the
// panes show with the rows of the session's stream, which goes on where it broke off.
import { html, live, nothing, render, repeat } from '../web/vendor/lit-html.js';
import { beacon, call, device, get, keep, me, Refusal, shown, stream } from '../web/app.js';
import '../web/combobox.js';
import { el } from '../web/dom.js';
import { plural } from '../web/format.js';
import { notice } from '../web/parts.js';
import { untip } from '../web/tooltip.js';
import { createBoard } from './board.js';
import { endpoints } from './endpoints.js';
import { claim, kept, keepTab, release } from './kept.js';
import { legend } from './legend.js';
import { createPane } from './pane.js';
import { asked, fieldOf, initial, panel, summary } from './settings.js';
import { timing } from './timing.js';
import { verdict } from './verdict.js';

const GROUPS = [['original', 'Original'], ['while loading', 'Quantized while loading'], ['made here', 'Made here'], ['endpoints', 'Endpoints']];
const HISTORY = 50; // prompts that ↑ brings back
const STALE_MS = 3000; // of the lists, when a picker is used
const PAGE = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, '0')).join('');

let state = null; // the server's
let form = null, prompt = kept.prompt ?? '', recalled = -1, settingsOpen = false, starting = false, replaying = false;
let trouble = null, refused = null, told = null, lost = false; // beside the prompt; under the bar; from the server; the stream
let shownVerdict = { words: '' }, run = '';
let board = null, last = 0, close = null, openDoor = null, fetched = 0;
const panes = new Map(); // slot → pane
const places = {}; // elements that are drawn into

// ---- the server
const apply = (next) => {
  if (state && next.session === state.session && next.after < state.after) return; // older than what is shown
  fetched = performance.now();
  if (state && next.session !== state.session) { close?.(); close = null; last = 0; for (const pane of panes.values()) pane.close(); panes.clear(); }
  state = next; run = next.run || run;
  keepTab({ session: next.session });
  form ??= { ...initial(next.defaults), ...kept.form };
  device(next.device);
  for (const slot of [...panes.keys()]) if (!next.panes.some((one) => one.slot === slot)) { panes.get(slot).close(); panes.delete(slot); }
  for (const one of next.panes) { const pane = paneAt(one.slot); if (!pane.label) pane.row('head', one.head); }
  board.show(next.panes.map((one) => panes.get(one.slot)));
  write();
  draw();
  follow();
};
// What stands in the address: the model and the variants beside its reference, unless they are those of a new page.
const write = () => {
  const model = state.model, variants = state.panes.slice(1).map((one) => one.address).join(',');
  kept.first ??= JSON.stringify([model, variants]);
  const fresh = kept.first === JSON.stringify([model, variants]);
  keepTab({ first: kept.first });
  if (model) keep('compare', fresh ? {} : { model, show: variants });
};
const open = async () => apply(await call('api/compare/open', { session: state?.session ?? kept.session ?? '' }));
// Asks for something and shows the state that follows. Returns whether it was done; `where` takes a refusal.
const post = async (verb, body = {}, where = 'bar') => {
  refused = trouble = null;
  try { apply(await call(`api/compare/${verb}`, { session: state.session, ...body })); return true; } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.code === 'unknown_session') { await open().catch(() => {}); }
    if (where === 'bar') refused = error; else trouble = error;
    draw();
    return false;
  }
};
const refresh = async () => {
  try { apply(await get(`api/compare/state?session=${encodeURIComponent(state.session)}`)); } catch (error) {
    if (error instanceof Refusal && error.code === 'unknown_session') await open().catch(() => {});
  }
};

// ---- the stream
const paneAt = (slot) => {
  if (!panes.has(slot)) {
    const again = () => post('again', { slot, ...asked(form) }, 'prompt');
    panes.set(slot, createPane(board, {
      look: slot === 0 ? 'ref' : `v${slot}`,
      alternatives: (turn, index) => get(`api/compare/token?session=${encodeURIComponent(state.session)}&turn=${encodeURIComponent(turn)}&index=${index}`),
      act: { again, stop: () => post('stop', { slot }, 'prompt'), engine: (engine) => post('engine', { slot, engine }), measure: () => post('measure', {}, 'prompt'), all: () => replayIn(slot) },
    }));
  }
  return panes.get(slot);
};
const whole = {
  verdict: (value) => { shownVerdict = value; run = value.run || ''; draw(); },
  run: (id) => { run = id; draw(); },
  notice: (value) => { told = value; draw(); },
};
const follow = () => {
  if (close || state.after <= last) return;
  close = stream(state.session, last, {
    page: PAGE,
    row: ([slot, kind, ...rest], number) => {
      last = number;
      if (lost) { lost = false; draw(); }
      if (slot < 0) whole[kind]?.(...rest); else paneAt(slot).row(kind, ...rest);
    },
    ended: () => { close = null; refresh(); },
    trouble: (count) => { if (count > 1) { lost = true; draw(); } if (count % 3 === 2) open().catch(() => {}); },
  });
};

// ---- running
const busy = () => starting || replaying || board.busy;
const submit = async () => {
  if (busy()) return;
  const text = prompt;
  starting = true; draw();
  const done = await post('run', { prompt: text, raw: form.raw, ...asked(form) }, 'prompt');
  starting = false;
  if (done) {
    settingsOpen = false; recalled = -1;
    kept.history = [...(kept.history ?? []).filter((one) => one !== text), text].slice(-HISTORY);
    if (!form.raw) type('');
    keepTab({ history: kept.history });
  } else if (fieldOf(trouble)) settingsOpen = true;
  draw();
};
const stopAll = () => { replaying = false; return post('stop', {}, 'prompt'); };
// The prompts of the conversation, one after the other, in a pane that joined later.
const replayIn = async (slot) => {
  if (busy()) return;
  replaying = true;
  const pane = panes.get(slot), from = board.panes.find((one) => one.prompts.length);
  for (const [at, turn] of [...from.turns.keys()].entries()) {
    if (!replaying || !await post('again', { slot, turn, ...asked(form) }, 'prompt')) break;
    await new Promise((resolve) => { const off = board.change(() => { if (!pane.root.isConnected || (pane.turns.size > at && !board.busy)) { off(); resolve(); } }); });
    if (pane.state !== 'done') break;
  }
  replaying = false;
  draw();
};
const type = (text) => { prompt = text; keepTab({ prompt }); };
const set = (name, value) => { form = { ...form, [name]: value }; trouble = null; keepTab({ form }); draw(); };

// ---- drawing
const options = (choices) => GROUPS.flatMap(([group, words]) => choices.filter((one) => one.group === group).map((one) => ({
  value: one.value, label: one.label, group: words, line: [one.size, one.engine].filter(Boolean).join(' · '), disabled: one.why,
})));
const models = (names) => {
  const group = (name) => (name.startsWith('@') ? 'Endpoints' : /^[/~.]/.test(name) ? 'On this machine' : name.includes('/') ? 'Hugging Face' : 'Bundled');
  const all = names.map((name) => ({ value: name, group: group(name) }));
  return ['Bundled', 'On this machine', 'Hugging Face', 'Endpoints'].flatMap((name) => all.filter((one) => one.group === name));
};
const fresh = () => { if (performance.now() - fetched > STALE_MS) refresh(); };

const bar = () => html`
  <div id="pg-model"><pg-combobox id="pg-model-pick" label="Model: bundled, a hub repository or a local folder" free .options=${models(state.models)} .value=${live(state.model)}
    @pg-choose=${(e) => post('model', { model: e.detail })} @focusin=${fresh}></pg-combobox><span id="pg-origin" data-tip=${state.origin || nothing}>${state.origin}</span></div>
  ${repeat(state.panes, (one) => one.slot, (one, at) => html`<div class="pg-pick" id="pg-pick-${one.slot}" data-look=${one.slot === 0 ? 'ref' : `v${one.slot}`}>
    <pg-combobox id="pg-variant-${one.slot}" label=${at === 0 ? 'Reference: pick one, or type any variant or path' : `Variant ${at}: pick one, or type any variant or path`} free
      .options=${options(one.choices)} .value=${live(one.address)} @pg-choose=${(e) => post('choose', { slot: one.slot, variant: e.detail })} @focusin=${fresh}></pg-combobox>
    ${at > 0 && state.panes.length > 2 ? html`<button type="button" class="pg-remove" aria-label="Remove ${one.label}" @click=${() => post('remove', { slot: one.slot })}>×</button>` : nothing}</div>`)}
  ${state.panes.length < 4 ? html`<button type="button" id="pg-add" @click=${() => post('add')}>+ variant</button>` : nothing}
  ${me.role === 'owner' ? html`<button type="button" class="ep-open" aria-haspopup="dialog" data-tip="Models on other servers: add, test and remove OpenAI-compatible endpoints." @click=${(e) => { untip(); openDoor(e.currentTarget); }}>Endpoints</button>` : nothing}`;

// Of a visitor's characters: the server counts the prompt, the system prompt and the conversation of the longest pane.
const remaining = () => {
  if (!state.limits) return nothing;
  const used = form.raw ? 0 : form.system.length + Math.max(0, ...board.panes.map((pane) => (pane.turns.size ? pane.body.textContent.length : 0)));
  const left = state.limits.chars - prompt.length - used;
  return html`<span id="pg-left" class=${left < 0 ? 'over' : ''}>${plural(Math.abs(left), 'character')} ${left < 0 ? 'too many' : 'left'}</span>`;
};
const visitor = () => (state.limits ? html`<p class="quiet" id="pg-limits">Visitors: up to ${state.limits.max_tokens} tokens per answer, ${state.limits.chars.toLocaleString('en')} characters per conversation, ${state.limits.rate}.</p>` : nothing);

const composer = () => html`
  <div id="pg-settings" class=${settingsOpen ? 'open' : ''} role="group" aria-label="Settings" ?hidden=${!settingsOpen}>${panel({
    form, defaults: state.defaults, limits: state.limits, error: trouble, set, reset: () => { form = initial(state.defaults); trouble = null; keepTab({ form }); draw(); }, close: () => settings(false),
  })}</div>
  <div id="pg-trouble">${trouble ? notice(trouble) : nothing}</div>
  <div id="pg-ask"><div id="pg-prompt"><textarea rows="1" aria-label="Prompt" placeholder=${form.raw ? 'Text that every variant continues' : 'Ask every variant'} .value=${live(prompt)} @input=${typed} @keydown=${recall}></textarea>${remaining()}</div>
    <button type="button" id="pg-run" ?disabled=${busy()} @click=${submit}>${busy() ? 'Running…' : state.panes.length === 2 ? 'Run both' : `Run all ${state.panes.length}`}</button>
    <button type="button" id="pg-stop" ?disabled=${!busy()} @click=${stopAll}>Stop all</button></div>
  <div id="pg-under"><div id="pg-examples" role="group" aria-label="Examples">${Object.entries(state.examples).map(([words, text]) => html`<button type="button" class="pg-chip" @click=${() => { type(text); draw(); area().focus(); }}>${words}</button>`)}</div>
    <button type="button" class="pg-quiet" id="pg-clear" @click=${() => post('clear', {}, 'prompt')}>Clear</button>
    <button type="button" class="pg-quiet" id="pg-line" aria-expanded=${settingsOpen} aria-controls="pg-settings" @click=${() => settings(!settingsOpen)}>${summary(form)} · settings</button></div>
  ${visitor()}`;

const draw = () => board.frame(drawNow);
const drawNow = () => {
  if (!state || !form) return;
  const nodes = state.panes.map((one) => { const slot = slotOf(one.slot); if (panes.get(one.slot).root.parentElement !== slot) slot.replaceChildren(panes.get(one.slot).root); return slot; });
  if (nodes.some((node, at) => places.panes.children[at] !== node) || places.panes.children.length !== nodes.length) places.panes.replaceChildren(...nodes);
  render(bar(), places.bar);
  render(html`${notice(refused)}${notice(told)}${lost ? notice({ message: 'The connection was interrupted.', hint: 'Trying again; the run goes on for 15 seconds without this page.' }) : nothing}`, places.notice);
  render(verdict(shownVerdict, run), places.verdict);
  render(composer(), places.composer);
  grow();
};
const slots = new Map();
const slotOf = (slot) => {
  if (!slots.has(slot)) { const node = el('div', 'pg-slot'); node.id = `pg-slot-${slot}`; slots.set(slot, node); }
  return slots.get(slot);
};

// ---- the prompt
const area = () => places.composer.querySelector('#pg-prompt textarea');
const grow = () => { const node = area(); if (!node) return; node.style.setProperty('height', 'auto'); node.style.setProperty('height', `${node.scrollHeight + 2}px`); };
const typed = (e) => { type(e.target.value); recalled = -1; if (trouble && !fieldOf(trouble)) trouble = null; if (state.limits || trouble === null) draw(); grow(); };
// ↑ in an empty prompt brings the last one back, again the one before; ↓ goes back.
const recall = (e) => {
  const all = kept.history ?? [], step = { ArrowUp: 1, ArrowDown: -1 }[e.key];
  if (!step || (prompt && recalled < 0) || (step < 0 && recalled < 0)) return;
  const next = Math.min(all.length - 1, recalled + step);
  if (next === recalled) return;
  e.preventDefault();
  recalled = next;
  type(next < 0 ? '' : all.at(-1 - next));
  draw();
};
const settings = (on) => {
  settingsOpen = on; draw();
  board.frame(() => { if (on) places.composer.querySelector('#pg-settings input, #pg-settings textarea')?.focus(); else places.composer.querySelector('#pg-line').focus(); });
};
const keys = (e) => {
  if (!shown('compare') || !state || e.defaultPrevented) return;
  const inPrompt = e.target === area();
  if (e.key === 'Escape') {
    untip();
    if (settingsOpen) settings(false);
    else if (e.target instanceof Element && e.target.closest('#pg-bar, wa-dialog, [popover]')) return;
    else if (busy()) stopAll();
    else document.querySelector('#pg-panes .measured[data-state="measuring"] .stop')?.click();
  } else if (e.key === 'Enter' && !e.isComposing && (e.ctrlKey || e.metaKey || (inPrompt && !e.shiftKey))) {
    e.preventDefault();
    submit();
  }
};

// ---- the page
// Opens what the address names, unless it is shown already: a model, a variant beside its reference, or several.
const goTo = async ({ model = '', show = '' }) => {
  const wanted = show.split(',').filter(Boolean), first = wanted[0] ?? model;
  if (!first) return;
  const now = state.panes.slice(1).map((one) => one.address);
  if ((!model || model === state.model) && (wanted.length ? wanted.every((name, at) => now[at] === name) && (wanted.length > 1 || model || now.includes(first)) : true)) return;
  if (!await post('model', { model: first })) { write(); return; }
  for (const [at, name] of wanted.slice(0, 3).entries()) {
    if (state.panes.length < at + 2 && !await post('add')) return;
    const pane = state.panes[at + 1];
    if (pane.address !== name && !await post('choose', { slot: pane.slot, variant: name })) return;
  }
};

export const mount = async (root, at) => {
  const main = el('div');
  main.id = 'pg-main';
  for (const name of ['composer', 'bar', 'legend', 'notice', 'panes', 'verdict', 'plot']) {
    places[name] = el('div');
    places[name].id = `pg-${name}`;
    if (name !== 'composer') main.append(places[name]);
  }
  places.verdict.setAttribute('aria-live', 'polite');
  root.append(places.composer, main); // the prompt is the first thing that Tab reaches; the style sheet puts it at the bottom
  board = createBoard(root, kept.colour);
  board.change((event) => { if (event === 'panes') draw(); });
  legend(board, places.legend, (colour) => keepTab({ colour }));
  timing(board, places.plot);
  openDoor = endpoints({ use: (model, where) => post('use', { model, where }), changed: refresh });
  document.addEventListener('keydown', keys);
  document.addEventListener('visibilitychange', () => { if (!document.hidden && shown('compare') && state) fresh(); });
  addEventListener('pagehide', () => { release(); if (state) beacon('api/compare/leave', { session: state.session, page: PAGE }); });
  addEventListener('pageshow', (e) => { if (!e.persisted) return; claim(); close?.(); close = null; refresh(); });
  new ResizeObserver(() => document.documentElement.style.setProperty('--composer', `${places.composer.offsetHeight}px`)).observe(places.composer);
  try { await open(); } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    render(notice(error), places.notice);
    return;
  }
  await goTo(at);
};
// Shown again: the lists are fresh, and the address may name something else.
let first = true;
export const show = async (at) => {
  if (!state) return;
  if (first) { first = false; return; }
  await refresh();
  if (at.model || at.show) await goTo(at); else write();
};
export const hide = () => untip();
