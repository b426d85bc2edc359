// The Reviews page: the form, its cost and power, jobs, the list of reviews, and one review (results.js).
import { html, live, nothing, render, repeat } from '../web/vendor/lit-html.js';
import { call, get, keep, me, shown } from '../web/app.js';
import '../web/combobox.js';
import '../web/confirm.js';
import { plural, when } from '../web/format.js';
import { jobCards, poll } from '../web/jobs.js';
import { notice, radios } from '../web/parts.js';
import { drawResults } from './results.js';

const KEPT = 'pg-reviews', MAX_FILE = 2 ** 20, PLAN_MS = 300;
const NAMES = { // of the form's fields, in their order on the page: an error is shown at its field
  model: 'Model to review', reference: 'Reference', variants: 'Variants', runs: 'Comparisons', count: 'How many', text: 'Your own prompts', max_tokens: 'Max tokens', temperature: 'Temperature', seed: 'Seed',
  invitations: 'Names of reviewers', places: 'Places of the public link', title: 'Title', asked_by: 'Who asks', pairs: 'Pairs', reveal: 'Show names',
};

let root, choices = null, plan = null, busy = '', timer = 0, asking = null;
let board = null, boardError = null, lost = null, opened = '', review = null, reviewError = null, looking = null;
let look = () => {};
let error = null; // of the plan or of the last start; { field } says where it is shown
let loadError = null;
let submitted = false;
const touched = new Set(), logs = new Set();
const form = {
  source: 'prompts', model: '', reference: '', variants: [], prompts: 'bundled', count: '', text: '', file: '', max_tokens: '', temperature: '0', seed: '0', runs: [],
  title: '', asked_by: '', pairs: 'reference', reveal: 'end', invitations: '', common: false, places: '',
};

// ---- what is sent
const number = (typed) => (/^\d+(\.\d+)?$/.test(String(typed).trim()) ? Number(typed) : String(typed).trim());
const body = () => ({
  source: form.source, reference: form.reference, variants: form.variants, prompts: form.prompts, runs: form.runs, file: form.file, pairs: form.pairs, reveal: form.reveal, title: form.title, asked_by: form.asked_by,
  count: form.count.trim() ? number(form.count) : null, text: form.prompts === 'own' ? form.text : '',
  max_tokens: number(form.max_tokens), temperature: number(form.temperature), seed: number(form.seed),
  invitations: form.invitations.split(/[\n,]/).map((name) => name.trim()).filter(Boolean), places: form.common ? number(form.places) : 0,
});
const store = () => { try { sessionStorage.setItem(KEPT, JSON.stringify(form)); } catch { /* a text that is too long: it is not kept */ } };
const restore = () => { try { Object.assign(form, JSON.parse(sessionStorage.getItem(KEPT) || '{}')); } catch { sessionStorage.removeItem(KEPT); } };

const change = (field, value) => {
  form[field] = value;
  touched.add(field === 'common' || field === 'places' ? 'invitations' : field).add(field);
  store();
  ask();
};
const ask = (now = false) => {
  clearTimeout(timer);
  asking?.abort();
  const mine = (asking = new AbortController());
  draw();
  timer = setTimeout(async () => {
    try {
      plan = await call('api/review/plan', body(), mine.signal);
      error = plan.error;
    } catch (refusal) {
      if (mine.signal.aborted) return;
      plan = null; error = refusal;
    }
    asking = null;
    draw();
  }, now ? 0 : PLAN_MS);
};
const load = async (model) => {
  try {
    choices = await get(`api/review/form?${new URLSearchParams({ model })}`);
    loadError = null;
  } catch (refusal) { loadError = refusal; touched.add('model'); draw(); return; }
  const known = (id) => choices.variants.some((v) => v.id === id);
  if (form.model !== choices.model || !known(form.reference)) {
    form.model = choices.model;
    form.reference = choices.variants.find((v) => v.reference)?.id || choices.variants[0]?.id || '';
    form.variants = choices.variants.filter((v) => !v.reference && !v.why && /nf4/i.test(v.label)).slice(0, 1).map((v) => v.id);
  }
  form.variants = form.variants.filter(known);
  form.runs = form.runs.filter((id) => choices.runs.some((run) => run.id === id));
  form.title ||= choices.default.title; form.max_tokens ||= String(choices.default.max_tokens); form.places ||= String(choices.default.places);
  ask(true);
};
const start = async () => {
  if (busy) return;
  submitted = true;
  clearTimeout(timer); asking?.abort(); asking = null;
  busy = 'start'; draw();
  try {
    const made = await call('api/review/start', body());
    error = null; submitted = false; touched.clear();
    if (made.review) { await look(); open(made.review, true); } else { await look(); root.querySelector('.ui-jobs')?.scrollIntoView({ block: 'nearest' }); }
  } catch (refusal) {
    error = refusal;
    busy = ''; draw();
    const at = [...root.querySelectorAll('.rv-error')].find((node) => node.textContent);
    (at?.closest('label, .rv-part')?.querySelector('input, textarea, select') || at)?.focus();
    return;
  }
  busy = ''; draw();
};

