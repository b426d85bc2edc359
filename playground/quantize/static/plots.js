// Plot of the Quantize page: where rounding hurt. Values are data only.
(() => {
  const P = window.Playground;
  const Q = P.quantize;
  const { put, canvas, share: percent } = P;

  // "model.layers.3.mlp.experts.7.up_proj" is of layer 3 and of the kind "mlp.experts.up_proj": experts share a row.
  const split = (name) => {
    const found = /^(.*?)\.(\d+)\.(.+)$/.exec(name);
    return found ? [Number(found[2]), found[3].replace(/\.\d+(?=\.)/g, '')] : [null, name];
  };
  // What one cell shows: a layer, or the mean of its experts.
  const cells = (layers) => {
    const of = new Map();
    for (const [name, error, snr] of layers) {
      const [at, kind] = split(name), key = `${at} ${kind}`;
      if (!of.has(key)) of.set(key, { at, kind, all: [] });
      of.get(key).all.push({ name, error, snr });
    }
    return [...of.values()].map((one) => ({ ...one, error: one.all.reduce((sum, each) => sum + each.error, 0) / one.all.length }));
  };
  const said = ({ all, error }) => {
    const db = ({ snr }) => (snr === null || snr === undefined ? '' : ` · ${snr.toFixed(1)} dB`);
    if (all.length === 1) return [all[0].name, `relative error ${percent(error)}${db(all[0])}`];
    const worst = all.reduce((a, b) => (b.error > a.error ? b : a));
    return [`${all.length} experts`, `relative error ${percent(error)} on average`, `worst ${worst.name}`, `${percent(worst.error)}${db(worst)}`];
  };

  // The colours span a factor of two at least: where all layers lose the same, they look the same.
  const reach = (errors) => { const high = Math.max(...errors); return [Math.min(Math.min(...errors), high / 2), high]; };

  // Where did it hurt: a row per kind of projection, a column per layer, the colour is the relative error.
  Q.heat = (area, layers) => {
    const placed = cells(layers), numbered = placed.filter((one) => one.at !== null);
    const kinds = [...new Set([...numbered, ...placed].map((one) => one.kind))], count = Math.max(0, ...numbered.map((one) => one.at)) + 1;
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
        const lines = said(one), width = one.at === null ? count * wide : wide; // the embedding is in no layer: its cell is the row
        const rect = put(svg, 'rect', { x: (L + (one.at || 0) * wide).toFixed(2), y: y + 1, width: Math.max(1, width - (wide > 5 ? 1.5 : 0.3)).toFixed(2), height: cell - 2, rx: wide > 8 ? 3 : 1, class: 'cell', style: `--p:${(0.06 + 0.94 * Math.max(0, share)).toFixed(3)}`, 'data-tip': lines.join(': ') });
        rect.pgTip = () => lines.map((words, i) => P.el('div', i ? '' : 'first', words));
      }
      if (!narrow) put(svg, 'text', { x: W - R + 8, y: y + cell / 2 + 4, class: 'mean' }, `mean ${percent(own.reduce((sum, one) => sum + one.error, 0) / own.length)}`);
    });
    const base = H - 6;
    if (numbered.length) put(svg, 'text', { x: L, y: base }, 'layer 0');
    if (count > 1) put(svg, 'text', { x: L + count * wide, y: base, 'text-anchor': 'end' }, String(count - 1));
  };
  Q.heatLegend = (layers) => {
    const [low, high] = reach(cells(layers).map((one) => one.error)), box = P.el('span', 'qz-scale');
    box.append(P.el('span', '', percent(low)), P.el('i', 'ramp'), P.el('span', '', percent(high)));
    return box;
  };
})();
