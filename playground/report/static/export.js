// Nothing is needed to read this page; with a script the answers can be watched again as they came, and tokens tell more.
(() => {
  const root = document.documentElement;
  const panes = [...document.querySelectorAll('.pane .answer')];
  if (!panes.length) return;

  // ---- colours
  const scales = [...document.querySelectorAll('.scale')];
  const colour = (key) => { root.dataset.colour = key; for (const one of scales) one.hidden = !one.classList.contains(key); };
  for (const input of document.querySelectorAll('.colours input')) input.addEventListener('change', () => colour(input.value));
  colour(document.querySelector('.colours input:checked')?.value || 'off');

  // ---- what is known of a token
  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.setAttribute('role', 'tooltip');
  tip.hidden = true;
  document.body.append(tip);
  const hide = () => { tip.hidden = true; };
  const show = (token) => {
    const lines = (token.dataset.tip || '').split('\n').map((line, index) => { const node = document.createElement('div'); if (!index) node.className = 'first'; node.textContent = line; return node; });
    tip.replaceChildren(...lines);
    tip.hidden = false;
    const at = token.getClientRects()[0] || token.getBoundingClientRect(), box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(10, Math.min(at.left, innerWidth - box.width - 10))}px`;
    tip.style.top = `${at.top - box.height > 12 ? at.top - box.height - 8 : at.bottom + 8}px`;
  };
  const told = (node) => (node instanceof Element ? node.closest('.tk[data-tip]') : null);
  document.addEventListener('pointerover', (e) => { if (e.pointerType === 'touch') return; const token = told(e.target); if (token) show(token); else hide(); });
  document.addEventListener('click', (e) => { const token = told(e.target); if (token) show(token); else hide(); });
  document.addEventListener('scroll', hide, true);
  for (const pane of panes) {
    let cursor = -1;
    const tokens = [...pane.querySelectorAll('.tk[data-tip]')];
    pane.addEventListener('keydown', (e) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (e.key === 'Escape') hide();
      if (!step || !tokens.length) return;
      e.preventDefault();
      tokens[cursor]?.classList.remove('at');
      cursor = Math.max(0, Math.min(tokens.length - 1, cursor + step));
      tokens[cursor].classList.add('at');
      tokens[cursor].scrollIntoView({ block: 'nearest' });
      requestAnimationFrame(() => show(tokens[cursor]));
    });
    pane.addEventListener('blur', () => { tokens[cursor]?.classList.remove('at'); cursor = -1; hide(); });
  }

  // ---- replay: every pane from the moment its request was accepted, on its own engine's clock
  const bar = document.querySelector('.replay'), clock = bar.querySelector('.clock');
  const all = panes.flatMap((pane) => [...pane.querySelectorAll('.tk')]).map((node) => [Number(node.dataset.at), node]).sort((a, b) => a[0] - b[0]);
  const end = all.length ? all.at(-1)[0] : 0;
  let frame = 0;
  const stop = () => { cancelAnimationFrame(frame); for (const [, node] of all) node.classList.remove('wait'); clock.textContent = ''; root.removeAttribute('data-replaying'); };
  const play = (speed) => {
    stop();
    if (!speed) return;
    for (const pane of panes) pane.scrollTop = 0;
    for (const [, node] of all) node.classList.add('wait');
    root.setAttribute('data-replaying', '');
    const began = performance.now();
    let next = 0;
    const tick = () => {
      const now = ((performance.now() - began) / 1000) * speed;
      while (next < all.length && all[next][0] <= now) all[next++][1].classList.remove('wait');
      clock.textContent = `${Math.min(now, end).toFixed(1)} s`;
      if (next < all.length) frame = requestAnimationFrame(tick);
      else { clock.textContent = `${end.toFixed(1)} s`; root.removeAttribute('data-replaying'); }
    };
    frame = requestAnimationFrame(tick);
  };
  if (all.length) { bar.hidden = false; for (const button of bar.querySelectorAll('button')) button.addEventListener('click', () => play(Number(button.dataset.speed))); }
  addEventListener('beforeprint', stop);
})();
