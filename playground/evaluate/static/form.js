// What to evaluate: the form, and beside it what it takes and what so many items can detect.
import { html, live, nothing, render } from '../web/vendor/lit-html.js';
import { call, get } from '../web/api.js';
import '../web/combobox.js';
import { between, plural } from '../web/format.js';
import { field, notice, select } from '../web/parts.js';
import { count, points } from './words.js';

const KEY = 'pg-evaluate', DROPS = [1, 2, 3, 5, 10];
const stored = () => { try { return JSON.parse(sessionStorage.getItem(KEY)) || {}; } catch { return {}; } };
const EMPTY = {
  model: '', reference: '', variants: null, tasks: null, limit: null, few_shot: '', chat: '', turns: '', divergence: true, speed: false,
  engine: '', batch: null, seed: '', generation: '', thinking: '', text: null, tokens: null, drop: 3, more: false, folded: null,
};

class FieldError extends Error {
  constructor(name, message) { super(message); this.field = name; }
}
// A whole number of a field; null where it is empty.
const whole = (text, name, words) => {
  const value = String(text ?? '').trim();
  if (!value) return null;
  if (!/^\d{1,9}$/.test(value)) throw new FieldError(name, `${words} has to be a whole number.`);
  return Number(value);
};
// "max_gen_toks=512, temperature=0.6" as an object.
const generationOf = (text) => Object.fromEntries(text.split(/[,\n]/).map((part) => part.trim()).filter(Boolean).map((part) => {
  const [, name, value] = part.match(/^([A-Za-z_]\w*)\s*=\s*(\S.*)$/) || [];
  if (!name) throw new FieldError('generation', `“${part.slice(0, 40)}” is not an argument: write max_gen_toks=512, temperature=0.6.`);
  return [name, /^(true|false)$/i.test(value) ? value.toLowerCase() === 'true' : value !== '' && Number.isFinite(Number(value)) ? Number(value) : value];
}));

