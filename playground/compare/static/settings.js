// The settings of an answer: what they are, in one line, and the panel that changes them.
import { html, nothing } from '../web/vendor/lit-html.js';

// [name, title, what it means, step]
const NUMBERS = [
  ['max_tokens', 'Max tokens', 'limit of an answer', 1],
  ['temperature', 'Temperature', '0 is greedy', 0.1],
  ['top_p', 'Top-p', '1 is off', 0.05],
  ['top_k', 'Top-k', '0 is off', 1],
  ['repetition_penalty', 'Repetition penalty', '1 is off', 0.05],
  ['seed', 'Seed', 'same seed, same text', 1],
];

// The form as it begins: `defaults` are the server's. Numbers stay as they are typed.
export const initial = (defaults) => ({
  raw: false, at_once: false, system: '', stop: '', ...Object.fromEntries(NUMBERS.map(([name]) => [name, String(defaults[name])])),
});
const number = (text) => (text.trim() === '' ? null : Number(text));
// The body of a request.
export const asked = (form) => ({
  system: form.raw ? '' : form.system, at_once: form.at_once,
  sampling: { ...Object.fromEntries(NUMBERS.map(([name]) => [name, number(form[name])])), stop: form.stop },
});
// "greedy · 128 tokens · seed 0", as the chips of the answers say it.
export const summary = (form) => {
  const { sampling: s } = asked(form), greedy = s.temperature === 0, stops = form.stop.split('\n').filter(Boolean).length;
  return [
    greedy ? 'greedy' : `temperature ${s.temperature ?? '–'}`,
    !greedy && s.top_p < 1 ? `top-p ${s.top_p}` : '', !greedy && s.top_k ? `top-k ${s.top_k}` : '',
    s.repetition_penalty !== 1 ? `penalty ${s.repetition_penalty ?? '–'}` : '',
    `${s.max_tokens ?? '–'} tokens`, `seed ${s.seed ?? '–'}`, stops ? `${stops} stop string${stops > 1 ? 's' : ''}` : '',
    form.raw ? 'raw completion' : form.system.trim() ? 'system prompt' : '', form.at_once ? 'all at once' : '',
  ].filter(Boolean).join(' · ');
};
// The name of the setting that a refusal is about, '' if it is none.
export const fieldOf = (error) => {
  const name = String(error?.field ?? '').split('.').at(-1);
  return NUMBERS.find(([field, title]) => field === name || error?.message?.startsWith(`${title} `))?.[0] ?? (/^(A )?[Ss]top string/.test(error?.message ?? '') ? 'stop' : '');
};

const choice = (name, title, pairs, value, change) => html`<fieldset class="pg-seg"><legend>${title}</legend><span class="seg">
  ${pairs.map(([key, words]) => html`<label class=${key === value ? 'selected' : ''}><input type="radio" name=${name} .checked=${key === value} @change=${() => change(key)}><span>${words}</span></label>`)}</span></fieldset>`;

// `set(name, value)`; `error`: a refusal, which is shown at its field; `limits`: a visitor's, or null.
export const panel = ({ form, defaults, limits, error, set, reset, close }) => {
  const wrong = fieldOf(error);
  const note = (name) => (wrong === name ? html`<span class="wrong" id="pg-wrong-${name}">${error.message} ${error.hint}</span>` : nothing);
  return html`<div class="pg-wide">
      ${choice('pg-mode', 'Mode', [[false, 'Chat'], [true, 'Raw completion']], form.raw, (value) => set('raw', value))}
      ${choice('pg-timing', 'Panes on different engines', [[false, 'Take turns'], [true, 'All at once']], form.at_once, (value) => set('at_once', value))}
      <label class="pg-field" id="pg-system"><span>System prompt</span>
        <textarea rows="1" ?disabled=${form.raw} placeholder=${form.raw ? 'Not used: a raw completion has no chat template' : 'Empty: the model’s own default'} .value=${form.raw ? '' : form.system} @input=${(e) => set('system', e.target.value)}></textarea></label>
    </div><div class="pg-grid">
      ${NUMBERS.map(([name, title, info, step]) => html`<label class="pg-field"><span>${title}</span><small>${name === 'max_tokens' && limits ? `at most ${limits.max_tokens} for visitors` : info}</small>
        <input type="number" aria-label=${title} inputmode="decimal" step=${step === 1 ? 1 : 'any'} min=${name === 'max_tokens' ? 1 : 0} max=${name === 'max_tokens' && limits ? limits.max_tokens : nothing} .value=${form[name]}
          aria-invalid=${wrong === name} aria-describedby=${wrong === name ? `pg-wrong-${name}` : nothing} @input=${(e) => set(name, e.target.value)}>${note(name)}</label>`)}
      <label class="pg-field stop"><span>Stop strings</span><small>one per line</small><textarea rows="1" .value=${form.stop} @input=${(e) => set('stop', e.target.value)}></textarea>${note('stop')}</label>
    </div><div class="pg-settings-foot">
      <button type="button" class="pg-quiet" ?disabled=${JSON.stringify(form) === JSON.stringify(initial(defaults))} @click=${reset}>Reset to defaults</button>
      <button type="button" class="pg-quiet" @click=${close}>Close</button></div>`;
};
