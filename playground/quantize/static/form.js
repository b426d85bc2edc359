// The form: which method and scheme, calibrated on what. It survives a reload, except for a chosen file.
import { html, live, nothing } from '../web/vendor/lit-html.js';
import { get, keep, Refusal } from '../web/app.js';
import { send } from '../web/api.js';
import { bytes, plural } from '../web/format.js';
import '../web/combobox.js';
import { arrows, field, notice, radios } from '../web/parts.js';

const KEY = 'pg-quantize', LONG = 16_000; // characters
const SOURCES = [['bundled', 'Bundled'], ['upload', 'File'], ['hub', 'Hub data set'], ['pasted', 'Pasted']];
const KV = [['', 'Unquantized (16-bit)'], ['FP8', 'FP8: 8-bit floating point'], ['INT8', 'INT8: 8-bit integers']];
const GROUPS = [
  ['recommended', 'Recommended here'],
  ['plain', 'Other methods without calibration'],
  ['calibrated', 'Methods that need calibration text'],
  ['missing', 'Not available here'],
];
const BADGES = { all: 'needs calibration text', some: 'some schemes need calibration text', none: 'no calibration' };
const blank = () => ({
  model: '', method: '', scheme: '', group: '', kv: '', ignore: '', keep: '', name: '', options: {}, // options: { method: { name: text } }
  source: 'bundled', hub: '', text: '', samples: '', length: '', seed: '', more: false,
});
const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
const sentence = (words) => (/[.:]$/.test(words) ? words : `${words}.`);
const lines = (text) => [...new Set(text.split('\n').map((line) => line.trim()).filter(Boolean))];
const number = (text) => (/^\d+$/.test(text.trim()) ? Number(text) : text.trim());