// ---- parts of the form
// An error is shown once its field was touched, or the form was sent.
const at = (field) => (error && error.field === field && (submitted || touched.has(field)) ? error : field === 'model' ? loadError : null);
const wrong = (field) => {
  const found = at(field);
  return html`<span class="rv-error" id="rv-error-${field}" role="alert">${found ? `${found.message} ${found.hint || ''}` : ''}</span>`;
};
const marks = (field) => [at(field) ? 'true' : nothing, at(field) ? `rv-error-${field}` : nothing];
const input = (field, { mode = 'text', placeholder = '', name = NAMES[field] } = {}) => {
  const [invalid, by] = marks(field);
  return html`<input class="ui-input" .value=${live(form[field])} inputmode=${mode} autocomplete="off" spellcheck="false" placeholder=${placeholder}
    aria-label=${name} aria-invalid=${invalid} aria-describedby=${by} @input=${(e) => change(field, e.target.value)} @blur=${() => { touched.add(field); draw(); }}>`;
};
const labelled = (field, name, control, unit = '', tip = '') => html`
  <label class="ui-field"><span class=${tip ? 'name tipped' : 'name'} data-tip=${tip || nothing}>${name}</span>${control}<span class="unit">${unit}</span>${wrong(field)}</label>`;
const choose = (field, pairs) => html`
  <select class="ui-input" aria-label=${NAMES[field]} @change=${(e) => change(field, e.target.value)}>
    ${pairs.map(([value, words]) => html`<option value=${value} ?selected=${value === form[field]}>${words}</option>`)}</select>`;
const part = (field, ...nodes) => html`<div class="rv-part" role="group" aria-label=${field}><span class="legend">${field}</span>${nodes}</div>`;
const tick = (name, small, on, toggle, { why = '', tip = '' } = {}) => html`
  <label class="rv-tick" data-tip=${tip || nothing}><input type="checkbox" .checked=${live(on)} ?disabled=${Boolean(why)} @change=${(e) => toggle(e.target.checked)}>
    <span class="words"><b>${name}</b><small>${why || small}</small></span></label>`;
const toggled = (list, id, on) => (on ? [...list, id] : list.filter((other) => other !== id));

