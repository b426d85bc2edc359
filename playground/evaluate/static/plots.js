// Plots of an evaluation: what is gained against what is lost, scores with their errors, divergence of single tokens.
(() => {
  const P = window.Playground;
  const E = P.evaluate;
  const { put, canvas } = P;
  const plain = (v) => String(+v.toPrecision(3));
  // A mark that can be reached by keyboard and says what it is.
  const point = E.point = (svg, lines, cls = '') => {
    const g = put(svg, 'g', { class: `point ${cls}`, tabindex: '0', role: 'img', 'aria-label': lines.join(', '), 'data-tip': lines[0] });
    g.pgTip = () => lines.map((line, i) => P.el('div', i ? '' : 'first', line));
    return g;
  };
  const step = (span, most) => [1, 2, 2.5, 5, 10].map((m) => m * 10 ** Math.floor(Math.log10(span / most))).find((s) => span / s <= most) || span;
  const scale = (low, high, most) => { const by = step(high - low, most), found = []; for (let v = Math.ceil(low / by - 1e-9) * by; v <= high + by * 1e-6; v += by) found.push(Math.abs(v) < by * 1e-6 ? 0 : v); return found; };

  // ---- what can stand on the vertical axis: a loss, or a score
  E.axes = (view) => {
    const axes = [];
    const others = view.variants.slice(1);
    if (others.filter((v) => E.kld(view, v.id)?.kld_mean > 0).length) axes.push({ key: 'kld', words: 'KLD', name: 'mean KLD, nats (less is better)', better: -1, log: true, of: (v) => { const row = E.kld(view, v.id); return row ? [row.kld_mean, row.kld_stderr, `KLD ${E.nats(row.kld_mean)} ± ${E.nats(row.kld_stderr)} nats`] : null; } });
    for (const t of view.tasks) {
      axes.push({ key: t.name, words: t.name, name: `${t.name}, ${t.metric}${t.share ? ' %' : ''}`, better: t.higher_is_better ? 1 : -1, of: (v) => {
        const row = E.row(view, v.id, t.name), by = t.share ? 100 : 1;
        return row ? [by * row.score, by * (row.stderr || 0), `${t.metric} ${E.score(row.score, t)} ± ${E.score(row.stderr || 0, t)}`] : null;
      } });
    }
    return axes;
  };

  // A variant is on the frontier when no other is as small, as fast and as good, and better in one of the three.
  const frontier = (marks, better) => marks.filter((a) => !marks.some((b) => b !== a && b.x <= a.x && better * b.y >= better * a.y && (b.speed ?? 0) >= (a.speed ?? 0) && (b.x < a.x || better * b.y > better * a.y || (b.speed ?? 0) > (a.speed ?? 0))));

  E.tradeoff = (view, plot) => {
    const axes = E.axes(view), said = P.el('p', 'ev-frontier quiet');
    let axis = axes.find((one) => one.key !== 'kld') || axes[0], area = null;
    const pick = P.select(axes.map((one) => [one.key, one.words]), axis.key);
    pick.setAttribute('aria-label', 'Vertical axis');
    const draw = (where) => { area = where; drawTradeoff(where, view, axis, said); };
    pick.addEventListener('change', () => { axis = axes.find((one) => one.key === pick.value); draw(area); });
    const top = P.el('div', 'ev-axis'); top.append(pick, said);
    plot('Size, speed and quality', 'whiskers: ± 1.96 standard errors', draw, top);
  };
  const drawTradeoff = (area, view, axis, said) => {
    const marks = view.variants.map((v, index) => { const found = axis.of(v); return found && v.bytes && !(axis.log && !(found[0] > 0)) ? { v, index, x: v.bytes, y: found[0], e: 1.96 * found[1], words: found[2], speed: v.speed?.decode_tok_s ?? null } : null; }).filter(Boolean);
    if (!marks.length) { area.replaceChildren(); said.textContent = 'Nothing of this was measured.'; return; }
    const best = new Set(frontier(marks, axis.better));
    const named = [...best].map((m) => m.v.label);
    const what = marks.some((m) => m.speed !== null) ? 'no larger, no slower and no worse' : 'no larger and no worse';
    said.textContent = `On the frontier: ${named.join(', ')}. ${best.size < marks.length ? `For each other one, one of these is ${what}, going by the means.` : 'Each is ahead in something, going by the means.'}`;
    const H = 300, L = 46, R = 20, T = 16, B = 40;
    const [svg, W] = canvas(area, H, `${axis.name} over size`);
    svg.setAttribute('role', 'group');
    const xs = marks.map((m) => m.x), x1 = Math.max(...xs) * 1.12, x0 = Math.min(...xs) * 0.78;
    const low = marks.map((m) => (axis.log ? Math.max(m.y - m.e, m.y / 3) : m.y - m.e)), high = marks.map((m) => m.y + m.e);
    let y0 = Math.min(...low), y1 = Math.max(...high);
    if (axis.log) { y0 /= 1.5; y1 *= 1.5; } else { const pad = 0.08 * (y1 - y0 || 1); y0 -= pad; y1 += pad; if (y0 < 0 && Math.min(...low) >= 0) y0 = 0; }
    const x = (v) => L + ((W - L - R) * (v - x0)) / (x1 - x0);
    const y = (v) => { const at = axis.log ? Math.log(Math.max(v, y0) / y0) / Math.log(y1 / y0) : (v - y0) / (y1 - y0); return T + (H - T - B) * (1 - Math.max(0, Math.min(1, at))); };
    const ticks = axis.log ? Array.from({ length: 12 }, (_, i) => 10 ** (i - 8)).filter((v) => v >= y0 && v <= y1) : scale(y0, y1, 5);
    for (const v of ticks) { put(svg, 'line', { x1: L, x2: W - R, y1: y(v), y2: y(v), class: 'grid' }); put(svg, 'text', { x: L - 8, y: y(v) + 4, 'text-anchor': 'end' }, axis.log && v < 0.01 ? v.toExponential(0) : plain(v)); }
    for (const v of scale(x0, x1, W < 460 ? 3 : 6)) if (x(v) < W - R - 12) put(svg, 'text', { x: x(v), y: H - B + 17, 'text-anchor': 'middle' }, P.bytes(v));
    put(svg, 'line', { x1: L, x2: W - R, y1: H - B, y2: H - B, class: 'edge' });
    put(svg, 'text', { x: W - R, y: H - 5, 'text-anchor': 'end', class: 'name' }, 'on disk');
    put(svg, 'text', { x: 0, y: H - 5, class: 'name' }, axis.name);
    const speeds = marks.map((m) => m.speed).filter((s) => s !== null), top = Math.max(...speeds, 1e-9);
    const radius = (m) => (m.speed === null ? 5 : 3.5 + 9 * Math.sqrt(m.speed / top));
    const boxes = marks.map((m) => ({ x: x(m.x) - radius(m), y: y(m.y), w: 2 * radius(m) }));
    for (const m of [...marks].sort((a, b) => radius(b) - radius(a))) {
      const px = x(m.x), py = y(m.y), r = radius(m);
      const g = point(svg, [m.v.label, `${P.bytes(m.x)} · ${m.words}`, m.speed === null ? 'speed was not measured' : `${P.fig(m.speed)}${m.v.speed.sd ? ` ± ${P.fig(m.v.speed.sd)}` : ''} tok/s in ${m.v.speed.engine}`, best.has(m) ? 'on the frontier' : 'not on the frontier'], `${m.index ? '' : 'ref'} ${best.has(m) ? 'best' : ''}`);
      put(g, 'circle', { cx: px, cy: py, r: Math.max(14, r), class: 'hit' });
      if (m.e) { const [a, b] = [y(m.y - m.e), y(m.y + m.e)]; put(g, 'line', { x1: px, x2: px, y1: a, y2: b, class: 'whisker' }); for (const at of [a, b]) put(g, 'line', { x1: px - 4, x2: px + 4, y1: at, y2: at, class: 'whisker' }); }
      put(g, 'circle', { cx: px, cy: py, r, class: 'mark' });
      const wide = 7 * m.v.label.length, right = px + r + 8 + wide < W - R;
      const lx = right ? px + r + 7 : px - r - 7 - wide;
      let ly = py + 4;
      for (let tries = 0; tries < 30 && boxes.some((b) => lx < b.x + b.w && b.x < lx + wide && Math.abs(ly - b.y) < 14 && !(b.y === py && b.w === 2 * r)); tries += 1) ly += 2;
      boxes.push({ x: lx, y: ly, w: wide });
      put(g, 'text', { x: right ? lx : lx + wide, y: ly, 'text-anchor': right ? 'start' : 'end', class: 'label' }, m.v.label);
    }
    if (speeds.length) put(svg, 'text', { x: W - R, y: 10, 'text-anchor': 'end' }, `larger: faster, up to ${P.fig(top)} tok/s`);
  };

  // ---- per task a row for each variant: its score and how sure it is
  E.scores = (area, view) => {
    const box = P.el('div', 'ev-multiples');
    area.replaceChildren(box);
    for (const t of view.tasks) {
      const cell = P.el('div', 'multiple'), head = P.el('p', 'name', t.name), inner = P.el('div', 'area');
      head.append(P.el('span', 'quiet', ` ${t.metric}${t.share ? ', %' : ''} · n = ${t.n.toLocaleString('en')}`));
      cell.append(head, inner); box.append(cell);
    }
    view.tasks.forEach((t, index) => drawScores(box.children[index].lastChild, view, t));
  };
  const drawScores = (area, view, task) => {
    const by = task.share ? 100 : 1;
    const rows = view.variants.map((v, index) => ({ v, index, row: E.row(view, v.id, task.name) })).filter((one) => one.row);
    const cell = 24, T = 2, B = 20, L = Math.min(150, 12 + 7.6 * Math.max(...rows.map((one) => one.v.label.length))), R = 44, H = T + rows.length * cell + B;
    const [svg, W] = canvas(area, H, `Scores on ${task.name}`);
    svg.setAttribute('role', 'group');
    const top = Math.max(...rows.map(({ row }) => by * (row.score + 1.96 * (row.stderr || 0)))) * 1.04 || 1;
    const low = Math.min(0, ...rows.map(({ row }) => by * row.score));
    const x = (v) => L + ((W - L - R) * (Math.max(low, Math.min(top, v)) - low)) / (top - low);
    for (const v of scale(low, top, 4)) { put(svg, 'line', { x1: x(v), x2: x(v), y1: T, y2: H - B, class: 'grid' }); put(svg, 'text', { x: x(v), y: H - 5, 'text-anchor': 'middle' }, plain(v)); }
    if (task.chance !== null && task.chance !== undefined) { put(svg, 'line', { x1: x(by * task.chance), x2: x(by * task.chance), y1: T, y2: H - B, class: 'chance' }); }
    const reference = rows.find((one) => !one.index);
    rows.forEach(({ v, index, row }, at) => {
      const mid = T + at * cell + cell / 2, e = 1.96 * by * (row.stderr || 0), s = by * row.score;
      const cls = { worse: 'worse', better: 'better', withheld: 'withheld', reference: 'ref' }[row.verdict] || 'same';
      const g = point(svg, [`${v.label} on ${task.name}`, `${E.score(row.score, task)} ± ${E.score(row.stderr || 0, task)}`, row.verdict === 'withheld' ? 'no verdict: see the warning' : index ? `${row.verdict} at n = ${row.n}` : 'the reference'], cls);
      put(g, 'rect', { x: 0, y: mid - cell / 2, width: W, height: cell, class: 'hit' });
      put(g, 'text', { x: L - 8, y: mid + 4, 'text-anchor': 'end', class: 'name' }, v.label);
      put(g, 'rect', { x: x(low < 0 ? 0 : low), y: mid - 5, width: Math.max(1, x(s) - x(low < 0 ? 0 : low)), height: 10, rx: 2, class: 'mark' });
      if (e) { put(g, 'line', { x1: x(s - e), x2: x(s + e), y1: mid, y2: mid, class: 'whisker' }); for (const one of [s - e, s + e]) put(g, 'line', { x1: x(one), x2: x(one), y1: mid - 3, y2: mid + 3, class: 'whisker' }); }
      put(g, 'text', { x: W - R + 8, y: mid + 4, class: 'value' }, E.score(row.score, task).replace('%', ''));
    });
    if (reference) put(svg, 'line', { x1: x(by * reference.row.score), x2: x(by * reference.row.score), y1: T, y2: H - B, class: 'refline' });
  };

  // ---- KLD of single tokens: one hill for each variant over the same axis, the noise floor behind each
  E.spread = (area, view) => {
    const rows = view.divergence.filter((row) => row.histogram?.counts.some(Boolean) && row.kld_mean > 0), T = 8, B = 34, R = 12;
    if (!rows.length) { area.replaceChildren(P.el('p', 'quiet', 'No distribution was kept.')); return; }
    const label = (row) => view.variants.find((v) => v.id === row.variant)?.label || row.variant;
    const L = Math.min(150, 12 + 7.6 * Math.max(...rows.map((row) => label(row).length)));
    const cell = Math.max(46, Math.min(84, (312 - T - B) / rows.length)), H = T + rows.length * cell + B, [svg, W] = canvas(area, H, 'Distribution of the KLD of single tokens, logarithmic');
    svg.setAttribute('role', 'group');
    const every = [...rows, ...(view.floor?.histogram ? [view.floor] : [])];
    const used = every.flatMap((row) => row.histogram.counts.flatMap((n, i) => (n ? [row.histogram.edges[i], row.histogram.edges[i + 1]] : [])));
    const e0 = Math.max(-9, Math.floor(Math.min(...used))), e1 = Math.ceil(Math.max(...used));
    const x = (e) => L + ((W - L - R) * (Math.max(e0, Math.min(e1, e)) - e0)) / (e1 - e0);
    const most = Math.max(...every.map((row) => Math.max(...row.histogram.counts) / row.tokens));
    const hill = (row, base) => { const { edges, counts } = row.histogram, h = (n) => ((cell - 12) * n) / row.tokens / most; return `${x(edges[0])},${base} ${counts.map((n, i) => `${x(edges[i]).toFixed(1)},${(base - h(n)).toFixed(1)} ${x(edges[i + 1]).toFixed(1)},${(base - h(n)).toFixed(1)}`).join(' ')} ${x(edges.at(-1))},${base}`; };
    const every_ = (e1 - e0) > 7 || W < 420 ? 2 : 1;
    for (let e = e0; e <= e1; e += 1) { if ((e - e0) % every_) continue; put(svg, 'line', { x1: x(e), x2: x(e), y1: T, y2: H - B, class: 'grid' }); put(svg, 'text', { x: x(e), y: H - B + 16, 'text-anchor': 'middle' }, e >= -2 && e <= 2 ? plain(10 ** e) : `1e${e}`); }
    rows.forEach((row, index) => {
      const base = T + (index + 1) * cell;
      const g = point(svg, [label(row), `mean ${E.nats(row.kld_mean)} ± ${E.nats(row.kld_stderr)} nats, median ${E.nats(row.kld_median)}`, `p99 ${E.nats(row.kld_p99)}, p99.9 ${E.nats(row.kld_p999)}, largest ${E.nats(row.kld_max)}`, `the same top token in ${(100 * row.top1_agreement).toFixed(1)}%`], 'hillside');
      put(g, 'rect', { x: 0, y: base - cell, width: W, height: cell, class: 'hit' });
      if (view.floor?.histogram) put(g, 'polygon', { points: hill(view.floor, base), class: 'floor' });
      put(g, 'polygon', { points: hill(row, base), class: 'hill' });
      put(g, 'line', { x1: L, x2: W - R, y1: base, y2: base, class: 'edge' });
      put(g, 'line', { x1: x(Math.log10(row.kld_mean)), x2: x(Math.log10(row.kld_mean)), y1: base - cell + 14, y2: base, class: 'meanline' });
      put(g, 'text', { x: L - 8, y: base - 6, 'text-anchor': 'end', class: 'name' }, label(row));
    });
    put(svg, 'text', { x: W - R, y: H - 3, 'text-anchor': 'end' }, `line: the mean${view.floor ? ' · grey: the noise floor' : ''}`);
  };
})();
