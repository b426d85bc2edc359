// Who this is on a page that others reach, and the owner's login: the button in the top bar, and the event `pg-login`.
// The token goes into the body of one request and is kept nowhere.
import { html, nothing, render } from './vendor/lit-html.js';
import { address, call } from './api.js';
import { dialog } from './dialog.js';
import { notice } from './parts.js';

const framed = () => { try { return window.top !== window; } catch { return true; } };
const list = (names) => (names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`);

// What a visitor may use, in one line for the place where they use it; '' for everybody else.
export const limitsLine = (me) => {
  if (me.role !== 'user' || !me.limits) return '';
  const { tokens, chars, rate } = me.limits;
  return `Visitors get up to ${tokens.toLocaleString('en')} tokens per answer, ${chars.toLocaleString('en')} characters per conversation, and ${rate}.`;
};

const about = (me) => {
  if (me.role === 'owner') return html`<p>You are logged in ${me.how === 'hub' ? `as ${me.name}, with your Hugging Face account` : 'with the owner’s token'}. You can change everything on this page.</p>`;
  if (me.role === 'user') return html`<p>You can open links to results and compare variants of ${list(me.models)}.</p><p class="quiet">${limitsLine(me)} Everything else is available to the owner only.</p>`;
  return html`<p>You can open links to results and replay them.</p><p class="quiet">Everything else is available to the owner only.</p>`;
};

export const installLogin = (mount, me) => {
  if (me.how === 'local') return; // nobody else reaches this page
  const owner = me.role === 'owner', possible = me.login || me.hub;
  let error = null, busy = false;
  const box = dialog(owner ? 'You are the owner' : 'You are a visitor', { closed: () => { error = null; draw(); } });
  const enter = async (e) => {
    e.preventDefault();
    const { token } = e.target.elements, typed = token.value.trim();
    if (!typed) { token.focus(); return; }
    busy = true; error = null; draw();
    try { await call('access/login', { token: typed }); location.reload(); } catch (refusal) {
      busy = false; error = refusal; draw();
      token.select(); token.focus();
    }
  };
  const leave = async () => { try { await call('access/logout'); } finally { location.reload(); } };
  const form = () => html`<form class="door-form" @submit=${enter}>
    <label class="door-field"><span class="name">Owner’s token</span><input type="password" name="token" autocomplete="current-password" required spellcheck="false" maxlength="1000" autofocus
      aria-invalid=${error ? 'true' : nothing}></label><button type="submit" class="door-go" ?disabled=${busy}>${busy ? 'Logging in…' : 'Log in'}</button></form>`;
  const ways = () => html`<div class="door-ways">
    ${me.hub ? html`<a class="door-hub" href=${address('login/huggingface').href} target=${framed() ? '_blank' : nothing} rel=${framed() ? 'noopener' : nothing}>Sign in with Hugging Face</a>
      ${me.name ? html`<p class="quiet">You are signed in as ${me.name}, who is not an owner of this page.</p>` : nothing}` : nothing}
    ${!me.login ? nothing : framed() ? html`<p class="quiet">For your safety the owner’s token is not accepted inside another page.</p><a class="door-quiet" href=${location.href} target="_blank" rel="noopener">Open this page in a new tab</a>` : form()}
    ${possible ? nothing : html`<p class="quiet">Logging in is not set up on this page.</p>`}</div>
    <div class="door-trouble">${notice(error)}</div>`;
  const out = () => html`<div class="door-out">${me.how === 'hub' ? html`<a class="door-quiet" href=${address('logout').href}>Sign out</a>` : html`<button type="button" class="door-quiet" @click=${leave}>Log out</button>`}</div>`;
  const draw = () => render(html`<div class="door">${about(me)}${owner ? out() : ways()}</div>`, box.body);
  const open = (from) => { draw(); box.body.querySelector('form')?.reset(); box.show(from); };
  render(html`<button type="button" class="door-open ${owner ? 'is-owner' : ''}" aria-haspopup="dialog" @click=${(e) => open(e.currentTarget)}>${owner ? 'Owner' : possible ? 'Log in' : 'Visitor'}</button>`, mount);
  document.addEventListener('pg-login', () => open());
};