const fromPrompts = () => {
  const others = choices.variants.filter((v) => v.id !== form.reference);
  return html`<div class="rv-source">
    <div><div class="rv-model"><pg-combobox label=${NAMES.model} free .options=${choices.models.map((value) => ({ value }))} .value=${live(form.model)} @pg-choose=${(e) => load(e.detail)}></pg-combobox>
      <span class="rv-origin quiet">${choices.origin}</span></div>${wrong('model')}</div>
    ${part('Variants', html`<label class="rv-against"><span>compared with</span>
        <select class="ui-input" aria-label=${NAMES.reference} @change=${(e) => { form.variants = form.variants.filter((id) => id !== e.target.value); change('reference', e.target.value); }}>
          ${choices.variants.map((v) => html`<option value=${v.id} ?selected=${v.id === form.reference}>${v.label}</option>`)}</select></label>
      <div class="rv-ticks">${repeat(others, (v) => v.id, (v) => tick(v.label, [v.size, v.bits && `${v.bits.toFixed(1)} bits per weight`].filter(Boolean).join(' · '), form.variants.includes(v.id), (on) => change('variants', toggled(form.variants, v.id, on)), { why: v.why, tip: `${v.id}\n${v.source}` }))}
        ${others.length ? nothing : html`<p class="quiet">This machine can load no other variant of this model.</p>`}</div>`, wrong('variants'))}
    ${part('Prompts', html`<div class="rv-set">
      ${radios('Which prompts', [['bundled', 'Bundled'], ['own', 'Your own']], form.prompts, (value) => change('prompts', value))}
      ${form.prompts === 'bundled'
        ? html`<div class="rv-fields">${labelled('count', 'How many', input('count', { mode: 'numeric', placeholder: String(choices.bundled) }), 'empty: all of them', 'Short questions of eight kinds, written for this project. They are not used for calibration or evaluation.')}</div>`
        : html`<div><textarea class="ui-input" rows="5" aria-label=${NAMES.text} spellcheck="false" placeholder="One prompt per line, or separated by blank lines" aria-invalid=${marks('text')[0]} aria-describedby=${marks('text')[1]}
            .value=${live(form.text)} @input=${(e) => { form.file = ''; change('text', e.target.value); }} @blur=${() => { touched.add('text'); draw(); }}></textarea>
          <div class="rv-file"><button type="button" class="ui-quiet" @click=${(e) => e.target.nextElementSibling.click()}>Open a file…</button>
            <input class="ui-clip" type="file" accept=".jsonl,.txt" tabindex="-1" aria-label="File of prompts" @change=${read}><span class="quiet">${form.file}</span></div>${wrong('text')}</div>`}
      </div>`)}
    <details class="ui-more"><summary>Generation settings<span class="ui-said quiet"> · ${Number(form.temperature) ? `temperature ${form.temperature}` : 'greedy'} · max ${form.max_tokens} tokens · seed ${form.seed}</span></summary>
      <div class="rv-fields three">${labelled('max_tokens', 'Max tokens', input('max_tokens', { mode: 'numeric' }), 'longer answers are cut')}${labelled('temperature', 'Temperature', input('temperature', { mode: 'decimal' }), '0 is greedy')}${labelled('seed', 'Seed', input('seed', { mode: 'numeric' }))}</div></details></div>`;
};
const read = async (e) => {
  const [file] = e.target.files;
  e.target.value = '';
  if (!file) return;
  if (file.size > MAX_FILE) {
    touched.add('text');
    error = { field: 'text', message: `${file.name} has ${(file.size / MAX_FILE).toFixed(1)} MiB.`, hint: 'The limit is 1 MiB.' };
    draw();
    return;
  }
  form.file = file.name;
  change('text', await file.text());
};
const fromRuns = () => html`<div class="rv-source">${part('Comparisons', html`<div class="rv-ticks runs">
  ${repeat(choices.runs, (run) => run.id, (run) => tick(run.title, `${run.labels.join(', ')} · ${when(run.created)}`, form.runs.includes(run.id), (on) => change('runs', toggled(form.runs, run.id, on))))}
  ${choices.runs.length ? nothing : html`<p class="quiet">No comparison is stored yet. Ask a question on the <a href="#compare">Compare</a> page first.</p>`}</div>`, wrong('runs'))}</div>`;

const formCard = () => html`<section class="rv-form" aria-label="What is reviewed">
  <div class="ui-head"><h2>Do people notice?</h2><p class="quiet">A blind review: people see two answers and vote without knowing which variant wrote which. They need a link, and no account.</p></div>
  ${!choices ? html`<div class="ui-trouble">${loadError ? notice(loadError) : html`<p class="quiet">Reading the models…</p>`}</div>` : html`<div class="rv-body">
    ${radios('Where the answers come from', [['prompts', 'Prompts'], ['runs', 'Stored comparisons']], form.source, (value) => change('source', value))}
    ${form.source === 'prompts' ? fromPrompts() : fromRuns()}
    ${part('Reviewers', html`<p class="quiet rv-hint">One name per line. Each reviewer gets a link of their own, and only you see the names.</p>
      <textarea class="ui-input" rows="3" aria-label=${NAMES.invitations} placeholder="Anna&#10;Ben" spellcheck="false" aria-invalid=${marks('invitations')[0]} aria-describedby=${marks('invitations')[1]}
        .value=${live(form.invitations)} @input=${(e) => change('invitations', e.target.value)} @blur=${() => { touched.add('invitations'); draw(); }}></textarea>${wrong('invitations')}
      <div class="rv-common">${tick('Also create a public link', 'Everyone who has it can vote, once per browser. These reviewers see the names when you close the review.', form.common, (on) => change('common', on))}
        ${form.common ? html`<span class="rv-places">${input('places', { mode: 'numeric' })}<span class="quiet">people at most</span></span>` : nothing}</div>${form.common ? wrong('places') : nothing}`)}
    <div class="rv-fields four">${labelled('title', 'Title', input('title'), 'shown to reviewers: do not name variants')}${labelled('asked_by', 'Who asks', input('asked_by', { placeholder: 'your name' }), 'shown to reviewers; may be empty')}
      ${labelled('pairs', 'Pairs', choose('pairs', [['reference', 'each variant with the reference'], ['all', 'all pairs of variants']]))}
      ${labelled('reveal', 'Show names to reviewers', choose('reveal', [['end', 'after their last vote'], ['never', 'never'], ['item', 'after each vote (two variants, no public link)']]))}</div></div>`}</section>`;

