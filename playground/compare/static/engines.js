// The engine of a pane: a button that says which, and a list of all of them with the reason for each that cannot.
(() => {
  const P = window.Playground;
  const { el } = P;
  const short = (title) => title.replace(/ host$/, '');

  P.enginePicker = (choose) => {
    const menu = el('div', 'engines');
    menu.hidden = true;
    menu.setAttribute('role', 'listbox');
    menu.setAttribute('aria-label', 'Engine of this pane');
    const root = P.button('engine', '', () => (menu.hidden ? open() : close()));
    root.setAttribute('aria-haspopup', 'listbox');
    const tip = 'The engine that runs this variant. Unless chosen here, it is the reference’s where it can run the variant: speeds compare best on one engine.';
    const name = el('span'), mark = el('i', '', '▾');
    mark.setAttribute('aria-hidden', 'true');
    root.append(name, mark);
    root.dataset.tip = tip;
    let chosen = '';
    const entries = () => [...menu.querySelectorAll('[role=option]')];
    const open = () => {
      delete root.dataset.tip;
      P.untip();
      menu.hidden = false; root.setAttribute('aria-expanded', 'true');
      (entries().find((one) => one.getAttribute('aria-selected') === 'true') || entries()[0])?.focus();
    };
    const close = (back) => { menu.hidden = true; root.dataset.tip = tip; root.setAttribute('aria-expanded', 'false'); if (back) root.focus(); };
    menu.addEventListener('keydown', (e) => {
      const all = entries(), at = all.indexOf(document.activeElement);
      const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
      if (e.key === 'Escape') { e.preventDefault(); close(true); }
      if (!step) return;
      e.preventDefault();
      all[(at + step + all.length) % all.length].focus();
    });
    menu.addEventListener('focusout', (e) => { if (!menu.contains(e.relatedTarget) && e.relatedTarget !== root) close(); });
    const show = (engine, options) => {
      chosen = engine;
      root.hidden = !options.length;
      root.setAttribute('aria-expanded', 'false');
      menu.hidden = true;
      name.textContent = short(options.find((one) => one.engine === engine)?.title || engine);
      menu.replaceChildren(...options.map((one) => {
        const entry = P.button('option', '', () => { if (!one.runs) return; close(true); if (one.engine !== chosen) choose(one.engine); });
        entry.setAttribute('role', 'option');
        entry.setAttribute('aria-selected', one.engine === engine);
        if (!one.runs) entry.setAttribute('aria-disabled', 'true');
        const why = el('span', 'why-not', one.runs ? (one.engine === engine ? 'runs this pane' : 'can run it here') : one.why);
        entry.append(el('b', '', one.title), why);
        if (one.do) entry.append(el('code', '', one.do));
        return entry;
      }));
    };
    const lock = (busy) => { root.disabled = busy; if (busy && !menu.hidden) close(); };
    return { root, menu, show, lock };
  };
})();
