// Plots of the Quantize page: memory over time, errors as they come, and where rounding hurt. Values are data only.
(() => {
  const P = window.Playground;
  const Q = P.quantize;
  const put = (parent, tag, attrs, words) => {
    const node = P.svg(tag, attrs);
    if (words !== undefined) node.textContent = words;
    parent.append(node);
    return node;
  };
  const canvas = (area, height, words) => {
    const W = Math.max(200, area.clientWidth || 480);
    const svg = P.svg('svg', { viewBox: `0 0 ${W} ${height}`, width: '100%', height, role: 'img', 'aria-label': words });
    area.replaceChildren(svg);
    return [svg, W];
  };
  const percent = (v) => (v >= 0.00995 ? `${(100 * v).toFixed(1)}%` : `${(100 * v).toPrecision(2)}%`);
  Q.share = percent;
  const small = (v) => (v === 0 ? '0' : Math.abs(v) >= 0.01 && Math.abs(v) < 1000 ? String(+v.toPrecision(3)) : v.toExponential(1));
  Q.small = small;

  // Memory of the worker over its time; the peak is marked.
  Q.memory = (area, points) => {
    const H = 84, T = 8, B = 16, L = 2, R = 2;
    const [svg, W] = canvas(area, H, 'Memory of the worker over time');
    const end = Math.max(points.at(-1)[0], 1), top = Math.max(...points.map((p) => p[1])) * 1.08 || 1;
    const x = (t) => L + ((W - L - R) * t) / end, y = (v) => T + (H - T - B) * (1 - v / top);
    const line = points.map(([t, v]) => `${x(t).toFixed(1)},${y(v).toFixed(1)}`).join(' ');
    put(svg, 'polygon', { points: `${x(points[0][0])},${y(0)} ${line} ${x(points.at(-1)[0])},${y(0)}`, class: 'fill' });
    put(svg, 'polyline', { points: line, class: 'line' });
    put(svg, 'line', { x1: L, x2: W - R, y1: y(0), y2: y(0), class: 'axis' });
    const peak = points.reduce((a, b) => (b[1] > a[1] ? b : a));
    put(svg, 'circle', { cx: x(peak[0]), cy: y(peak[1]), r: 3, class: 'dot' });
    put(svg, 'text', { x: L, y: H - 3 }, '0 s');
    put(svg, 'text', { x: W - R, y: H - 3, 'text-anchor': 'end' }, Q.span(end));
  };

  // One bar per layer in the order in which they come.
  Q.errors = (area, found, format) => {
    const H = 84, T = 8, B = 16;
    const [svg, W] = canvas(area, H, 'Error of each layer, in the order in which they come');
    const top = Math.max(...found.map((f) => f[1])) || 1, step = Math.min(14, (W - 2) / found.length);
    put(svg, 'line', { x1: 0, x2: W, y1: H - B, y2: H - B, class: 'axis' });
    found.forEach(([name, v], i) => {
      const h = Math.max(1.5, ((H - T - B) * v) / top);
      const g = put(svg, 'g', { 'data-tip': `${name}: ${format(v)}` });
      put(g, 'rect', { x: 1 + i * step, y: T, width: step, height: H - T - B, class: 'hit' });
      put(g, 'rect', { x: 1 + i * step, y: H - B - h, width: Math.max(1, step - (step > 4 ? 1.5 : 0.4)), height: h, class: 'col' });
    });
    const last = found.at(-1);
    put(svg, 'text', { x: 0, y: H - 3 }, `${last[0].replace(/^model\.layers\./, 'layer ')}: ${format(last[1])}`);
  };

  const split = (name) => {
    const found = /^(.*?)\.(\d+)\.(.+)$/.exec(name);
    return found ? [Number(found[2]), found[3]] : [null, name];
  };

  // The colours span a factor of two at least: where all layers lose the same, they look the same.
  const reach = (errors) => { const high = Math.max(...errors); return [Math.min(Math.min(...errors), high / 2), high]; };

  // Where did it hurt: a row per kind of projection, a column per layer, the colour is the relative error.
  Q.heat = (area, layers) => {
    const placed = layers.map(([name, error, snr]) => { const [at, kind] = split(name); return { name, error, snr, at, kind }; }).filter((one) => one.at !== null);
    if (!placed.length) { area.replaceChildren(); return; }
    const kinds = [...new Set(placed.map((one) => one.kind))], count = Math.max(...placed.map((one) => one.at)) + 1;
    const [low, high] = reach(placed.map((one) => one.error));
    const short = kinds.map((kind) => kind.split('.').at(-1));
    const narrow = (area.clientWidth || 480) < 480, L = Math.min(140, 12 + 6.3 * Math.max(...short.map((s) => s.length))), R = narrow ? 2 : 86;
    const cell = kinds.length > 12 ? 14 : 22, T = 4, H = T + kinds.length * cell + 22;
    const [svg, W] = canvas(area, H, 'Relative error by layer and kind of projection');
    const wide = (W - L - R) / count;
    kinds.forEach((kind, row) => {
      const own = placed.filter((one) => one.kind === kind), y = T + row * cell;
      put(svg, 'text', { x: L - 8, y: y + cell / 2 + 4, 'text-anchor': 'end', class: 'name' }, short[row]);
      for (const one of own) {
        const share = high > low ? (one.error - low) / (high - low) : 1;
        const lines = [one.name, `relative error ${percent(one.error)}${one.snr === null || one.snr === undefined ? '' : ` · ${one.snr.toFixed(1)} dB`}`];
        const rect = put(svg, 'rect', { x: (L + one.at * wide).toFixed(2), y: y + 1, width: Math.max(1, wide - (wide > 5 ? 1.5 : 0.3)).toFixed(2), height: cell - 2, rx: wide > 8 ? 3 : 1, class: 'cell', style: `--p:${(0.06 + 0.94 * Math.max(0, share)).toFixed(3)}`, 'data-tip': lines.join(': ') });
        rect.pgTip = () => lines.map((words, i) => P.el('div', i ? '' : 'first', words));
      }
      if (!narrow) put(svg, 'text', { x: W - R + 8, y: y + cell / 2 + 4, class: 'mean' }, `mean ${percent(own.reduce((sum, one) => sum + one.error, 0) / own.length)}`);
    });
    const base = H - 6;
    put(svg, 'text', { x: L, y: base }, 'layer 0');
    if (count > 1) put(svg, 'text', { x: L + count * wide, y: base, 'text-anchor': 'end' }, String(count - 1));
  };
  Q.heatLegend = (layers) => {
    const [low, high] = reach(layers.map((one) => one[1])), box = P.el('span', 'qz-scale');
    box.append(P.el('span', '', percent(low)), P.el('i', 'ramp'), P.el('span', '', percent(high)));
    return box;
  };
})();