// ---- cost and power
const fact = (name, value, unit) => html`<div class="ui-fact"><span class="k">${name}</span><span class="v">${value}</span><span class="u">${unit}</span></div>`;
const power = () => (plan.sees > 0.995
  ? html`With ${plural(plan.prompts, 'prompt')} and one reviewer, <b>only a unanimous preference</b> can be detected. Anything weaker is reported as “could not tell”.`
  : html`With ${plural(plan.prompts, 'prompt')} and one reviewer, a preference of <b>${Math.round(100 * plan.sees)}% or more</b> can be detected. Anything weaker is reported as “could not tell”.`);
const action = () => {
  if (busy) return 'One moment…';
  if (!plan) return 'Create the review';
  return plan.answers === null ? `Create a review of ${plural(plan.items, 'comparison')}` : `Create the review (${plural(plan.answers, 'answer')})`;
};
const planCard = () => {
  const elsewhere = error && !(error.field in NAMES) && (submitted || touched.size) ? error : null;
  const sent = submitted && error && error.field in NAMES;
  const links = plan && [plan.reviewers && plural(plan.reviewers, 'invitation'), plan.places && `public link for ${plan.places}`].filter(Boolean).join(', ');
  return html`<section class="rv-plan ${asking ? 'stale' : ''}" aria-label="Cost and statistical power">
    <div class="shown" aria-live="polite"><h3>Cost and statistical power</h3>
      ${plan ? html`<div class="facts">${fact('Votes per reviewer', plan.items.toLocaleString('en'), `about ${plan.minutes} min of reading`)}
        ${plan.answers === null ? nothing : fact('Answers to generate', plan.answers.toLocaleString('en'), `${plural(plan.prompts, 'prompt')} × ${plan.variants} variants`)}
        ${fact('Links', String(plan.reviewers + (plan.places ? 1 : 0)), links || 'no reviewer yet')}</div><p class="rv-sees">${power()}</p>` : html`<p class="big none">–</p>`}</div>
    <div class="ui-trouble">${notice(elsewhere)}${sent ? html`<p class="rv-error">Check “${NAMES[error.field]}”: ${error.message}</p>` : nothing}</div>
    <button type="button" class="ui-go" ?disabled=${Boolean(busy) || !choices} @click=${start}>${action()}</button>
    <p class="ui-under quiet">${plan?.answers === null ? 'The stored texts are used unchanged.' : 'Generates the answers first. You can close this page meanwhile.'}</p></section>`;
};

