// The page: which part of it is shown, by the address alone, so that links, reload and the back button work.
// `#NAME?key=value` is a page with its state; `/run/ID` and `/review/ID` are what is shared. No page is unloaded.
import { address, enter } from './api.js';
import { el, button } from './dom.js';
import { installLogin } from './login.js';
import './tooltip.js';

export { call, get, stream, beacon, Refusal, address } from './api.js';

// [name, words in the bar or '' if it is not there, module].
const PAGES = [
  ['compare', 'Compare', '../compare/page.js'],
  ['quantize', 'Quantize', '../quantize/page.js'],
  ['evaluate', 'Evaluate', '../evaluate/page.js'],
  ['speed', 'Speed', '../speed/page.js'],
  ['runs', 'Runs', '../runs/list.js'],
  ['reviews', 'Reviews', '../review/page.js'],
  ['run', '', '../runs/page.js'],
  ['welcome', '', './welcome.js'],
];
const FOR_VISITORS = { user: ['compare'], viewer: [] }; // the pages of the bar, by role; the owner has all
const NAME = 'Quantization Playground';
const root = document.documentElement, main = document.getElementById('pg-pages-content');
const modules = new Map(); // name → { section, page }

// ---- the address
const below = () => location.pathname.slice(new URL(document.baseURI).pathname.length);
// { name, state }: state is what stands after the `?` of the hash, or { id, with } of a run.
export const place = () => {
  const [name, query] = location.hash.slice(1).split('?');
  const shared = below().match(/^run\/([^/]+)$/);
  if (shared && !name) return { name: 'run', state: { id: decodeURIComponent(shared[1]), with: new URLSearchParams(location.search).get('with') || '' } };
  const known = PAGES.some(([id, words]) => id === name && words);
  const front = root.dataset.role === 'viewer' ? 'welcome' : 'compare';
  return { name: known && name !== 'compare' ? name : front, state: Object.fromEntries(new URLSearchParams(known ? query : '')) };
};
export const shown = (name) => place().name === name;
// Goes to a page: go('compare', { show: 'smollm2:nf4' }), or to a path: go('/run/ID').
export const go = (name, state = {}) => {
  const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value)).toString();
  history.pushState(null, '', name.startsWith('/') ? address(name.slice(1)) : address(`#${name}${query ? `?${query}` : ''}`));
  draw(true);
};
// Keeps the page's state in its address without a step in the history.
export const keep = (name, state) => {
  if (!shown(name)) return;
  const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value)).toString();
  history.replaceState(null, '', address(`#${name}${query ? `?${query}` : ''}`));
};
export const title = (words = '') => { document.title = words ? `${words} · ${NAME}` : NAME; };

// ---- showing
let last = '';
const draw = async (top = false) => {
  const { name, state } = place();
  const [, words, path] = PAGES.find(([id]) => id === name);
  root.dataset.page = name;
  title(name === 'compare' ? '' : words);
  for (const a of document.querySelectorAll('#pg-pages a')) {
    if (a.dataset.page === name) a.setAttribute('aria-current', 'page'); else a.removeAttribute('aria-current');
  }
  if (last && last !== name) modules.get(last)?.page.hide?.();
  last = name;
  document.dispatchEvent(new CustomEvent('pg-page'));
  if (top) scrollTo(0, 0);
  if (!modules.has(name)) {
    const section = el('section', 'page');
    section.id = name === 'run' ? 'pg-opened' : `pg-${name}`; // #pg-run is the button of Compare
    section.dataset.of = name;
    main.append(section);
    modules.set(name, { section, page: {} });
    const page = await import(path);
    modules.get(name).page = page;
    await page.mount(section, state);
  }
  if (shown(name)) modules.get(name).page.show?.(state);
};
addEventListener('popstate', () => draw());
addEventListener('hashchange', () => draw(true));
// Links within the page stay in it.
document.addEventListener('click', (e) => {
  const link = e.target instanceof Element && e.target.closest('a[href]');
  if (!link || e.defaultPrevented || e.metaKey || e.ctrlKey || e.shiftKey || e.button || link.target || link.hasAttribute('download')) return;
  const to = new URL(link.href), base = new URL(document.baseURI);
  if (to.origin !== base.origin || !to.pathname.startsWith(base.pathname)) return;
  const path = to.pathname.slice(base.pathname.length);
  if (link.classList.contains('skip')) { e.preventDefault(); main.focus(); return; }
  if (path && !/^run\/[^/.]+$/.test(path)) return;
  e.preventDefault();
  history.pushState(null, '', to);
  draw(true);
});

// ---- the top bar
const theme = button('theme', '', () => {
  const dark = !document.body.classList.contains('dark');
  try { localStorage.setItem('pg-colours', dark ? 'dark' : 'light'); } catch { /* a browser without storage: until the reload */ }
  document.body.classList.toggle('dark', dark);
  root.classList.toggle('wa-dark', dark);
  root.style.colorScheme = dark ? 'dark' : 'light';
});
const say = () => {
  const on = document.body.classList.contains('dark');
  theme.textContent = on ? 'Light' : 'Dark';
  theme.setAttribute('aria-label', `Switch to ${on ? 'light' : 'dark'} colours`);
};
say();
new MutationObserver(say).observe(document.body, { attributes: true, attributeFilter: ['class'] });
document.getElementById('pg-theme').append(theme);
export const device = (words) => { document.getElementById('pg-device').textContent = words; };

// ---- who this is, and what they may do
export const me = await enter().catch(() => ({ role: 'viewer', token: '', limits: {}, models: [] }));
root.dataset.role = me.role;
if (me.host) root.dataset.host = me.host;
if (me.device) device(me.device);
const nav = document.getElementById('pg-pages');
for (const [name, words] of PAGES.filter(([id, text]) => text && (me.role === 'owner' || FOR_VISITORS[me.role].includes(id)))) {
  const a = el('a', '', words);
  a.href = `#${name}`;
  a.dataset.page = name;
  nav.append(a);
}
nav.hidden = !nav.childElementCount;
installLogin(document.getElementById('pg-door'), me);
draw();
