// The dialog of remote endpoints: a list, a test of each, and a form. The key goes from its field to the server and never back.
import { html, nothing, render } from '../web/vendor/lit-html.js';
import { call, get } from '../web/api.js';
import { dialog } from '../web/dialog.js';
import { notice } from '../web/parts.js';

const ASK_MS = 500; // while a test runs
const BASE = 'api/compare/endpoints';
const FIELDS = ['name', 'url', 'model', 'key', 'key_env'];
const words = (pair, kind = 'error') => (pair ? notice({ message: pair[0], hint: pair[1] }, kind) : nothing);

// `use(model, where)` shows a model of an endpoint; `changed()` is called when the dialog closes, for fresh lists.
export const endpoints = ({ use, changed }) => {
  let value = { rows: [], trouble: null, refused: null, said: null }, error = null, asking = '', named = false, adding = false, timer = 0, door = null;

  const take = (next) => {
    value = next;
    clearTimeout(timer);
    if (door?.open && value.rows.some((row) => row.stage)) timer = setTimeout(look, ASK_MS);
    draw();
  };
  const look = async () => {
    try { take({ ...await get(BASE), said: value.said }); } catch (refusal) { error = refusal; draw(); }
  };
  const send = async (verb, body) => {
    error = null; value = { ...value, said: null };
    try { take(await call(`${BASE}/${verb}`, body)); return true; } catch (refusal) { error = refusal; draw(); return false; }
  };
  const submit = async (form) => {
    const empty = ['name', 'url'].map((name) => form.elements[name]).find((input) => !input.value.trim());
    if (empty) { empty.focus(); return; }
    if (adding) return;
    adding = true; draw();
    const done = await send('add', Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value])));
    adding = false;
    if (done) form.reset();
    draw();
    door.body.querySelector('.ep-answer .pg-notice')?.scrollIntoView({ block: 'nearest' });
  };

  const model = (id) => html`<li><code>${id}</code><span class="ep-use">
    ${[['Use as model', 'model'], ['Add as variant', 'pane']].map(([text, where]) => html`<button type="button" class="ep-small" aria-label="${text}: ${id}" @click=${() => { door.hide(); use(id, where); }}>${text}</button>`)}</span></li>`;

  const row = (one) => html`<li class="ep-row"><div class="ep-line">
      <div class="ep-facts"><b class="ep-name">${one.name}</b><span class="ep-host" data-tip=${one.url}>${one.host}${one.model ? ` · ${one.model}` : ''}</span>
        <span class="ep-key ${one.key ? 'has' : ''} ${one.caution ? 'warn' : ''}" data-tip=${one.caution || nothing}>${one.key ? 'key' : 'no key'}</span></div>
      ${asking === one.name ? html`<div class="ep-sure"><span>Remove ${one.name}${one.key ? ' and its key' : ''}?</span>
          <button type="button" class="ep-small bad" @click=${() => { asking = ''; send('remove', { name: one.name }); }}>Remove it</button>
          <button type="button" class="ep-small keep" @click=${() => { asking = ''; draw(); door.body.querySelector(`[data-remove="${CSS.escape(one.name)}"]`)?.focus(); }}>Keep it</button></div>`
        : html`<div class="ep-tools"><button type="button" class="ep-small" aria-label="${one.stage ? 'Stop' : 'Test'} ${one.name}" @click=${() => send(one.stage ? 'halt' : 'test', { name: one.name })}>${one.stage ? 'Stop' : 'Test'}</button>
          <button type="button" class="ep-small" data-remove=${one.name} aria-label="Remove ${one.name}" @click=${() => { asking = one.name; draw(); door.body.querySelector('.keep').focus(); }}>Remove</button></div>`}
    </div>
    ${one.stage ? html`<p class="ep-stage" aria-live="polite">${one.stage[0]} · ${one.stage[1]} s</p>` : nothing}
    <div class="ep-found">${one.said ? html`<p class="ep-said">Answers: ${one.said}.${one.learned ? html`<span class="quiet"> ${one.learned}</span>` : nothing}</p>` : nothing}
      ${one.models?.length ? html`<ul class="ep-models">${one.models.map(model)}${one.more ? html`<li class="quiet">and ${one.more.toLocaleString('en')} more</li>` : nothing}</ul>` : nothing}
      ${words(one.error)}</div></li>`;

  const field = (name, title, { type = 'text', holder = '', most = 1200, complete = 'off', hidden = false } = {}) => html`
    <label class="ep-field ${name}" ?hidden=${hidden}><span class="name">${title}</span><input name=${name} type=${type} placeholder=${holder} maxlength=${most} autocomplete=${complete} autocapitalize="off" spellcheck="false"></label>`;

  const form = () => html`<form class="ep-form" novalidate @submit=${(e) => { e.preventDefault(); submit(e.currentTarget); }}>
    ${field('name', 'Name', { holder: 'lab', most: 32 })}${field('url', 'Base URL', { holder: 'http://10.0.0.5:8000' })}${field('model', 'Model', { holder: 'optional' })}
    <div class="ep-keys">${field('key', 'API key', { type: 'password', holder: 'optional', complete: 'new-password', hidden: named })}${field('key_env', 'Variable with the key', { holder: 'LAB_KEY', hidden: !named })}
      <button type="button" class="ep-link" @click=${(e) => { named = !named; for (const name of ['key', 'key_env']) e.currentTarget.form.elements[name].value = ''; draw(); e.currentTarget.form.elements[named ? 'key_env' : 'key'].focus(); }}>${named ? 'type the key instead' : 'or take it from an environment variable'}</button></div>
    <div class="ep-foot"><span class="quiet">The key is stored on this machine, readable by its owner only, and is never shown again.</span>
      <button type="submit" class="ep-go" ?disabled=${adding}>${adding ? 'Adding…' : 'Add endpoint'}</button></div></form>`;

  const draw = () => {
    if (!door) return;
    const { rows, trouble, refused, said } = value;
    render(html`<div class="ep"><p class="quiet">OpenAI-compatible servers: a vLLM cluster, llama-server, a hosted API. Their models are @NAME/MODEL.</p>
      ${words(trouble)}<ul class="ep-list">${rows.map(row)}</ul>
      ${rows.length || trouble || refused ? nothing : html`<p class="ep-none quiet">None yet.</p>`}
      ${refused ? html`<div class="ep-answer ep-why">${words(refused, '')}</div>` : html`<div class="ep-answer" aria-live="polite">${error ? notice(error) : words(said, 'good')}</div>${form()}`}</div>`, door.body);
  };

  return (opener) => {
    error = null; asking = ''; named = false; value = { ...value, said: null };
    door = dialog('Endpoints', { closed: () => { clearTimeout(timer); door = null; changed(); } });
    door.root.classList.add('ep-door');
    draw();
    look();
    return door.show(opener);
  };
};