// ---- reviews
const refresh = async (id, signal) => {
  try {
    const found = await get(`api/review/${encodeURIComponent(id)}`, signal);
    if (opened !== id) return;
    review = found; reviewError = null;
  } catch (refusal) {
    if (signal?.aborted || opened !== id) return;
    reviewError = refusal;
    if (refusal.code === 'unknown_review') review = null;
  }
};
const open = async (id, scroll = false) => {
  looking?.abort();
  const mine = (looking = new AbortController());
  if (id !== opened) { review = null; reviewError = null; }
  opened = id;
  keep('reviews', { review: id });
  draw();
  if (!id) return;
  await refresh(id, mine.signal);
  if (mine.signal.aborted) return;
  draw();
  if (scroll) root.querySelector('.rv-opened').scrollIntoView({ block: 'start' });
};
// What the owner does with the opened review.
const act = async (verb, more = {}) => {
  const id = opened;
  try { const found = await call(`api/review/${encodeURIComponent(id)}/${verb}`, more); if (id === opened) { review = found; reviewError = null; } } catch (refusal) { reviewError = refusal; }
  draw();
};
const remove = async (id) => {
  boardError = null;
  try { await call(`api/review/${encodeURIComponent(id)}/remove`); } catch (refusal) { boardError = refusal; }
  await look();
};
const line = (row) => html`<article class="rv-line" data-id=${row.id}>
  <button type="button" class="open" aria-current=${row.id === opened ? 'true' : nothing} @click=${() => open(row.id, true)}>
    <span class="who"><b>${row.name}</b><span class="quiet">${plural(row.items, 'pair')} · ${row.title}</span></span>
    <span class="quiet much">${plural(row.votes, 'vote')}${row.closed ? ' · closed' : ''}</span><span class="quiet when">${when(row.created)}</span></button>
  <span class="acts"><pg-confirm words="Delete" question="Delete it with all its votes?" yes="Delete" no="Keep" name="Delete the review ${row.name}" @pg-yes=${() => remove(row.id)}></pg-confirm></span></article>`;
const list = () => (!board?.reviews.length ? nothing : html`<section class="rv-list" aria-label="All reviews">
  <div class="ui-section"><h3>Reviews</h3><span class="quiet">${plural(board.reviews.length, 'review')}</span></div>
  <div class="ui-list">${repeat(board.reviews, (row) => row.id, line)}</div></section>`);
const resultsBox = () => html`<div class="rv-opened"><div class="ui-trouble">${notice(reviewError)}</div>
  ${review ? drawResults(review, act, draw)
    : opened || !board ? (reviewError ? nothing : html`<p class="quiet">Reading the results…</p>`)
      : html`<p class="ui-empty"><b>No review yet.</b> Choose variants and prompts above, name your reviewers, and send each of them a link.</p>`}</div>`;

const draw = () => render(html`
  <div class="rv-ask">${formCard()}${planCard()}</div>
  <div class="ui-trouble">${notice(boardError || lost)}</div>
  ${board?.jobs.length ? jobCards(board, { logs, look: () => look(), trouble: (refusal) => { boardError = refusal; draw(); }, gone: 'Done. Its review was deleted later.', left: 'The answers so far are kept: the same review continues from there.' }) : nothing}
  ${resultsBox()}${list()}`, root);

const ownerOnly = () => render(html`<div class="ui-empty"><b>This is available to the owner only.</b> The owner creates reviews here and sees their results. If you were invited to one, use the link that you were sent.
  <p><button type="button" class="ui-quiet" @click=${() => document.dispatchEvent(new CustomEvent('pg-login'))}>Log in</button></p></div>`, root);

const watch = async (signal) => {
  const query = new URLSearchParams([...logs].map((id) => ['log', id])).toString();
  const found = await get(`api/review/board${query ? `?${query}` : ''}`, signal);
  const newest = found.reviews[0]?.id || '', before = board?.reviews[0]?.id || '';
  const gone = opened && board && !found.reviews.some((row) => row.id === opened);
  const first = !board;
  board = found;
  if (gone || (first && !opened) || (!first && newest !== before && opened === before)) await open(newest);
  else if (opened && !review?.review.closed) await refresh(opened, signal);
  draw();
  return found.active;
};

export const mount = (section, state) => {
  root = section;
  if (me.role !== 'owner') return ownerOnly();
  restore();
  opened = state.review || '';
  draw();
  load(form.model);
  document.addEventListener('keydown', (e) => { if (shown('reviews') && e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); start(); } });
  look = poll('reviews', watch, (trouble) => { if (lost !== trouble) { lost = trouble; draw(); } });
  return undefined;
};
let first = true;
export const show = (state) => {
  if (me.role !== 'owner') return;
  if (state.review && state.review !== opened) open(state.review, true);
  else if (opened) keep('reviews', { review: opened });
  if (!first && choices) load(form.model); // comparisons and variants made since
  first = false;
};
