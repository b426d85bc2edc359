// A modal dialog: `const door = dialog('You are a visitor'); render(html`…`, door.body); door.show(button)`.
// Esc, the cross and a click outside close it, and the keyboard returns to the opener. `closed` is called after that.
import './vendor/webawesome.js';

export function dialog(label, { closed = () => {} } = {}) {
  const root = document.createElement('wa-dialog');
  root.className = 'pg-dialog';
  root.label = label;
  root.lightDismiss = true;
  const body = document.createElement('div');
  root.append(body);
  let opener = null;
  // Esc on the page stops a run: here it only closes. A list that is open inside closes first.
  root.addEventListener('keydown', (e) => { if (e.key === 'Escape' && !e.target.closest('wa-select[open], wa-dropdown[open]')) e.stopPropagation(); });
  root.addEventListener('wa-after-hide', (e) => {
    if (e.target !== root) return;
    root.remove();
    opener?.focus();
    closed();
  });
  return {
    root, body,
    async show(from = document.activeElement) { opener = from; document.body.append(root); await root.updateComplete; root.open = true; },
    hide() { root.open = false; },
    get open() { return root.open; },
    set label(words) { root.label = words; },
  };
}