// Draws the form in `area`; started(job) is called when a job is queued. Returns
//   show()   reads the variants again, because some may be new or deleted
//   fold()   puts a line in the place of the form: words() says what was evaluated
export const evaluateForm = (area, { started, words }) => {
  const form = { ...EMPTY, ...stored() };
  let choices = null, plan = null, stale = true, busy = false, problem = null, refused = null, modelError = null;
  let found = null, searching = 0, timer = 0, waiting = 0, controller = null, reader = null;
  const save = () => { try { sessionStorage.setItem(KEY, JSON.stringify(form)); } catch { /* a browser without storage: until the reload */ } };

  // ---- what is asked for
  const request = () => {
    const variants = [form.reference, ...form.variants];
    const passage = form.divergence ? { text: form.text.trim() || choices.default.text, tokens: whole(form.tokens, 'tokens', 'Tokens of text') ?? choices.default.tokens } : null;
    if (passage && !form.tasks.length) return { kind: 'divergence', spec: { variants, ...passage } };
    return { kind: 'evaluate', spec: {
      variants, tasks: form.tasks.map((t) => t.name), limit: whole(form.limit, 'limit', 'Items per task'), few_shot: whole(form.few_shot, 'few_shot', 'Examples'),
      chat_template: Boolean(form.chat), multiturn: Boolean(form.chat && form.turns), generation: generationOf(form.generation), strip_thinking: Boolean(form.thinking),
      batch_size: whole(form.batch, 'batch', 'The batch size') ?? choices.default.batch_size, seed: whole(form.seed, 'seed', 'The seed'), engine: form.engine, divergence: passage, speed: form.speed,
    } };
  };
  const ask = async (measure) => {
    controller?.abort();
    const mine = (controller = new AbortController());
    try {
      const next = await call('api/evaluate/plan', { ...request(), measure, drop: form.drop / 100 }, mine.signal);
      if (mine !== controller) return;
      plan = next; problem = null; stale = false;
      clearTimeout(waiting);
      if (!measure && plan.time.measures) waiting = setTimeout(() => ask(true), 700);
    } catch (error) {
      if (mine.signal.aborted) return;
      problem = error; plan = null; stale = false;
    }
    draw();
  };
  const changed = (now = false) => {
    save();
    stale = true; refused = null;
    clearTimeout(timer); clearTimeout(waiting); controller?.abort();
    timer = setTimeout(() => ask(false), now ? 0 : 250);
    draw();
  };
  const set = (name) => (value) => { form[name] = value; changed(); };
  const begin = async () => {
    if (busy || stale || problem || !plan) return;
    busy = true; refused = null; draw();
    try {
      const job = await call('api/evaluate/start', request());
      form.folded = true; save();
      started(job);
    } catch (error) { refused = error; }
    busy = false; draw();
  };

  // ---- what can be chosen
  const read = async (model) => {
    reader?.abort();
    const mine = (reader = new AbortController());
    try {
      const next = await get(`api/evaluate/form?${new URLSearchParams({ model })}`, mine.signal);
      take(next);
      modelError = null;
    } catch (error) {
      if (mine.signal.aborted) return;
      modelError = error; draw();
    }
  };
  const take = (next) => {
    const other = form.model !== next.model || !form.variants;
    choices = next;
    for (const [name, key] of [['limit', 'limit'], ['batch', 'batch_size'], ['text', 'text'], ['tokens', 'tokens']]) form[name] ??= String(next.default[key]);
    const ids = new Set(next.variants.map((v) => v.id));
    if (other || !ids.has(form.reference)) form.reference = next.variants.find((v) => v.reference)?.id || next.variants[0]?.id || '';
    if (other) {
      const able = next.variants.filter((v) => !v.reference && !v.why), made = able.filter((v) => v.stored).slice(0, 4);
      form.variants = (made.length ? made : able.filter((v) => /nf4/i.test(v.label)).slice(0, 1)).map((v) => v.id);
    } else form.variants = form.variants.filter((id) => ids.has(id));
    form.model = next.model;
    if (!form.tasks) {
      const bundled = next.tasks.filter((t) => t.bundled && !t.group).slice(0, 4);
      form.tasks = bundled.length ? bundled : next.tasks.slice(-1);
    }
    changed(true);
  };
  const look = (text) => {
    clearTimeout(searching);
    if (text.trim().length < 2) { found = null; draw(); return; }
    searching = setTimeout(async () => {
      const mine = text.trim();
      found ??= { text: mine, reading: true }; draw();
      try { found = { text: mine, ...await get(`api/evaluate/tasks?${new URLSearchParams({ search: mine })}`) }; } catch (error) { found = { text: mine, error }; }
      if (area.querySelector('[aria-label="Search tasks"]')?.value.trim() !== mine) found = null;
      draw();
    }, 300);
  };
  const calm = () => { if (found) { found = null; const box = area.querySelector('[aria-label="Search tasks"]'); if (box) box.value = ''; draw(); } };

  // ---- drawing
  const wrong = (name) => (problem instanceof FieldError && problem.field === name ? problem.message : '');
  const input = (name, { mode = 'text', placeholder = '' } = {}) => html`<input class="ui-input" .value=${form[name] ?? ''} inputmode=${mode} placeholder=${placeholder || nothing} autocomplete="off" spellcheck="false"
    aria-invalid=${wrong(name) ? 'true' : nothing} @input=${(e) => set(name)(e.target.value)}>`;
  const labelled = (name, words, control, unit, tip) => field(words, control, { unit: wrong(name) ? html`<span class="ev-wrong">${wrong(name)}</span>` : unit, tip });
  const tick = (name, on, change, { small = '', tag = '', tip = '', why = '' } = {}) => html`
    <label class="ev-tick" data-tip=${tip || nothing}><input type="checkbox" .checked=${on} ?disabled=${Boolean(why)} @change=${(e) => change(e.target.checked)}>
      <span class="words"><b>${name}</b>${tag ? html`<i class="role">${tag}</i>` : nothing}<small>${why || small}</small></span></label>`;
  const taskTick = (t) => tick(t.bundled ? t.name : t.title, form.tasks.some((one) => one.name === t.name), (on) => { form.tasks = form.tasks.filter((one) => one.name !== t.name); if (on) form.tasks.push(t); changed(); }, {
    small: [t.full && `${count(t.full)} items`, t.about].filter(Boolean).join(' · ') || (t.bundled || t.title === t.name ? '' : t.name), tag: t.group ? 'group' : '', tip: t.name, why: t.unsafe ? 'runs code that the model writes: command line only' : '' });
  const results = () => {
    if (!found) return nothing;
    if (found.reading) return html`<div class="ev-found"><p class="quiet">Searching. The first search reads the list of 14,000 tasks, which takes some seconds.</p></div>`;
    if (found.error) return html`<div class="ev-found">${notice(found.error)}</div>`;
    const all = found.tasks.length + found.more;
    return html`<div class="ev-found"><div class="ev-found-head"><span class="quiet">${all ? `${count(all)} ${all === 1 ? 'task or group' : 'tasks and groups'}${found.more ? `, the first ${found.tasks.length}` : ''}` : `No task matches “${found.text}”.`}</span><button type="button" class="ui-small" @click=${calm}>Close</button></div>
      ${found.tasks.length ? html`<div class="ev-ticks two list">${found.tasks.map(taskTick)}</div>` : nothing}</div>`;
  };
  const said = () => ` · ${[form.engine || 'transformers', `batch ${form.batch || choices.default.batch_size}`, form.seed ? `seed ${form.seed}` : 'lm-eval’s seeds', form.generation || 'task’s own generation settings', form.chat && form.turns && 'examples as turns', form.thinking && 'after </think>', form.divergence && `${Number(form.tokens || 0).toLocaleString('en')} tokens of ${form.text === 'bundled' ? 'bundled prose' : form.text}`].filter(Boolean).join(' · ')}`;
  const asked = () => {
    const others = choices.variants.filter((v) => v.id !== form.reference), known = new Set(choices.tasks.map((t) => t.name));
    return html`<section class="ev-form" aria-label="What to evaluate">
      <div class="ui-head"><h2>What did it cost in quality?</h2><p class="quiet">Every variant gets the same items, and each answer is compared with the reference’s. Differences too small for this many items are marked as such.</p></div>
      <div class="ev-model"><pg-combobox label="Model to evaluate" free .options=${choices.models.map((value) => ({ value }))} .value=${live(form.model)} @pg-choose=${(e) => read(e.detail)}></pg-combobox><span class="ev-origin">${choices.origin}</span></div>
      ${modelError ? html`<div class="ui-trouble">${notice(modelError)}</div>` : nothing}
      <div class="ev-part" role="group" aria-label="Variants"><div class="ev-part-head"><span class="legend">Variants</span>
        <label class="ev-against"><span>against</span>${select(choices.variants.map((v) => [v.id, v.label]), form.reference, (id) => { form.reference = id; form.variants = form.variants.filter((one) => one !== id); changed(); }, 'Reference')}</label></div>
        <div class="ev-ticks">${others.length ? others.map((v) => tick(v.label, form.variants.includes(v.id), (on) => { form.variants = form.variants.filter((id) => id !== v.id); if (on) form.variants.push(v.id); changed(); }, {
    small: [v.size, v.bits && `${v.bits.toFixed(1)} bits per weight`].filter(Boolean).join(' · '), tag: v.stored ? 'made here' : v.reference ? 'original' : '', tip: `${v.id}\n${v.source}`, why: v.why })) : html`<p class="quiet">No other variant of this model can be loaded here.</p>`}</div></div>
      <div class="ev-part" role="group" aria-label="Tasks"><div class="ev-part-head"><span class="legend tipped" tabindex="0" data-tip="Bundled tasks were written for this project and need no network: they are not the benchmarks. CoQA and GSM8K come from the hub, or from PLAYGROUND_DATASETS.">Tasks</span>
        <input class="ui-input" type="search" placeholder="Search lm-evaluation-harness" aria-label="Search tasks" autocomplete="off" @input=${(e) => look(e.target.value)}></div>
        ${results()}
        <div class="ev-ticks two">${[...choices.tasks, ...form.tasks.filter((t) => !known.has(t.name))].map(taskTick)}</div></div>
      <div class="ev-fields">
        ${labelled('limit', 'Items per task', input('limit', { mode: 'numeric' }), 'empty: all of them', 'Only the first N items. Fewer items are a sample: faster, but small losses go undetected.')}
        ${labelled('few_shot', 'Examples per question', input('few_shot', { mode: 'numeric' }), 'few-shot; empty: the task’s own', 'How many solved examples come before each question.')}
        ${labelled('chat', 'Chat template', select([['', 'no: the bare prompt'], ['1', 'yes: as a turn of a chat']], form.chat, set('chat')), 'applied to all variants alike', 'Whether prompts are rendered with the model’s chat template. It changes scores, so it is recorded.')}</div>
      <div class="ev-also">${tick('Divergence', form.divergence, set('divergence'), { small: 'how far the next-token distribution moves (KLD), on running text' })}${tick('Speed', form.speed, set('speed'), { small: 'decode tok/s of every variant, on its engine' })}</div>
      <details class="ui-more" ?open=${form.more} @toggle=${(e) => { form.more = e.target.open; save(); }}><summary>More settings<span class="ui-said quiet">${said()}</span></summary>
        <div class="ev-fields more">
          ${labelled('engine', 'Engine', select([['', 'transformers: exact, the basis for task scores'], ['vllm', 'vLLM server: faster for many items']], form.engine, set('engine')))}
          ${labelled('batch', 'Batch size', input('batch', { mode: 'numeric' }), 'prompts at once', 'Applied to all variants alike: it changes BF16 results slightly.')}
          ${labelled('seed', 'Seed', input('seed', { mode: 'numeric' }), 'empty: lm-eval’s own')}
          ${labelled('turns', 'Examples', select([['', 'in one message'], ['1', 'as turns of the conversation']], form.turns, set('turns')), 'with the chat template')}
          ${labelled('thinking', 'Reasoning', select([['', 'score the whole answer'], ['1', 'score what follows </think>']], form.thinking, set('thinking')), 'for reasoning models')}
          ${labelled('generation', 'Generation', input('generation', { placeholder: 'max_gen_toks=512, temperature=0.6' }), 'replaces the task’s own settings')}
          ${labelled('text', 'Text for divergence', input('text'), 'bundled, or a data set of the hub')}
          ${labelled('tokens', 'Tokens of text', input('tokens', { mode: 'numeric' }), 'at most')}</div></details>
    </section>`;
  };

  const time = (t) => {
    const value = t.seconds ? `${t.missing.length ? 'at least ' : ''}${between(t.missing.length ? [t.seconds[0], t.seconds[0]] : t.seconds)}` : t.measures ? '…' : '–';
    return html`<p class="ev-time"><span class="name tipped" tabindex="0" data-tip=${[...t.rests_on, ...t.missing].join('\n') || 'Nothing is known about it yet.'}>Time</span><b>${value}</b>
      <span class="quiet">${t.seconds ? 'on this machine' : t.measures ? 'measuring how fast each variant is here, once' : ''}</span>${t.missing.length ? html`<small>${t.missing.join(' ')}</small>` : nothing}</p>`;
  };
  const power = ({ power: p, tasks }) => {
    if (!p || !tasks.length) return nothing;
    const more = p.short.length === tasks.length ? '' : String(p.items);
    const longer = p.short.length ? ` ${p.short.length === tasks.length ? (tasks.length === 1 ? 'The task has' : 'All tasks have') : `${p.short.join(', ')} ${p.short.length === 1 ? 'has' : 'have'}`} fewer items than that.` : '';
    return html`<p class="ev-power">To see a drop of ${select(DROPS.map((n) => [String(n), plural(n, 'point')]), String(form.drop), (value) => { form.drop = Number(value); changed(true); }, 'Drop to detect')}
      you need about <b>${plural(p.items, 'item')}</b> per task${p.seconds ? ` (≈ ${between(p.seconds)})` : ''}.${p.enough ? ' This plan has them.' : longer}
      ${p.enough || String(form.limit) === more ? nothing : html`<button type="button" class="ui-small" @click=${() => { form.limit = more; changed(); }}>Use ${more ? count(p.items) : 'all items'}</button>`}</p>`;
  };
  const shown = () => {
    if (!plan) return html`<h3>Cost and statistical power</h3><p class="big none">–</p>${choices ? nothing : html`<p class="ratio">Reading the model…</p>`}`;
    const { text, tasks, variants, items, answers } = plan, alone = Boolean(text?.alone);
    const all = `${plural(variants, 'variant')} and the reference`, of = (t) => (t.name === 'bundled' ? 'bundled prose' : t.name);
    const extra = [!alone && text && `divergence on ${text.tokens ? `${count(text.tokens)} tokens` : 'all'} of ${of(text)}`, plan.speed && 'speed'].filter(Boolean);
    return html`<h3>Cost and statistical power</h3>
      <p class="big">${alone ? (text.tokens ? count(text.tokens) : 'all') : answers === null ? '–' : count(answers)}</p>
      <p class="ratio">${alone ? `tokens of ${of(text)}, read by ${all}, and once more for the noise floor` : `answers: ${items === null ? 'all items of each task' : count(items)}${items === null ? '' : ' items'} × ${all}${plan.sample ? '; a sample, not the benchmark’s score' : ''}`}</p>
      ${extra.length ? html`<p class="ratio">and ${extra.join(' and ')} of each</p>` : nothing}
      ${time(plan.time)}
      ${alone ? html`<p class="ratio ev-alone">Without tasks: this measures how far each distribution moves. It ranks variants, but says nothing about a score. For speed alone there is the Speed page.</p>` : html`
        <table class="ev-sees"><thead><tr><th scope="col">task</th><th scope="col">n</th><th scope="col" class="tipped" tabindex="0" data-tip="The smallest loss that this many paired items detect in 80 of 100 evaluations, at the 5% level, if ${Math.round(100 * plan.discordance)}% of the answers change. A smaller one reads “not distinguishable”.">smallest detectable drop</th></tr></thead>
          <tbody>${tasks.map((t) => html`<tr><th scope="row">${t.name}</th><td>${t.n === null ? 'all' : count(t.n)}</td><td class="sees">${t.smallest_drop === null ? html`<span class="quiet">–</span>` : html`<b>${points(t.smallest_drop)}</b><span class="quiet"> points</span>`}</td></tr>`)}</tbody></table>
        ${power(plan)}`}`;
  };
  const planned = () => {
    const ready = plan && !stale && !problem, error = refused || (!stale && problem);
    const words = busy ? 'Queueing…' : !stale && problem ? 'Not ready: see the message above' : `${plan?.button || 'Evaluate'}${ready && plan.time.seconds && !plan.time.missing.length ? `, ${between(plan.time.seconds).replaceAll(' ', '\u00a0')}` : ''}`;
    return html`<section class="ev-plan ${stale ? 'stale' : ''}" aria-label="Cost and statistical power">
      <div class="shown" aria-live="polite">${shown()}</div>
      <div class="ui-trouble">${error ? notice(error instanceof FieldError ? { message: error.message } : error) : nothing}</div>
      <button type="button" class="ui-go" ?disabled=${busy || !ready} @click=${begin}>${words}</button>
      <p class="ui-under quiet">It runs in a process of its own: closing this page does not stop it, and finished parts are kept.</p></section>`;
  };
  const draw = () => {
    if (form.folded) {
      render(html`<div class="ev-folded"><span class="words">${words() || 'A new evaluation'}</span><button type="button" class="ui-quiet" @click=${() => { form.folded = false; save(); draw(); area.querySelector('.ev-model pg-combobox')?.focus(); }}>Change</button></div>`, area);
      return;
    }
    render(html`<div class="ev-ask">${choices ? asked() : html`<section class="ev-form" aria-label="What to evaluate"><div class="ui-head"><h2>What did it cost in quality?</h2></div>${modelError ? notice(modelError) : html`<p class="quiet ev-reading">Reading…</p>`}</section>`}${planned()}</div>`, area);
  };
  draw();
  return {
    begin, calm, draw,
    show: () => read(form.model),
    // A form that nobody has opened by hand makes room for what was measured.
    fold: (now) => { if (now || form.folded === null) { form.folded = true; save(); draw(); } },
  };
};
