// The one tooltip: of everything with data-tip, whose text it is, or with a property `tipNodes`, a function that makes nodes.
// Shown by hover, tap and focus, closed by Esc. `data-tips` on a focusable element makes it one Tab stop: arrow keys walk
// through the tips inside. A field's tip stands at its name and is shown when Tab reaches the field.
const TIPPED = '[data-tip], .tk';
const box = document.createElement('div');
box.className = 'pg-tip';
box.id = 'pg-tip';
box.popover = 'manual';
box.setAttribute('role', 'tooltip');
let owner = null, byTab = false, byFocus = false;

const place = (target) => {
  const at = target.getClientRects()[0] ?? target.getBoundingClientRect();
  const width = Math.min(box.querySelector('.both') ? 460 : 300, innerWidth - 24);
  box.style.setProperty('max-width', `${width}px`);
  const { width: wide, height } = box.getBoundingClientRect();
  const above = at.top - height - 8;
  box.style.setProperty('left', `${Math.max(12, Math.min(at.left, innerWidth - wide - 12))}px`);
  box.style.setProperty('top', `${above > 8 ? above : at.bottom + 8}px`);
};

// What is explained may vanish or change under the pointer.
const watch = new MutationObserver(() => {
  const target = owner;
  if (!target.isConnected) return untip();
  if (target.tipNodes || box.textContent === target.dataset.tip) return undefined;
  untip();
  return target.dataset.tip ? tip(target) : undefined;
});

// Shows the tip of an element.
export function tip(target) {
  byFocus = false;
  if (owner === target) return;
  untip();
  const nodes = target.tipNodes ? target.tipNodes() : [target.dataset.tip];
  if (!nodes.length || nodes[0] === '') return;
  if (!box.isConnected) document.body.append(box);
  owner = target;
  box.replaceChildren(...nodes);
  box.showPopover(); // above an open dialog, too
  place(target);
  watch.observe(document.body, { subtree: true, childList: true, attributeFilter: ['data-tip'] });
  if (!target.hasAttribute('aria-describedby')) target.setAttribute('aria-describedby', box.id);
}

// Hides the tip, whichever is shown.
export function untip() {
  if (!owner) return;
  if (owner.getAttribute('aria-describedby') === box.id) owner.removeAttribute('aria-describedby');
  owner = null;
  watch.disconnect();
  if (box.matches(':popover-open')) box.hidePopover();
}

const at = (node) => (node instanceof Element ? node.closest(TIPPED) : null);
const within = (group) => [...group.querySelectorAll(TIPPED)];
// What a focused element explains: itself; the name of the field that it is in; the first of a group.
const focused = (node) => at(node) ?? (byTab ? node.closest('label')?.querySelector('[data-tip]') ?? (node.matches('[data-tips]') ? within(node)[0] : null) : null);
const showOr = (target) => (target ? tip(target) : untip());

document.addEventListener('pointerover', (e) => { if (e.pointerType !== 'touch') showOr(at(e.target)); });
document.addEventListener('pointerdown', () => { byTab = false; }, true);
document.addEventListener('focusin', (e) => { showOr(focused(e.target)); byFocus = true; });
document.addEventListener('focusout', untip);
document.addEventListener('click', (e) => { showOr(at(e.target)); byFocus = true; }); // a tap stays, too
// Tab scrolls to what it reaches: that tip goes along. One under the pointer has lost its place.
document.addEventListener('scroll', () => { if (owner && byFocus) place(owner); else untip(); }, true);
document.addEventListener('keydown', (e) => {
  if (e.key === 'Escape') return untip();
  byTab = e.key === 'Tab' || byTab;
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
  const group = step && e.target instanceof Element ? e.target.closest('[data-tips]') : null;
  if (!group || (e.target !== group && at(e.target) !== e.target)) return undefined;
  const all = within(group), now = all.indexOf(e.target === group ? owner : e.target);
  const next = all[(now + step + all.length) % all.length];
  if (!next) return undefined;
  e.preventDefault();
  if (next.tabIndex < 0) next.setAttribute('tabindex', '-1');
  return next.focus();
}, true);