// changed(): the draft is another one; redraw(): only what is shown is.
export const form = ({ changed, redraw }) => {
  let offer = null, failed = null, lostFile = '', sending = null, chosen = null; // chosen: { name, token, rows, skipped }
  let value = blank(), fileError = null;
  try {
    const { file = '', ...stored } = JSON.parse(sessionStorage.getItem(KEY)) ?? {};
    value = { ...value, ...stored };
    lostFile = file;
  } catch { /* a browser without storage, or of an earlier version: the form begins empty */ }

  const store = () => {
    try { sessionStorage.setItem(KEY, JSON.stringify({ ...value, text: value.text.slice(0, 100_000), file: chosen?.name ?? '' })); } catch { /* full, or none: the form lasts until the reload */ }
    keep('quantize', { model: value.model, method: value.method, scheme: value.scheme });
  };
  const method = () => offer?.methods.find((each) => each.name === value.method);
  const scheme = () => method()?.schemes.find((each) => each.name === value.scheme);
  const calibrates = () => Boolean(scheme()?.calibrates || (method()?.compressor && value.kv));
  const set = (values) => { Object.assign(value, values); store(); changed(); };

  // ---- what can be chosen
  const take = (name, wanted = '') => {
    const row = offer.methods.find((each) => each.name === name && !each.missing) ?? offer.methods.find((each) => each.name === offer.default);
    if (!row) return;
    value.method = row.name;
    value.scheme = row.schemes.some((each) => each.name === wanted) ? wanted : row.scheme;
  };
  const load = async () => {
    try {
      offer = await get(`api/quantize/form?${new URLSearchParams({ model: value.model })}`);
      failed = null;
      value.model = offer.model;
      value.samples ||= String(offer.calibration.samples); value.length ||= String(offer.calibration.max_length); value.seed ||= String(offer.calibration.seed);
      take(value.method || offer.default, value.scheme);
      store();
    } catch (error) { failed = error; }
    changed();
  };
  // What an address names: `#quantize?model=…&method=…&scheme=…`.
  const show = ({ model = '', method: name = '', scheme: wanted = '' }) => {
    if ((!model || model === value.model) && (!name || name === value.method) && (!wanted || wanted === value.scheme)) { if (offer) store(); return; }
    Object.assign(value, { model: model || value.model, method: name || value.method, scheme: wanted });
    if (offer) load();
  };

  // ---- a file, in pieces; at(share) as each is sent. Returns the server's answer to the last.
  const sendAll = async (file, name, at, signal) => {
    const { piece } = offer.upload, id = `${Date.now()}-${Math.random()}`, count = Math.max(1, Math.ceil(file.size / piece));
    let answer = null;
    for (let part = 0; part < count; part += 1) {
      at(part / count);
      const query = new URLSearchParams({ name, upload: id, number: part, last: part === count - 1 });
      answer = await send(`api/quantize/upload?${query}`, file.slice(part * piece, (part + 1) * piece), signal);
    }
    return answer;
  };
  const upload = async (file) => {
    const { limit } = offer.upload, control = new AbortController();
    chosen = null; lostFile = ''; fileError = null;
    if (file.size > limit) {
      fileError = { message: `${file.name} has ${bytes(file.size)}; the page takes ${bytes(limit)}.`, hint: 'Use it by its path on the command line: --calibration FILE.' };
      set({});
      return;
    }
    const mine = (sending = { name: file.name, share: 0, control });
    try {
      const answer = await sendAll(file, file.name, (share) => { mine.share = share; redraw(); }, control.signal);
      if (sending === mine) chosen = { name: file.name, ...answer };
    } catch (error) {
      if (sending === mine && error instanceof Refusal) fileError = error;
    }
    if (sending !== mine) return;
    sending = null;
    set({});
  };

  const draft = () => {
    const row = method(), changedOptions = value.options[row.name] ?? {};
    return {
      model: value.model.trim(), method: row.name, scheme: value.scheme,
      group_size: scheme()?.groups && value.group ? Number(value.group) : null,
      kv_cache: row.compressor ? value.kv : '',
      ignore: lines(value.ignore), keep: row.layers.keep ? lines(value.keep) : [], name: value.name.trim(),
      options: Object.fromEntries(row.options.filter((o) => (changedOptions[o.name] ?? o.default) !== o.default).map((o) => [o.name, changedOptions[o.name]])),
      calibration: calibrates() ? {
        source: value.source, upload: chosen?.token ?? '', hub: value.hub.trim(), text: value.source === 'pasted' ? value.text : '',
        samples: number(value.samples), max_length: number(value.length), seed: number(value.seed),
      } : {},
    };
  };

  // The draft as it is started: long text is a file by then, because other requests are small.
  const complete = async () => {
    const whole = draft(), { text } = whole.calibration;
    if (!text || text.length <= LONG) return whole;
    const { token } = await sendAll(new Blob([text]), 'pasted.txt', () => {});
    return { ...whole, calibration: { ...whole.calibration, source: 'upload', upload: token, text: '' } };
  };

  // ---- templates. `wrong`: the refusal of the draft, shown at its field
  const wrongAt = (wrong, ...names) => (wrong && names.includes(wrong.field) ? html`<span class="qz-wrong" role="alert"><b>${wrong.message}</b> ${wrong.hint}</span>` : nothing);
  const bad = (wrong, name) => (wrong?.field === name ? 'true' : nothing);
  const input = (key, wrong, name = key, more = {}) => html`<input class="ui-input" .value=${live(value[key])} inputmode=${more.mode ?? nothing} placeholder=${more.placeholder ?? nothing} aria-label=${more.label ?? nothing} aria-invalid=${bad(wrong, name)} autocomplete="off" spellcheck="false" @input=${(e) => set({ [key]: e.target.value })}>`;
  const area = (key, wrong, { rows = 2, placeholder = '', label } = {}) => html`<textarea class="ui-input" rows=${rows} placeholder=${placeholder} aria-label=${label ?? nothing} aria-invalid=${bad(wrong, key)} maxlength=${key === 'text' ? offer.calibration.max_pasted : nothing} spellcheck="false" .value=${live(value[key])} @input=${(e) => set({ [key]: e.target.value })}></textarea>`;
  const select = (pairs, chosenValue, change, wrong = null, name = '') => html`<select class="ui-input" aria-invalid=${bad(wrong, name)} .value=${live(chosenValue)} @change=${(e) => change(e.target.value)}>${pairs.map(([each, words]) => html`<option value=${each} ?selected=${each === chosenValue}>${words}</option>`)}</select>`;

  const card = (row) => html`<button type="button" class="qz-method" role="radio" aria-label=${row.title} aria-checked=${row.name === value.method} tabindex=${row.name === value.method ? 0 : -1} data-name=${row.name} ?disabled=${Boolean(row.missing)} @click=${() => { take(row.name, value.scheme); set({}); }}>
    <b>${row.title}</b>
    <span class="good">${row.recommended || row.good}</span>
    <span class="badges">${row.recommended ? html`<i class="best">Recommended here</i>` : nothing}<i>${BADGES[row.calibration]}</i></span>
    ${row.missing ? html`<span class="missing">${row.missing}</span>` : nothing}</button>`;
  const methods = () => html`<div class="qz-methods" role="radiogroup" aria-label="Method" @keydown=${arrows}>
    ${GROUPS.map(([group, words]) => [words, offer.methods.filter((row) => row.group === group)]).filter(([, rows]) => rows.length).map(([words, rows]) => html`
      <div class="qz-group" role="group" aria-label=${words}>${words === GROUPS[0][1] ? nothing : html`<p class="quiet">${words}</p>`}${rows.map(card)}</div>`)}</div>`;

  // The row of the table of methods.
  const about = (row) => {
    const reading = row.schemes.filter((each) => each.calibrates);
    const runs = row.engines.filter((e) => e.runs).map((e) => e.title), not = row.engines.filter((e) => !e.runs);
    const facts = [
      ['Calibration', reading.length === row.schemes.length ? 'Needs calibration text.' : reading.length ? `${reading.map((s) => s.name).join(', ')} ${reading.length === 1 ? 'needs' : 'need'} calibration text, the other schemes do not.` : 'Needs no calibration text.'],
      row.group_rule && ['Groups', sentence(capital(row.group_rule))],
      ['Result', sentence(capital(row.format))],
      ['Hardware', row.hardware],
      ['Engines', [runs.length ? `Runs here in ${runs.join(' and ')}.` : 'Nothing that is installed here runs it.', ...not.map((e) => `Not here in ${e.title}: ${sentence(e.why)}`)].join(' ')],
      row.architectures.length && ['Models', sentence(row.architectures.map((a) => a.replace(/ForCausalLM$/, '')).join(', '))],
      /^https:\/\//.test(row.paper) && ['Paper', html`<a href=${row.paper} target="_blank" rel="noopener noreferrer">${row.paper.replace(/^https:\/\//, '')}</a>`],
    ].filter(Boolean);
    return html`<div class="qz-about"><p><b>${row.title}</b> ${row.good} <span class="quiet">${row.bad}</span></p>
      <dl class="qz-row">${facts.map(([name, words]) => html`<div><dt>${name}</dt><dd>${words}</dd></div>`)}</dl></div>`;
  };

  const chosenFile = () => {
    if (sending) return html`<span class="quiet" role="status">Uploading ${sending.name}: ${Math.round(100 * sending.share)}%</span><button type="button" class="ui-small" @click=${() => { sending.control.abort(); sending = null; set({}); }}>Cancel</button>`;
    if (fileError) return html`<span role="alert"><b class="bad">${fileError.message}</b> ${fileError.hint}</span>`;
    if (chosen) return html`<span class="quiet" role="status">${chosen.name}: ${plural(chosen.rows, 'sample')}${chosen.skipped ? `, ${chosen.skipped.toLocaleString('en')} not usable` : ''}</span>`;
    return html`<span class="quiet">${lostFile ? `${lostFile} was chosen before the page was reloaded. Choose it again.` : 'No file chosen'}</span>`;
  };
  const sources = {
    bundled: () => html`<p class="quiet">${offer.calibration.bundled} samples written for this project: conversations and prose from several domains, code, and a second language.</p>`,
    upload: () => html`<div class="qz-file"><button type="button" class="ui-quiet" @click=${(e) => e.currentTarget.nextElementSibling.click()}>Choose a file</button>
      <input type="file" hidden aria-label="Calibration file" accept=${offer.upload.suffixes.join(',')} @change=${(e) => { const [file] = e.target.files; e.target.value = ''; if (file) upload(file); }}>${chosenFile()}</div>`,
    hub: (wrong) => html`${input('hub', wrong, 'hub', { placeholder: 'owner/name[:config][:split]', label: 'Data set of the hub' })}`,
    pasted: (wrong) => area('text', wrong, { rows: 4, placeholder: 'Paste text that is like the text the model will see.', label: 'Calibration text' }),
  };
  const calibration = (wrong) => html`<div class="qz-calibration" role="group" aria-label="Calibration">
    <span class="legend tipped" tabindex="0" data-tip="The method observes the model while it reads this text. Text similar to what you will use gives the best result.">Calibration text</span>
    <div class="qz-source">${radios('Calibration text', SOURCES, value.source, (source) => set({ source }))}${sources[value.source](wrong)}${wrongAt(wrong, 'upload', 'hub', 'text')}</div>
    <div class="ui-fields three">
      ${field('Samples', html`${input('samples', wrong, 'samples', { mode: 'numeric' })}`, { unit: html`sequences ${wrongAt(wrong, 'samples')}` })}
      ${field('Length', html`${input('length', wrong, 'max_length', { mode: 'numeric' })}`, { unit: html`tokens at most ${wrongAt(wrong, 'max_length')}` })}
      ${field('Seed', html`${input('seed', wrong, 'seed', { mode: 'numeric' })}`, { unit: html`sample selection ${wrongAt(wrong, 'seed')}` })}
    </div></div>`;

  const option = (row, o) => {
    const now = value.options[row.name]?.[o.name] ?? o.default;
    const change = (text) => set({ options: { ...value.options, [row.name]: { ...value.options[row.name], [o.name]: text } } });
    const control = o.kind === 'flag' ? select([['true', 'yes'], ['false', 'no']], now, change)
      : o.kind === 'value' && o.choices.length ? select(o.choices.map((c) => [c, c]), now, change)
        : html`<input class="ui-input" .value=${live(now)} autocomplete="off" spellcheck="false" @input=${(e) => change(e.target.value)}>`;
    return field(o.name, control, { unit: o.summary });
  };
  const more = (row, wrong) => {
    const used = [value.ignore && 'unquantized layers', value.keep && row.layers.keep && 'mixed precision', value.name && 'name'].filter(Boolean);
    const there = ['unquantized layers', row.layers.keep && 'mixed precision', row.options.length && 'options', 'name'].filter(Boolean);
    return html`<details class="ui-more" ?open=${value.more} @toggle=${(e) => { if (e.target.open !== value.more) { value.more = e.target.open; store(); } }}>
      <summary>Advanced<span class="ui-said quiet"> · ${used.length ? `set: ${used.join(', ')}` : there.join(', ')}</span></summary>
      <div class="qz-advanced">
        ${field('Leave these layers unquantized', area('ignore', wrong, { placeholder: row.layers.ignore }), { unit: html`${row.layers.ignore_rule} ${wrongAt(wrong, 'ignore')}`, tip: 'Layers that keep their 16 bits.' })}
        ${row.layers.keep ? field('Mixed precision', area('keep', wrong, { placeholder: row.layers.keep }), { unit: html`${row.layers.keep_rule} ${wrongAt(wrong, 'keep')}`, tip: 'Layers that get another scheme than the rest, for those that lose most.' }) : nothing}
        ${row.options.length ? html`<div class="ui-fields three">${row.options.map((o) => option(row, o))}</div>` : nothing}
        ${field('Name of the variant', html`${input('name', wrong)}`, { unit: html`Leave empty to name it after method and scheme. ${wrongAt(wrong, 'name')}` })}
      </div></details>`;
  };

  const template = (wrong, group) => {
    if (failed && !offer) return html`${notice(failed)}<button type="button" class="ui-quiet" @click=${load}>Try again</button>`;
    if (!offer) return html`<p class="quiet">Reading the model…</p>`;
    const row = method(), problem = failed ?? offer.error;
    return html`
      <div class="ui-head"><h2>Make a smaller model</h2><p class="quiet">Size, memory and time are estimated before anything runs.</p></div>
      <div class="qz-model"><pg-combobox label="Model to quantize" free .options=${offer.models.map((name) => ({ value: name }))} .value=${live(value.model)} @pg-choose=${(e) => { value.model = e.detail.trim() || value.model; load(); }}></pg-combobox>
        <span class="qz-origin">${problem ? '' : offer.origin}</span></div>
      <div class="ui-trouble">${notice(problem)}</div>
      ${methods()}
      ${row ? html`${about(row)}
        <div class="ui-fields">
          ${field('Scheme', select(row.schemes.map((s) => [s.name, s.words ? `${s.name} — ${s.words}` : s.name]), value.scheme, (name) => set({ scheme: name }), wrong, 'scheme'), { tip: 'The number format: the bits of a weight (W) and of an activation (A).' })}
          ${scheme()?.groups ? field('Group size', select([['', 'auto'], ...offer.group_sizes.map((n) => [String(n), String(n)])], value.group, (size) => set({ group: size }), wrong, 'group_size'), { tip: 'Number of weights that share one scale. Smaller groups lose less and take more bytes.' }) : nothing}
          ${row.compressor ? field('KV cache', select(KV, value.kv, (kv) => set({ kv }), wrong, 'kv_cache'), { tip: 'Also stores scales for the keys and values of earlier tokens, which saves memory with long contexts. Needs calibration text.' }) : nothing}
        </div>
        <p class="qz-why">${group}${wrongAt(wrong, 'group_size', 'scheme', 'kv_cache')}</p>
        ${calibrates() ? calibration(wrong) : nothing}
        ${more(row, wrong)}` : notice({ message: 'No method can run here.', hint: 'See above what is missing.' })}`;
  };

  return { load, show, template, draft, complete, method, get ready() { return Boolean(offer && !failed && !offer.error && method() && !sending); }, get broken() { return Boolean(failed || offer?.error); } };
};
