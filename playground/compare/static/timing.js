// The plot of every gap, drawn from what the panes have, at most twice a second while they write.
import { el, svg } from '../web/dom.js';
import { fig } from '../web/format.js';

const H = 150, L = 44, R = 8, T = 8, B = 20;
const nice = (v) => { const e = 10 ** Math.floor(Math.log10(v)); return [1, 2, 2.5, 5, 10].map((m) => m * e).find((m) => m >= v); };

// Draws it in `box`, with a line for each pane of the board that has written something. Returns what ends it.
export const timing = (board, box) => {
  const card = el('section', 'plot'), head = el('div', 'plot-head'), keys = el('div', 'keys'), read = el('span', 'read'), area = el('div', 'area');
  card.setAttribute('aria-label', 'Time per token');
  head.append(el('h3', '', 'Time per token'), keys, read);
  card.append(head, area);
  box.replaceChildren(card);
  const draw = () => {
    const panes = board.panes.filter((pane) => pane.gaps.length > 1);
    card.classList.toggle('idle', !panes.length);
    keys.replaceChildren(); area.replaceChildren(); read.textContent = '';
    if (!panes.length) { area.append(el('p', 'quiet', 'The time before every token appears here, one line per pane.')); return; }
    const W = Math.max(280, area.clientWidth || 800), longest = Math.max(...panes.map((pane) => pane.gaps.length));
    const sorted = panes.flatMap((pane) => pane.gaps).sort((a, b) => a - b);
    const top = nice(Math.max(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.995))], 0.01) * 1.05);
    const x = (i) => L + ((W - L - R) * i) / Math.max(1, longest - 1), y = (v) => T + (H - T - B) * (1 - Math.min(1, v / top));
    const picture = svg('svg', { viewBox: `0 0 ${W} ${H}`, width: '100%', height: H, role: 'img', 'aria-label': panes.map((pane) => `${pane.label}: ${pane.gaps.length} gaps`).join(', ') });
    const text = (words, at) => { const node = svg('text', at); node.textContent = words; picture.append(node); };
    for (const part of [0, 0.5, 1]) {
      picture.append(svg('line', { x1: L, x2: W - R, y1: y(top * part), y2: y(top * part), class: 'grid' }));
      text(fig(top * part).replace(/\.0+$/, ''), { x: L - 8, y: y(top * part) + 4, 'text-anchor': 'end' });
    }
    text('ms', { x: L + 4, y: T + 11 });
    for (const at of new Set([1, Math.round((longest + 1) / 2), longest])) {
      text(at === 1 ? 'token 2' : String(at + 1), { x: x(at - 1), y: H - 4, 'text-anchor': at === 1 ? 'start' : at === longest ? 'end' : 'middle' });
    }
    for (const pane of panes) {
      const look = `series ${pane.look}`, swatch = svg('svg', { width: 26, height: 8, 'aria-hidden': 'true' }), key = el('span', 'key');
      picture.append(svg('polyline', { points: pane.gaps.map((g, i) => `${x(i).toFixed(1)},${y(g).toFixed(1)}`).join(' '), class: look }));
      swatch.append(svg('line', { x1: 0, x2: 26, y1: 4, y2: 4, class: look }));
      key.append(swatch, el('span', '', pane.label));
      keys.append(key);
    }
    const cursor = svg('line', { y1: T, y2: H - B, class: 'cursor', visibility: 'hidden' });
    picture.append(cursor);
    picture.addEventListener('pointermove', (e) => {
      const at = picture.getBoundingClientRect();
      const i = Math.max(0, Math.min(longest - 1, Math.round(((e.clientX - at.left - L) * (longest - 1)) / (W - L - R))));
      cursor.setAttribute('x1', x(i)); cursor.setAttribute('x2', x(i)); cursor.setAttribute('visibility', 'visible');
      read.textContent = `token ${i + 2}: ${panes.map((pane) => `${pane.label} ${fig(pane.gaps[i])} ms`).join(' · ')}`;
    });
    picture.addEventListener('pointerleave', () => { cursor.setAttribute('visibility', 'hidden'); read.textContent = ''; });
    area.append(picture);
  };
  const off = board.change((event) => { if (event === 'scale') board.frame(draw); });
  let width = 0;
  const resized = new ResizeObserver(() => { if (Math.abs(area.clientWidth - width) > 2) { width = area.clientWidth; board.frame(draw); } });
  resized.observe(area);
  draw();
  return () => { off(); resized.disconnect(); };
};
