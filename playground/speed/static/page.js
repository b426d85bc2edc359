// Speed: what to measure, how far it is, and what was measured. The rows of a measurement come as a stream.
import { html, live, nothing, render, repeat } from '../web/vendor/lit-html.js';
import '../web/combobox.js';
import { Refusal, beacon, call, get, me, shown, stream, title } from '../web/app.js';
import { bytes, plural } from '../web/format.js';
import { notice } from '../web/parts.js';
import { speedView } from './result.js';

const FIELDS = [
  ['prompt_tokens', 'Prompt', 'tokens', 'Prefill: how fast the prompt is read. 0 leaves this test out.'],
  ['output_tokens', 'Answer', 'tokens', 'Decode: how fast tokens are generated. 0 leaves this test out.'],
  ['depths', 'Context length', 'tokens already in context', 'Tokens that are in the context before decoding begins. Several, separated by commas: 0, 512.'],
  ['runs', 'Repetitions', 'after a warm-up', 'How often each test is repeated. One more, the first, is a warm-up and is discarded.'],
  ['concurrency', 'Concurrent requests', 'empty: one only', 'The throughput of a server under several requests at once, one level after the other: 1, 2, 4, 8.'],
];
const LISTS = ['depths', 'concurrency'];
const KEPT = 'pg-speed'; // what a reload keeps: the model, what is ticked, the fields, the measurement
const empty = () => ({ rows: [], shown: null, stage: null, end: null });

let root, form = null, failed = null, busy = false, refusal = null, sum = null;
let fields = {}, ticked = new Set();
let measurement = { id: '', last: 0, ...empty() }, stopping = false, close = () => {};
const kept = JSON.parse(sessionStorage.getItem(KEPT) || 'null') || {};
const keepForm = () => sessionStorage.setItem(KEPT, JSON.stringify({ model: form?.model, ticked: [...ticked], fields, id: measurement.id }));
const running = () => Boolean(measurement.id && !measurement.end);

// ---- the form
// A text that is no number is sent as it is: the server says what is wrong with it.
const numbers = (text) => String(text).split(/[\s,]+/).filter(Boolean).map((part) => (Number.isNaN(Number(part)) ? part : Number(part)));
const spec = () => ({
  addresses: [...ticked],
  plan: Object.fromEntries(FIELDS.map(([name]) => [name, LISTS.includes(name) ? numbers(fields[name]) : numbers(fields[name])[0] ?? null])),
});
const able = (variant) => variant.options.find((option) => option.runs);
const load = async (model, selected) => {
  busy = true; draw();
  try {
    form = await get(`api/speed/form?${new URLSearchParams({ model })}`);
    failed = null;
    const all = new Set(form.variants.flatMap((variant) => variant.options).filter((option) => option.runs).map((option) => option.address));
    if (!Object.keys(fields).length) fields = kept.fields ?? Object.fromEntries(FIELDS.map(([name]) => [name, [].concat(form.plan[name]).join(', ')]));
    ticked = new Set((selected ?? []).filter((address) => all.has(address)));
    if (!ticked.size && !selected?.length) {
      const first = [form.variants.find((v) => v.reference), form.variants.find((v) => !v.reference && /nf4|int4|Q4/i.test(v.label)) || form.variants[1]];
      for (const variant of first) if (variant && able(variant)) ticked.add(able(variant).address);
    }
    keepForm(); plan();
    if (!measurement.id && form.latest) showLatest(form.latest);
  } catch (error) { if (!(error instanceof Refusal)) throw error; failed = error; }
  busy = false; draw();
};
// What is measured was measured here before: its newest stored result, until there is one of this page.
let latest = null;
const showLatest = async (id) => {
  try { const run = await get(`api/runs/${encodeURIComponent(id)}`); latest = { id, when: run.created, ...run.speed }; } catch (error) { if (!(error instanceof Refusal)) throw error; latest = null; }
  draw();
};
let asked = null, waits = 0;
const plan = () => {
  clearTimeout(waits);
  waits = setTimeout(async () => {
    asked?.abort();
    if (!ticked.size) { sum = null; refusal = null; draw(); return; }
    const mine = (asked = new AbortController());
    try { sum = await call('api/speed/plan', spec(), mine.signal); refusal = null; } catch (error) {
      if (error.name === 'AbortError') return;
      sum = null; refusal = error;
    }
    draw();
  }, 150);
};
const change = (name, value) => { fields = { ...fields, [name]: value }; keepForm(); plan(); draw(); };
const toggle = (address) => { if (!ticked.delete(address)) ticked.add(address); keepForm(); plan(); draw(); };

