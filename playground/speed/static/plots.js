// Plots of the Speed page: decode speed against the bandwidth limit, and the concurrency sweep. Values are data only.
(() => {
  const P = window.Playground;
  const SHAPES = { transformers: 'circle', vllm: 'square', llamacpp: 'triangle', remote: 'diamond' };
  const put = (parent, tag, attrs, words) => {
    const node = P.svg(tag, attrs);
    if (words !== undefined) node.textContent = words;
    parent.append(node);
    return node;
  };
  const marker = (parent, engine, x, y, cls) => {
    const shape = SHAPES[engine] || 'circle', r = 6;
    if (shape === 'circle') return put(parent, 'circle', { cx: x, cy: y, r, class: cls });
    const points = { square: [[-5.5, -5.5], [5.5, -5.5], [5.5, 5.5], [-5.5, 5.5]], triangle: [[0, -7], [6.5, 5], [-6.5, 5]], diamond: [[0, -7.5], [7.5, 0], [0, 7.5], [-7.5, 0]] }[shape];
    return put(parent, 'polygon', { points: points.map(([dx, dy]) => `${(x + dx).toFixed(1)},${(y + dy).toFixed(1)}`).join(' '), class: cls });
  };
  const ticks = (low, high) => {
    const found = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e += 1) for (const m of [1, 2, 5]) { const v = m * 10 ** e; if (v >= low && v <= high) found.push(v); }
    return found;
  };
  const plain = (v) => (v >= 1000 ? Math.round(v).toLocaleString('en') : String(+v.toPrecision(3)));
  const bytes = (v) => (v >= 1e9 ? `${plain(v / 1e9)} GB` : v >= 1e6 ? `${plain(v / 1e6)} MB` : `${plain(v / 1e3)} kB`);
  const canvas = (area, height, words) => {
    const W = Math.max(260, area.clientWidth || 700);
    const svg = P.svg('svg', { viewBox: `0 0 ${W} ${height}`, width: '100%', height, role: 'group', 'aria-label': words });
    area.replaceChildren(svg);
    return [svg, W];
  };
  // A point that can be reached by keyboard and says what it is.
  const point = (svg, lines) => {
    const g = put(svg, 'g', { class: 'point', tabindex: '0', role: 'img', 'aria-label': lines.join(', '), 'data-tip': lines[0] });
    g.pgTip = () => lines.map((line, i) => P.el('div', i ? '' : 'first', line));
    return g;
  };

  P.roofline = (area, rows) => {
    const H = Math.min(380, Math.max(300, (area.clientWidth || 700) * 0.42)), L = 48, R = 18, T = 16, B = 42;
    const [svg, W] = canvas(area, H, 'Decode speed over the bytes that one token reads, both logarithmic');
    const limits = [...new Set(rows.map((r) => r.bandwidth).filter(Boolean))];
    const xs = rows.map((r) => r.bytes_per_token), ys = rows.map((r) => r.tok_s_mean);
    const x0 = Math.min(...xs) / 1.7, x1 = Math.max(...xs) * (W < 500 ? 2.2 : 1.7);
    const reach = limits.flatMap((b) => xs.map((x) => b / x));
    const y0 = Math.min(...ys) / 1.8, y1 = Math.max(...ys, ...reach) * 1.5;
    const log = (v, a, b) => Math.log(v / a) / Math.log(b / a);
    const x = (v) => L + (W - L - R) * log(v, x0, x1), y = (v) => T + (H - T - B) * (1 - log(v, y0, y1));
    const floor = H - B, clampY = (v) => Math.max(T, Math.min(floor, v));
    for (const v of ticks(y0, y1)) {
      put(svg, 'line', { x1: L, x2: W - R, y1: y(v), y2: y(v), class: 'grid' });
      put(svg, 'text', { x: L - 8, y: y(v) + 4, 'text-anchor': 'end' }, plain(v));
    }
    let before = -99;
    for (const v of ticks(x0, x1)) {
      if (x(v) - before < 56 || x(v) < L + 14 || x(v) > W - R - 14) continue;
      before = x(v);
      put(svg, 'text', { x: x(v), y: floor + 17, 'text-anchor': 'middle' }, bytes(v));
      put(svg, 'line', { x1: x(v), x2: x(v), y1: floor, y2: floor + 4, class: 'axis' });
    }
    put(svg, 'line', { x1: L, x2: W - R, y1: floor, y2: floor, class: 'axis' });
    put(svg, 'text', { x: W - R, y: H - 4, 'text-anchor': 'end', class: 'name' }, 'read from memory per token');
    put(svg, 'text', { x: L - 40, y: H - 4, class: 'name' }, 'tok/s ↑');
    for (const bandwidth of limits) {
      const at = (v) => clampY(y(bandwidth / v));
      const from = Math.max(x0, bandwidth / y1), to = Math.min(x1, bandwidth / y0);
      put(svg, 'polygon', { points: `${x(from)},${T} ${x(from)},${at(from)} ${x(to)},${at(to)} ${x(x1)},${at(x1)} ${x(x1)},${T}`, class: 'beyond' });
      put(svg, 'line', { x1: x(from), y1: at(from), x2: x(to), y2: at(to), class: 'limit' });
      const words = `${bytes(bandwidth)}/s, this memory`;
      put(svg, 'text', { x: W - R - 6, y: T + 14, 'text-anchor': 'end', class: 'limit-name' }, `limit: ${words}`);
    }
    // Labels beside their points, pushed apart where they would lie on each other.
    // A depth hardly moves a point: its mark lies under the first one's, and has a label only where it stands apart.
    const placed = rows.map((row) => ({ row, px: x(row.bytes_per_token), py: y(row.tok_s_mean) })).sort((a, b) => a.py - b.py);
    const first = new Map();
    for (const one of [...placed].sort((a, b) => a.row.depth - b.row.depth)) if (!first.has(one.row.address)) first.set(one.row.address, one);
    const boxes = [];
    for (const one of placed) {
      const main = `${one.row.label} · ${one.row.title}`;
      const words = one.row.depth ? `d${one.row.depth}` : main;
      one.name = one.row.depth ? `${main}, ${one.row.depth} tokens before it` : main;
      const width = words.length * 6.4 + 10, right = one.px + 14 + width < W - R;
      const lx = right ? one.px + 13 : Math.max(L + 4, one.px - 13 - width);
      const own = first.get(one.row.address);
      Object.assign(one, { words, main: own === one, labelled: own === one || Math.hypot(own.px - one.px, own.py - one.py) > 16 });
      if (!one.labelled) continue;
      let ly = one.py + 4;
      for (let tries = 0; tries < 40 && boxes.some((b) => lx < b.x + b.w && b.x < lx + width && Math.abs(ly - b.y) < 14); tries += 1) ly += 2;
      boxes.push({ x: lx, y: ly, w: width });
      Object.assign(one, { lx, ly, width, right });
    }
    for (const one of [...placed].sort((a, b) => a.main - b.main)) {
      const { row, px, py } = one;
      const lines = [one.name, `${P.fig(row.tok_s_mean)}${row.tok_s_sd === null ? '' : ` ± ${P.fig(row.tok_s_sd)}`} tok/s, ${bytes(row.bytes_per_token)} a token`];
      if (row.mbu !== null) lines.push(`${Math.round(100 * row.mbu)}% of the limit of ${P.fig(row.bandwidth / row.bytes_per_token)} tok/s`);
      else lines.push(`no limit drawn: ${row.mbu_missing}`);
      const g = point(svg, lines), cls = `mark ${row.reference ? 'ref' : ''} ${row.depth ? 'deep' : ''}`;
      if (row.mbu !== null) put(g, 'line', { x1: px, x2: px, y1: clampY(y(row.bandwidth / row.bytes_per_token)), y2: py, class: 'gap' });
      put(g, 'circle', { cx: px, cy: py, r: 14, class: 'hit' });
      marker(g, row.engine, px, py, cls);
      if (!one.labelled) continue;
      if (Math.abs(one.ly - py - 4) > 6) put(g, 'line', { x1: px + (one.right ? 6 : -6), y1: py, x2: one.right ? one.lx - 2 : one.lx + one.width - 8, y2: one.ly - 4, class: 'lead' });
      put(g, 'text', { x: one.right ? one.lx : one.lx + one.width - 10, y: one.ly, 'text-anchor': one.right ? 'start' : 'end', class: 'label' }, one.words);
    }
  };

  // Which line is whose: the same marks and dashes as in the plots.
  P.keys = (rows) => {
    const box = P.el('div', 'sp-keys');
    [...new Set(rows.map((r) => r.address))].forEach((address, index) => {
      const row = rows.find((r) => r.address === address), key = P.el('span', 'key');
      const swatch = P.svg('svg', { width: 34, height: 16, 'aria-hidden': 'true' });
      put(swatch, 'line', { x1: 0, x2: 34, y1: 8, y2: 8, class: `series ${row.reference ? 'ref' : `v${index}`}` });
      marker(swatch, row.engine, 17, 8, `mark ${row.reference ? 'ref' : ''}`);
      key.append(swatch, P.el('span', '', `${row.label} in ${row.title}`));
      box.append(key);
    });
    return box;
  };

  P.levels = (area, rows, value, name) => {
    const H = 200, L = 46, R = 14, T = 26, B = 40;
    const [svg, W] = canvas(area, H, name);
    const counts = [...new Set(rows.map((r) => r.concurrency))].sort((a, b) => a - b);
    const top = Math.max(...rows.map(value)) * 1.12 || 1;
    const spread = Math.log2(counts.at(-1) / counts[0]) || 1;
    const x = (c) => (counts.length === 1 ? (L + W - R) / 2 : L + 10 + ((W - L - R - 20) * Math.log2(c / counts[0])) / spread), y = (v) => T + (H - T - B) * (1 - v / top);
    put(svg, 'text', { x: 0, y: 11, class: 'name' }, name);
    const step = [1, 2, 2.5, 5, 10].map((m) => m * 10 ** Math.floor(Math.log10(top / 3))).find((s) => top / s <= 4) || top;
    for (let v = 0; v <= top; v += step) {
      put(svg, 'line', { x1: L, x2: W - R, y1: y(v), y2: y(v), class: v ? 'grid' : 'axis' });
      put(svg, 'text', { x: L - 8, y: y(v) + 4, 'text-anchor': 'end' }, plain(v));
    }
    for (const c of counts) put(svg, 'text', { x: x(c), y: H - B + 17, 'text-anchor': 'middle' }, `${c}`);
    put(svg, 'text', { x: W - R, y: H - 5, 'text-anchor': 'end' }, 'requests at once');
    [...new Set(rows.map((r) => r.address))].forEach((address, index) => {
      const own = rows.filter((r) => r.address === address).sort((a, b) => a.concurrency - b.concurrency);
      put(svg, 'polyline', { points: own.map((r) => `${x(r.concurrency).toFixed(1)},${y(value(r)).toFixed(1)}`).join(' '), class: `series ${own[0].reference ? 'ref' : `v${index}`}` });
      for (const r of own) {
        const g = point(svg, [`${r.label} in ${r.title}, ${r.concurrency} at once`, `${P.fig(value(r))} ${name}`, `${r.runs} requests`]);
        put(g, 'circle', { cx: x(r.concurrency), cy: y(value(r)), r: 14, class: 'hit' });
        marker(g, r.engine, x(r.concurrency), y(value(r)), `mark ${r.reference ? 'ref' : ''}`);
      }
    });
  };
})();
