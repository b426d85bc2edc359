// The verdict (a sentence first, then ratios, caveats where the numbers stand) and the plot of every gap.
(() => {
  const P = window.Playground;
  const { el } = P;

  P.verdict = (element, props, watch) => {
    const mount = element.querySelector('.pg-mount');
    mount.setAttribute('aria-live', 'polite');
    const ratio = (value, name, tip) => figure(value === null ? '–' : `${value.toFixed(2)}×`, name, tip);
    const figure = (value, name, tip) => {
      const cell = el('div', 'ratio');
      cell.append(el('b', '', value), el('span', '', name));
      cell.dataset.tip = tip; cell.tabIndex = 0;
      return cell;
    };
    const draw = () => {
      const { outcomes = [], words = '', run = '' } = P.json(props.value, {});
      const card = el('section', 'verdict');
      card.setAttribute('aria-label', 'Verdict');
      if (!outcomes.length) { card.classList.add('none'); card.append(el('p', 'quiet', words)); }
      for (const o of outcomes) {
        const row = el('div', 'outcome'), text = el('div', 'say'), p = el('p');
        p.append(el('b', '', o.headline), el('span', '', o.detail ? ` ${o.detail}` : ''));
        text.append(p);
        if (o.explanation) text.append(el('p', 'because', o.explanation));
        const caveats = el('p', 'caveats');
        if (o.divergence) caveats.append(el('span', 'apart', o.divergence.words));
        for (const caveat of o.caveats) caveats.append(el('span', '', caveat));
        text.append(caveats);
        const ratios = el('div', 'ratios');
        ratios.append(
          ratio(o.size, 'size', 'Bytes of the checkpoint, over the reference’s. Lower is smaller.'),
          ratio(o.memory, 'memory', 'Peak memory while answering, over the reference’s. Lower is less.'),
          ratio(o.decode, 'decode speed', o.interval ? `Tokens per second, over the reference’s. 95 % interval of this run: ${o.interval[0].toFixed(2)} to ${o.interval[1].toFixed(2)}×.` : 'Not enough tokens to tell.'),
        );
        if (o.divergence && o.divergence.kld !== null) {
          ratios.append(
            figure(P.nats(o.divergence.kld), 'mean KLD, nats', 'How far its distribution is from the reference’s, token by token over the reference’s own answer. 0 is the same; this prompt only.'),
            figure(P.pct(o.divergence.agreement), 'same top token', 'Share of the reference’s tokens at which both have the same most probable token. This prompt only.'),
          );
        }
        row.append(text, ratios);
        card.append(row);
      }
      if (run) {
        const saved = el('p', 'saved quiet');
        saved.append(el('span', '', 'Saved ·'), P.linkButton(run), el('span', '', '·'), P.runLink('', 'Open', run));
        card.append(saved);
      }
      mount.replaceChildren(card);
    };
    watch('value', draw); draw();
  };

  // Drawn from what the panes already hold, so it costs the server nothing; at most twice a second.
  P.plot = (element) => {
    const mount = element.querySelector('.pg-mount'), board = P.boardOf(element);
    const card = el('section', 'plot');
    card.setAttribute('aria-label', 'Time per token');
    const head = el('div', 'plot-head'), keys = el('div', 'keys'), read = el('span', 'read');
    head.append(el('h3', '', 'Time per token'), keys, read);
    const area = el('div', 'area');
    card.append(head, area);
    mount.replaceChildren(card);
    const H = 150, L = 44, R = 8, T = 8, B = 20;
    const nice = (v) => { const e = 10 ** Math.floor(Math.log10(v)); return [1, 2, 2.5, 5, 10].map((m) => m * e).find((m) => m >= v); };
    let last = [];
    const draw = () => {
      const panes = P.live(board).filter((pane) => pane.gaps.length > 1);
      card.classList.toggle('idle', !panes.length);
      keys.replaceChildren(); area.replaceChildren(); last = [];
      if (!panes.length) { area.append(el('p', 'quiet', 'The gap before every token, one line a pane, appears here.')); return; }
      const W = Math.max(280, area.clientWidth || 800);
      const longest = Math.max(...panes.map((pane) => pane.gaps.length));
      const sorted = panes.flatMap((pane) => pane.gaps).sort((a, b) => a - b);
      const peak = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.995))];
      const top = nice(Math.max(peak, 0.01) * 1.05);
      const x = (i) => L + ((W - L - R) * i) / Math.max(1, longest - 1), y = (v) => T + (H - T - B) * (1 - Math.min(1, v / top));
      const svg = P.svg('svg', { viewBox: `0 0 ${W} ${H}`, width: '100%', height: H, role: 'img' });
      svg.setAttribute('aria-label', panes.map((pane) => `${pane.label}: ${pane.gaps.length} gaps`).join(', '));
      for (const part of [0, 0.5, 1]) {
        svg.append(P.svg('line', { x1: L, x2: W - R, y1: y(top * part), y2: y(top * part), class: 'grid' }));
        const text = P.svg('text', { x: L - 8, y: y(top * part) + 4, 'text-anchor': 'end' });
        text.textContent = `${P.fig(top * part).replace(/\.0+$/, '')}`;
        svg.append(text);
      }
      const unit = P.svg('text', { x: L + 4, y: T + 11 }); unit.textContent = 'ms'; svg.append(unit);
      for (const at of [1, Math.round((longest + 1) / 2), longest]) {
        const text = P.svg('text', { x: x(at - 1), y: H - 4, 'text-anchor': at === 1 ? 'start' : at === longest ? 'end' : 'middle' });
        text.textContent = at === 1 ? 'token 2' : String(at + 1);
        svg.append(text);
      }
      panes.forEach((pane, index) => {
        const cls = pane.reference ? 'ref' : `v${index}`;
        svg.append(P.svg('polyline', { points: pane.gaps.map((g, i) => `${x(i).toFixed(1)},${y(g).toFixed(1)}`).join(' '), class: `series ${cls}` }));
        const key = el('span', 'key');
        const swatch = P.svg('svg', { width: 22, height: 8, 'aria-hidden': 'true' });
        swatch.append(P.svg('line', { x1: 0, x2: 22, y1: 4, y2: 4, class: `series ${cls}` }));
        key.append(swatch, el('span', '', pane.label));
        keys.append(key);
      });
      const cursor = P.svg('line', { y1: T, y2: H - B, class: 'cursor', visibility: 'hidden' });
      svg.append(cursor);
      svg.addEventListener('pointermove', (e) => {
        const at = svg.getBoundingClientRect();
        const i = Math.max(0, Math.min(longest - 1, Math.round(((e.clientX - at.left - L) * (longest - 1)) / (W - L - R))));
        cursor.setAttribute('x1', x(i)); cursor.setAttribute('x2', x(i)); cursor.setAttribute('visibility', 'visible');
        read.textContent = `token ${i + 2}: ${panes.map((pane) => `${pane.label} ${P.fig(pane.gaps[i])} ms`).join(' · ')}`;
      });
      svg.addEventListener('pointerleave', () => { cursor.setAttribute('visibility', 'hidden'); read.textContent = ''; });
      area.append(svg);
    };
    document.addEventListener('pg-scale', () => { if (board === P.board()) draw(); });
    new ResizeObserver(() => { if (Math.abs(area.clientWidth - last) > 2) draw(); last = area.clientWidth; }).observe(area);
    draw();
  };
})();