const measure = async () => {
  if (running() || busy || !ticked.size) return;
  refusal = null; busy = true; draw();
  try {
    const { id } = await call('api/speed/measure', spec());
    measurement = { id, last: 0, ...empty() }; latest = null;
    keepForm(); follow();
  } catch (error) { refusal = error; }
  busy = false; draw();
};
const stop = async () => {
  stopping = true; draw();
  try { await call('api/speed/stop', { id: measurement.id }); } catch (error) { refusal = error; stopping = false; draw(); }
};
const follow = () => {
  close();
  close = stream(measurement.id, measurement.last, {
    row: ([kind, value], number) => {
      measurement.last = number; lost = false;
      if (kind === 'row') measurement.rows = [...measurement.rows, value];
      else measurement[kind] = value;
      if (kind === 'end') { stopping = false; measurement.stage = null; }
      draw();
    },
    trouble: () => { lost = true; draw(); },
  });
};
let lost = false;

const tick = (option, variant) => {
  const name = `${variant.label} in ${option.title}`;
  if (!option.runs) {
    return html`<button type="button" class="tick no" role="checkbox" aria-disabled="true" aria-checked="false" aria-label="${name}: not available. ${option.why}" data-tip=${[option.why, option.do].filter(Boolean).join('. To change that: ')}></button>`;
  }
  return html`<button type="button" class="tick" role="checkbox" aria-checked=${ticked.has(option.address)} aria-label=${name} ?disabled=${running()} @click=${() => toggle(option.address)}></button>`;
};
const matrix = () => {
  const engines = [...new Map(form.variants.flatMap((v) => v.options).map((option) => [option.engine, option])).values()];
  const here = engines.filter((engine) => form.variants.some((v) => v.options.some((o) => o.engine === engine.engine && o.runs)));
  const absent = engines.filter((engine) => !here.includes(engine));
  return html`
    <div class="sp-matrix" .style=${`--engines: ${Math.max(1, here.length)}`}>
      ${here.length ? html`<div class="line top"><span class="what">variant</span>${here.map((e) => html`<span class="engine">${e.title}</span>`)}</div>` : nothing}
      ${repeat(form.variants, (v) => v.id, (v) => html`<div class="line">
        <span class="what" data-tip=${v.source || v.id}><b>${v.label}</b><small>${v.size}</small>${v.reference ? html`<i class="role">reference</i>` : nothing}</span>
        ${here.map((e) => { const option = v.options.find((o) => o.engine === e.engine); return option ? tick(option, v) : html`<span></span>`; })}</div>`)}
    </div>
    <p class="sp-absent quiet">${absent.map((e) => html`<span>${e.title}: ${e.why}${e.do ? ` (${e.do})` : ''}</span>`)}</p>`;
};
const summary = () => {
  if (!ticked.size) return 'Nothing is selected.';
  return sum ? `${plural(sum.variants, 'variant')} · ${plural(sum.generations, 'generation')} and ${plural(sum.loads, 'load')}: ${sum.steps} steps` : '';
};
const formView = () => html`
  <section class="sp-form" aria-label="What to measure">
    <div class="sp-head"><h2>How fast does it run here?</h2><p class="quiet">Each variant on each engine, repeated with the warm-up discarded, against what the memory of this device can deliver.</p></div>
    <div class="sp-body">
      <div class="sp-left">
        <div class="sp-model"><pg-combobox label="Model" free .options=${(form?.models ?? []).map((value) => ({ value }))} .value=${live(form?.model ?? kept.model ?? '')} @pg-choose=${(e) => load(e.detail)}></pg-combobox><span class="sp-origin">${form?.origin ?? ''}</span></div>
        ${failed ? notice(failed) : nothing}
        ${form ? matrix() : busy ? html`<p class="quiet">Reading the model…</p>` : nothing}
      </div>
      <div class="sp-right">
        <div class="sp-fields">${FIELDS.map(([name, words, unit, tip]) => html`
          <label><span class="name" data-tip=${tip}>${words}</span>
          <input class="sp-input" name=${name} autocomplete="off" inputmode=${LISTS.includes(name) ? 'text' : 'numeric'} .value=${live(String(fields[name] ?? ''))} ?disabled=${running()} aria-invalid=${refusal?.field === name || nothing} @input=${(e) => change(name, e.target.value)}>
          <span class="unit">${unit}</span></label>`)}</div>
        <div class="sp-trouble" aria-live="assertive">${refusal ? notice(refusal) : nothing}</div>
        <div class="sp-foot"><span class="sp-sum">${summary()}</span>
          <button type="button" class="sp-stop" ?hidden=${!running()} ?disabled=${stopping} @click=${stop}>${stopping ? 'Stopping…' : 'Stop'}</button>
          <button type="button" class="sp-go" ?disabled=${running() || busy || !ticked.size} @click=${measure}>${running() ? 'Measuring…' : 'Measure'}</button></div>
      </div>
    </div>
  </section>`;

