// Parts that several pages are made of: figures with units, form controls, a button that asks before it acts.
(() => {
  const P = window.Playground;
  const { el } = P;

  P.bytes = (n) => (n === null || n === undefined ? '–' : n >= 9.995e8 ? `${(n / 1e9).toFixed(n >= 1e10 ? 1 : 2)} GB` : n >= 1e6 ? `${Math.round(n / 1e6)} MB` : `${Math.max(1, Math.round(n / 1e3))} kB`);
  P.span = (s) => {
    if (s === null || s === undefined) return '–';
    if (s < 100) return `${s < 10 ? +s.toFixed(1) : Math.round(s)} s`;
    return s < 5400 ? `${+(s / 60).toFixed(s < 600 ? 1 : 0)} min` : `${(s / 3600).toFixed(1)} h`;
  };
  P.between = ([low, high]) => {
    const parts = [low, high].map((s) => { const [n, unit] = s < 100 ? [s, 's'] : s < 5400 ? [s / 60, 'min'] : [s / 3600, 'h']; return [n >= 3 ? String(Math.round(n)) : String(+n.toFixed(1)), unit]; });
    const [from, to] = parts.map((part) => part.join(' '));
    return from === to ? to : parts[0][1] === parts[1][1] ? `${parts[0][0]}–${to}` : `${from} to ${to}`;
  };
  P.refused = (error) => {
    const note = el('div', 'pg-notice error');
    note.append(el('b', '', error[0]), el('span', '', error[1] ? ` ${error[1]}` : ''));
    return note;
  };

  // ---- form controls
  P.field = (name, control, unit, tip) => {
    const label = el('label', 'ui-field'), title = el('span', 'name', name);
    if (tip) { title.dataset.tip = tip; title.classList.add('tipped'); }
    label.append(title, control);
    if (unit) label.append(el('span', 'unit', unit));
    return label;
  };
  P.select = (pairs, chosen) => {
    const node = el('select', 'ui-input');
    for (const [value, words] of pairs) { const o = el('option', '', words); o.value = value; node.append(o); }
    if (chosen !== undefined) node.value = chosen;
    return node;
  };
  P.input = (value, mode) => { const node = el('input', 'ui-input'); node.value = value; node.inputMode = mode || 'text'; node.autocomplete = 'off'; node.spellcheck = false; return node; };
  P.area = (rows, holder) => { const node = el('textarea', 'ui-input'); node.rows = rows; node.placeholder = holder; node.spellcheck = false; return node; };
  P.radios = (name, pairs, change) => {
    const group = el('div', 'ui-seg');
    group.setAttribute('role', 'radiogroup'); group.setAttribute('aria-label', name);
    const nodes = pairs.map(([value, words]) => { const node = P.button('', words, () => set(value)); node.setAttribute('role', 'radio'); node.dataset.value = value; group.append(node); return node; });
    const mark = (value) => nodes.forEach((node) => { const on = node.dataset.value === value; node.setAttribute('aria-checked', on); node.tabIndex = on ? 0 : -1; });
    const set = (value) => { mark(value); change(value); };
    P.arrows(group, nodes, (node) => set(node.dataset.value));
    mark(pairs[0][0]);
    return group;
  };
  // Arrow keys move the choice in a group of radio buttons.
  P.arrows = (group, nodes, choose) => group.addEventListener('keydown', (e) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
    const able = nodes.filter((node) => !node.disabled);
    if (!step || !able.length) return;
    e.preventDefault();
    const next = able[(able.indexOf(document.activeElement) + step + able.length) % able.length];
    choose(next); next.focus();
  });

  // ---- actions
  P.copy = async (text, node) => {
    try { await navigator.clipboard.writeText(text); } catch {
      const area = el('textarea'); area.value = text; area.className = 'ui-clip'; document.body.append(area); area.select(); document.execCommand('copy'); area.remove();
    }
    const words = node.textContent; node.textContent = 'Copied'; setTimeout(() => { node.textContent = words; }, 1400);
  };
  P.download = (name, text, kind) => {
    const link = el('a'), url = URL.createObjectURL(new Blob([text], { type: kind }));
    link.href = url; link.download = name; link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
  // A button that asks once, in its own place.
  P.asks = (words, question, yes, no, act, name) => {
    const box = el('span', 'ui-asks');
    const calm = () => { box.replaceChildren(first); box.classList.remove('asking'); if (P.keep === back) P.keep = null; };
    const back = () => { calm(); first.focus(); };
    const first = P.button('ui-quiet', words, () => {
      P.keep?.();
      const sure = P.button('ui-bad', yes, () => { calm(); act(); });
      box.replaceChildren(el('span', '', question), sure, P.button('ui-quiet', no, back));
      box.classList.add('asking'); P.keep = back; sure.focus();
    }, name);
    box.append(first);
    return box;
  };
  P.when = (s) => new Date(s * 1e3).toLocaleString([], { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
})();
