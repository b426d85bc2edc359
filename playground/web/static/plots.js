// What plots are drawn with, and the two of a job that works: memory over time, errors as they come. Values are data only.
(() => {
  const P = window.Playground;
  P.put = (parent, tag, attrs, words) => {
    const node = P.svg(tag, attrs);
    if (words !== undefined) node.textContent = words;
    parent.append(node);
    return node;
  };
  P.canvas = (area, height, words) => {
    const W = Math.max(200, area.clientWidth || 480);
    const svg = P.svg('svg', { viewBox: `0 0 ${W} ${height}`, width: '100%', height, role: 'img', 'aria-label': words });
    area.replaceChildren(svg);
    return [svg, W];
  };
  P.share = (v) => (v >= 0.00995 ? `${(100 * v).toFixed(1)}%` : `${(100 * v).toPrecision(2)}%`);
  P.small = (v) => (v === 0 ? '0' : Math.abs(v) >= 0.01 && Math.abs(v) < 1000 ? String(+v.toPrecision(3)) : v.toExponential(1));

  const { put, canvas } = P;

  // Memory of the worker over its time; the peak is marked.
  P.memory = (area, points) => {
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
    put(svg, 'text', { x: W - R, y: H - 3, 'text-anchor': 'end' }, P.span(end));
  };

  // One bar per layer in the order in which they come.
  P.errors = (area, found, format) => {
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
})();