// ---- how far it is
const timeLeft = (s) => (s === null ? '' : s < 1 ? 'nearly done' : s < 90 ? `about ${Math.ceil(s)} s left` : `about ${Math.round(s / 60)} min left`);
const stageView = (now) => {
  const loaded = now.load && now.load[1] ? (now.load[2] === 'bytes' ? `${bytes(now.load[0])} of ${bytes(now.load[1])}` : `${now.load[0]} of ${now.load[1]} ${now.load[2]}`) : '';
  const words = [loaded, `step ${Math.min(now.total, now.done + 1)} of ${now.total}`, timeLeft(now.left_s)].filter(Boolean).join(' · ');
  return html`<div class="sp-stage"><div class="words"><b>${[now.name, now.title && `in ${now.title}`].filter(Boolean).join(' ')}</b><span>${now.words}</span></div>
    <div class="bar" role="progressbar" aria-label="Steps done" aria-valuemax=${now.total} aria-valuenow=${now.done}><i .style=${`width: ${(100 * now.done) / Math.max(1, now.total)}%`}></i></div>
    <span class="much">${words}</span></div>`;
};
const status = () => {
  const { end, stage, rows, id } = measurement;
  if (!id) {
    return latest ? html`<p class="sp-empty">The last measurement of this model, ${new Date(latest.when * 1e3).toLocaleString()}. <a href="run/${latest.id}">Open it in Runs</a></p>`
      : html`<div class="sp-empty"><b>Nothing measured yet.</b> Tick variants and engines and press Measure. Results appear here as they are measured, in a table and against the memory-bandwidth limit: each token must read all weights once.</div>`;
  }
  return html`
    ${lost && !end ? notice({ message: 'The connection broke off.', hint: 'Trying again; the measurement goes on for 15 seconds.' }) : nothing}
    ${stage ? stageView(stage) : nothing}
    ${end?.state === 'stopped' ? html`<div class="sp-empty">${rows.length ? 'Stopped. What was measured until then stays.' : 'Stopped before anything was measured.'}</div>` : nothing}
    ${end?.error ? notice(end.error) : nothing}`;
};

let drawnOf = '', result;
const draw = () => {
  render(html`
    ${me.role === 'owner' ? formView() : html`<section class="sp-form"><p>Measuring is available to the owner only.</p><button type="button" class="sp-go" @click=${() => document.dispatchEvent(new CustomEvent('pg-login'))}>Log in</button></section>`}
    <div id="pg-speed-result"><div class="sp-status" aria-live="polite">${status()}</div><div class="sp-result"></div></div>`, root);
  // The table and plots change when a row arrives, not with each step: whoever reads a tip keeps it.
  const value = measurement.id
    ? { rows: measurement.rows, ...measurement.shown, files: measurement.end?.files, run: measurement.end?.run }
    : latest ? { ...latest, run: latest.id } : null;
  const sign = JSON.stringify([measurement.id, value?.rows.length ?? 0, value?.run ?? '']);
  if (sign === drawnOf) return;
  drawnOf = sign;
  result = root.querySelector('.sp-result');
  if (value?.rows.length) speedView(result, value); else result.replaceChildren();
};

export const mount = (section, state) => {
  root = section;
  draw();
  document.addEventListener('keydown', (e) => {
    if (!shown('speed') || e.defaultPrevented) return;
    if (e.key === 'Escape' && running()) stop();
    else if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); measure(); }
  });
  addEventListener('pagehide', () => { if (running()) beacon('api/speed/leave', { id: measurement.id }); });
  if (me.role !== 'owner') return;
  if (kept.id) { measurement = { id: kept.id, last: 0, ...empty() }; follow(); }
  load(state.model || kept.model || '', state.variants ? state.variants.split(',') : kept.ticked);
};
let opened = true;
export const show = (state) => {
  title('Speed');
  if (opened) { opened = false; return; } // mount has just loaded it
  if (me.role === 'owner' && !running()) load(state.model || form?.model || '', state.variants ? state.variants.split(',') : [...ticked]);
};
