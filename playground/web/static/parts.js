// Parts that several pages are made of: form controls, notices, links to runs, copy and download.
import { html, nothing } from './vendor/lit-html.js';
import { el, button } from './dom.js';
import { address } from './api.js';

export { download } from './download.js';

// A refusal or any { message, hint }, as a box that screen readers say at once.
export const notice = (error, kind = 'error') => (error
  ? html`<div class="pg-notice ${kind}" role=${kind === 'error' ? 'alert' : 'status'}><b>${error.message}</b>${error.hint ? html`<span> ${error.hint}</span>` : nothing}</div>`
  : nothing);

// A labelled control. `tip` explains the name, `unit` stands after the control.
export const field = (name, control, { unit = '', tip = '', cls = '' } = {}) => html`
  <label class="ui-field ${cls}"><span class="name ${tip ? 'tipped' : ''}" data-tip=${tip || nothing}>${name}</span>${control}${unit ? html`<span class="unit">${unit}</span>` : nothing}</label>`;

export const select = (pairs, chosen, change, label) => html`
  <select class="ui-input" aria-label=${label || nothing} @change=${(e) => change(e.target.value)}>
    ${pairs.map(([value, words, disabled]) => html`<option value=${value} ?selected=${value === chosen} ?disabled=${Boolean(disabled)}>${words}</option>`)}
  </select>`;

// A group of buttons of which one is chosen; arrow keys move the choice.
export const radios = (name, pairs, chosen, change, cls = 'ui-seg') => html`
  <div class=${cls} role="radiogroup" aria-label=${name} @keydown=${arrows}>
    ${pairs.map(([value, words]) => html`<button type="button" role="radio" aria-checked=${value === chosen} tabindex=${value === chosen ? 0 : -1} data-value=${value} @click=${() => change(value)}>${words}</button>`)}
  </div>`;
export const arrows = (e) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
  const able = [...e.currentTarget.querySelectorAll('[role="radio"]:not(:disabled)')];
  if (!step || !able.length) return;
  e.preventDefault();
  const next = able[(able.indexOf(document.activeElement) + step + able.length) % able.length];
  next.click(); next.focus();
};

export const copy = async (text, node) => {
  try { await navigator.clipboard.writeText(text); } catch {
    const area = el('textarea', 'ui-clip'); area.value = text; document.body.append(area); area.select(); document.execCommand('copy'); area.remove();
  }
  const words = node.textContent; node.textContent = 'Copied'; setTimeout(() => { node.textContent = words; }, 1400);
};

// The address of a stored run, and of two of them side by side.
export const runPath = (id, other = '') => `run/${encodeURIComponent(id)}${other ? `?with=${encodeURIComponent(other)}` : ''}`;
export const runLink = (id, other = '') => (document.documentElement.dataset.host
  ? `https://${document.documentElement.dataset.host}/${runPath(id, other)}` : address(runPath(id, other)).href);
// Copies; where the browser does not allow that, the link stands there selected, to be copied by hand.
export const linkButton = (id, other = '') => {
  const box = el('span', 'ui-link'), said = el('span', 'said');
  said.setAttribute('role', 'status');
  box.append(button('ui-copy', 'Copy link', async () => {
    const link = runLink(id, other);
    try {
      await navigator.clipboard.writeText(link);
      said.textContent = 'Copied';
      setTimeout(() => { said.textContent = ''; }, 1600);
    } catch {
      const input = el('input', 'ui-input');
      input.value = link; input.readOnly = true; input.setAttribute('aria-label', 'Link to this run');
      input.addEventListener('focus', () => input.select());
      box.replaceChildren(input, said);
      input.focus(); input.select();
      said.textContent = /Mac|iP/.test(navigator.platform) ? 'Press ⌘C' : 'Press Ctrl+C';
    }
  }), said);
  return box;
};

// The colour and the dashes of a variant by its place in a run or a comparison, the reference (0) first: the same on
// every page. The six colours differ by 34 in CIELAB also for eyes that see no red or no green; after them the dashes do.
const DASHES = ['', '6 3', '2 3', '9 3 2 3', '4 4', '12 3'];
export const variantColour = (index) => (index > 0
  ? { colour: `var(--v${((index - 1) % 6) + 1})`, dash: DASHES[(index - 1 + Math.floor((index - 1) / 6)) % 6] }
  : { colour: 'var(--grey)', dash: '' });
