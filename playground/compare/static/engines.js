// The engine of a pane: a button that says which, and a list of all of them with the reason for each that cannot run it.
import { el, button } from '../web/dom.js';
import { untip } from '../web/tooltip.js';

const short = (title) => title.replace(/ host$/, '');
const TIP = 'The engine that runs this variant. Unless one is chosen here, it is the reference’s where that can run the variant: speeds compare best on one engine.';

export const enginePicker = (choose) => {
  const menu = el('div', 'engines');
  menu.popover = 'manual';
  menu.setAttribute('role', 'listbox');
  menu.setAttribute('aria-label', 'Engine of this pane');
  const root = button('engine', '', () => (menu.matches(':popover-open') ? close() : open()));
  root.setAttribute('aria-haspopup', 'listbox');
  root.setAttribute('aria-expanded', 'false');
  const name = el('span'), mark = el('i', '', '▾');
  mark.setAttribute('aria-hidden', 'true');
  root.append(name, mark);
  root.dataset.tip = TIP;
  let chosen = '';
  const entries = () => [...menu.querySelectorAll('[role=option]')];
  const close = () => {
    if (!menu.matches(':popover-open')) return;
    menu.hidePopover();
    root.setAttribute('aria-expanded', 'false');
    root.dataset.tip = TIP;
  };
  const open = () => {
    delete root.dataset.tip; untip();
    menu.showPopover();
    root.setAttribute('aria-expanded', 'true');
    const at = root.getBoundingClientRect(), box = menu.getBoundingClientRect();
    menu.style.setProperty('left', `${Math.max(12, Math.min(at.left, innerWidth - box.width - 12))}px`);
    menu.style.setProperty('top', `${Math.max(12, Math.min(at.bottom + 6, innerHeight - box.height - 12))}px`);
    (entries().find((one) => one.getAttribute('aria-selected') === 'true') ?? entries()[0])?.focus();
  };
  menu.addEventListener('focusout', (e) => { if (!menu.contains(e.relatedTarget) && e.relatedTarget !== root) close(); });
  menu.addEventListener('keydown', (e) => {
    const all = entries(), step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (e.key === 'Escape') { e.preventDefault(); e.stopPropagation(); close(); root.focus(); }
    if (e.key === 'Tab') close();
    if (!step) return;
    e.preventDefault();
    all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
  });
  const show = (engine, options) => {
    chosen = engine;
    root.hidden = !options.length;
    close();
    name.textContent = short(options.find((one) => one.engine === engine)?.title || engine);
    menu.replaceChildren(...options.map((one) => {
      const entry = button('option', '', () => { if (!one.runs) return; close(); root.focus(); if (one.engine !== chosen) choose(one.engine); });
      entry.setAttribute('role', 'option');
      entry.setAttribute('aria-selected', String(one.engine === engine));
      if (!one.runs) entry.setAttribute('aria-disabled', 'true');
      entry.append(el('b', '', one.title), el('span', 'why-not', one.runs ? (one.engine === engine ? 'runs this pane' : 'available') : one.why));
      if (one.do) entry.append(el('code', '', one.do));
      return entry;
    }));
  };
  const lock = (busy) => { root.disabled = busy; if (busy) close(); };
  return { root, menu, show, lock };
};
