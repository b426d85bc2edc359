// The page script: one global, drawn with textContent and attributes only; nothing here ever parses HTML.
window.Playground = (() => {
  const P = { panes: new Map() };

  // On every streamed update gradio takes a snapshot of some thirty components, whose props hold functions. Svelte
  // clones each with structuredClone, catches what it throws and keeps the original; a thrown error costs 0.3 ms, and
  // that was half of an update. Same result without the throw:
  const clone = window.structuredClone.bind(window);
  window.structuredClone = (value, options) => (value === null || typeof value !== 'object' ? value : clone(value, options));

  P.el = (tag, cls, text) => {
    const node = document.createElement(tag);
    if (cls) node.className = cls;
    if (text !== undefined && text !== null) node.textContent = text;
    return node;
  };
  P.svg = (tag, attrs) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attrs || {})) node.setAttribute(name, value);
    return node;
  };
  P.fig = (value) => {
    if (value === null || value === undefined) return '–';
    if (value >= 99.95) return Math.round(value).toLocaleString('en');
    return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
  };
  P.pct = (p) => (p === null || p === undefined ? '–' : p > 0.995 && p < 1 ? '> 99%' : p < 0.01 ? '< 1%' : `${Math.round(p * 100)}%`);
  P.shown = (piece) => (piece === '' ? '(nothing yet)' : piece.replace(/\n/g, '↵').replace(/\t/g, '⇥'));
  P.unit = (count, unit) => {
    if (unit !== 'bytes') return `${Math.round(count).toLocaleString('en')}${unit ? ` ${unit}` : ''}`;
    return count >= 1e9 ? `${(count / 1e9).toFixed(2)} GB` : count >= 1e6 ? `${Math.round(count / 1e6)} MB` : `${Math.round(count / 1e3)} kB`;
  };
  P.button = (cls, text, run, name) => {
    const node = P.el('button', cls, text);
    node.type = 'button';
    if (name) node.setAttribute('aria-label', name);
    node.addEventListener('click', run);
    return node;
  };
  // Values arrive as JSON of our own; a broken one draws nothing rather than something wrong.
  P.json = (text, otherwise) => { try { return text ? JSON.parse(text) : otherwise; } catch { return otherwise; } };

  // ---- one tooltip for everything that carries data-tip or is a token
  let tip, owner;
  const place = (target) => {
    const at = target.getClientRects()[0] || target.getBoundingClientRect();
    const width = Math.min(tip.querySelector('.both') ? 460 : 300, innerWidth - 24);
    tip.style.maxWidth = `${width}px`;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const top = at.top - box.height - 8;
    tip.style.left = `${Math.max(12, Math.min(at.left, innerWidth - box.width - 12))}px`;
    tip.style.top = `${top > 8 ? top : at.bottom + 8}px`;
  };
  P.tip = (target) => {
    if (!tip) {
      tip = P.el('div', 'pg-tip');
      tip.setAttribute('role', 'tooltip');
      tip.setAttribute('aria-live', 'polite');
      document.body.append(tip);
    }
    if (owner === target && !tip.hidden) return;
    owner = target;
    tip.replaceChildren(...(target.pgTip ? target.pgTip() : [P.el('div', '', target.dataset.tip)]));
    place(target);
  };
  P.untip = () => { if (tip) tip.hidden = true; owner = null; };
  const tipped = (node) => node instanceof Element && node.closest('[data-tip], .tk');
  document.addEventListener('pointerover', (e) => { if (e.pointerType !== 'touch') { const t = tipped(e.target); if (t) P.tip(t); else P.untip(); } });
  document.addEventListener('focusin', (e) => { const t = tipped(e.target); if (t) P.tip(t); });
  document.addEventListener('focusout', P.untip);
  document.addEventListener('click', (e) => { const t = tipped(e.target); if (t) P.tip(t); else P.untip(); });
  document.addEventListener('scroll', P.untip, true);

  // ---- colour scale: one for all panes, so that equal colours mean equal times
  const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  P.steps = () => P.live().flatMap((pane) => pane.allSteps || pane.steps);
  let due = 0;
  P.rescale = (now) => {
    clearTimeout(due);
    const wait = now ? 0 : 500;
    due = setTimeout(() => {
      const all = P.steps().sort((a, b) => a - b);
      const low = all.length ? quantile(all, 0.05) : 0;
      const high = all.length ? Math.max(quantile(all, 0.98), low * 1.25) : 1;
      const root = document.documentElement.style;
      root.setProperty('--lo', low.toFixed(3));
      root.setProperty('--span', Math.max(high - low, 0.001).toFixed(3));
      P.range = all.length ? [low, high] : null;
      root.setProperty('--ktop', (P.kldTop() || 1).toPrecision(3));
      document.dispatchEvent(new CustomEvent('pg-scale'));
    }, wait);
  };
  let last = 0;
  P.soon = () => { const t = performance.now(); if (t - last > 500) { last = t; P.rescale(true); } else P.rescale(); };
  P.colourBy = (mode, board) => {
    document.documentElement.dataset.colour = mode;
    document.dispatchEvent(new CustomEvent('pg-colour'));
    document.dispatchEvent(new CustomEvent('pg-colour-focus', { detail: board }));
  };
  // Panes stand on one of two boards: Compare's own, and that of a stored run. Scales are those of the one that is shown.
  P.board = () => (P.page() === 'run' ? 'run' : 'compare');
  P.boardOf = (element) => (element.closest('#pg-opened') ? 'run' : 'compare');
  document.addEventListener('pg-page', () => P.rescale(true));
  P.quiet = matchMedia('(prefers-reduced-motion: reduce)').matches;

  // ---- small parts
  P.text = (element, props, watch) => {
    const box = element.querySelector('.pg-mount');
    const draw = () => { box.textContent = P.json(props.value, ''); };
    watch('value', draw); draw();
  };
  P.notice = (element, props, watch) => {
    const box = element.querySelector('.pg-mount');
    box.setAttribute('aria-live', 'assertive');
    const draw = () => {
      const [message, hint] = P.json(props.value, []);
      box.replaceChildren();
      if (!message) return;
      const card = P.el('div', 'pg-notice error');
      card.append(P.el('b', '', message));
      if (hint) card.append(P.el('span', '', ` ${hint}`));
      box.append(card);
    };
    watch('value', draw); draw();
  };

  // Colour of the tokens and what it stands for: the browser's own business, nothing is sent.
  P.legend = (element) => {
    const box = element.querySelector('.pg-mount');
    const group = P.el('div', 'pg-legend');
    const choices = P.el('div', 'seg');
    choices.setAttribute('role', 'radiogroup');
    choices.setAttribute('aria-label', 'Colour tokens by');
    const scale = P.el('span', 'scale');
    const from = P.el('span'), ramp = P.el('i', 'ramp'), to = P.el('span');
    ramp.setAttribute('aria-hidden', 'true');
    scale.append(from, ramp, to);
    const names = [
      ['time', 'time', 'Colour tokens by the time that each took.'],
      ['prob', 'probability', 'Colour tokens by how probable the variant itself found each.'],
      ['kld', 'divergence', 'Colour tokens by how far the variant’s distribution is from the reference’s there: KLD, in nats.'],
      ['off', 'off', 'No colours.'],
    ];
    const against = P.againstPicker(P.boardOf(element));
    const buttons = names.map(([mode, text, tip]) => {
      const node = P.button('', text, () => set(mode));
      node.setAttribute('role', 'radio');
      node.dataset.mode = mode; node.dataset.tip = tip;
      choices.append(node);
      return node;
    });
    choices.addEventListener('keydown', (e) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
      if (!step) return;
      e.preventDefault();
      const at = names.findIndex(([mode]) => mode === document.documentElement.dataset.colour);
      const next = (at + step + names.length) % names.length;
      set(names[next][0]); buttons[next].focus();
    });
    const words = () => {
      const mode = document.documentElement.dataset.colour;
      scale.style.visibility = mode === 'off' ? 'hidden' : 'visible';
      against.show();
      if (mode === 'kld') {
        const top = P.kldTop();
        from.textContent = top ? '0' : ''; to.textContent = top ? `${P.nats(top)} nats or more` : 'measured after a run';
      } else if (mode === 'prob') { from.textContent = '100%'; to.textContent = '5% or less'; }
      else if (P.range) { from.textContent = `${P.fig(P.range[0])} ms`; to.textContent = `${P.fig(P.range[1])} ms or more`; }
      else { from.textContent = 'fastest'; to.textContent = 'slowest step, ms'; }
    };
    const mark = () => {
      const mode = document.documentElement.dataset.colour;
      for (const node of buttons) {
        const on = node.dataset.mode === mode;
        node.setAttribute('aria-checked', on);
        node.tabIndex = on ? 0 : -1;
      }
      words();
    };
    const set = (mode) => { document.documentElement.dataset.colour = mode; document.dispatchEvent(new CustomEvent('pg-colour')); };
    const focus = (e) => { if (P.boardOf(element) === e.detail) buttons.find((node) => node.getAttribute('aria-checked') === 'true').focus(); };
    group.append(P.el('span', 'what', 'colour tokens by'), choices, against.box, scale);
    box.replaceChildren(group);
    document.addEventListener('pg-scale', () => { if (P.boardOf(element) === P.board()) words(); });
    document.addEventListener('pg-colour', mark);
    document.addEventListener('pg-colour-focus', focus);
    set(document.documentElement.dataset.colour || 'time');
  };
  return P;
})();
