// A stored comparison, played in the panes of Compare with the times that were measured. One fetch brought everything.
import { el, button } from '../web/dom.js';
import { render } from '../web/vendor/lit-html.js';
import { radios } from '../web/parts.js';
import { shown } from '../web/app.js';
import { createBoard } from '../compare/board.js';
import { legend } from '../compare/legend.js';
import { createPane } from '../compare/pane.js';
import { timing } from '../compare/timing.js';
import { verdict } from '../compare/verdict.js';

const SPEEDS = [['1', '1×'], ['4', '4×'], ['0', 'at once']];
const STEP_S = 1; // of the arrow keys
const PIECE = 6, TOP = 7; // in a row of a token: what follows is not in the stream of Compare
const clock = (s) => (s < 60 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${(s % 60).toFixed(1).padStart(4, '0')} s`);

const until = (rows, t) => { // the number of rows at time t
  let low = 0, high = rows.length;
  while (low < high) { const mid = (low + high) >> 1; if (rows[mid][0] <= t + 1e-9) low = mid + 1; else high = mid; }
  return low;
};
// A pane with its rows; `to(count)` shows the first ones.
const track = (board, { rows, steps }, number) => {
  const tokens = rows.map(([, row]) => row).filter(([kind]) => kind === 'tok');
  const forced = rows.map(([, row]) => row).filter(([kind]) => kind === 'forced').flatMap(([, , positions]) => positions);
  const alternatives = async (_, index) => {
    const position = (one.pane.reference ? tracks.get(board.against) : one)?.forced[index];
    return { top: tokens[index]?.[TOP] ?? [], forced: position ? { top_reference: position[4], top: position[5] } : null };
  };
  const pane = createPane(board, { replay: true, alternatives, look: number ? `v${number}` : 'ref' });
  const one = {
    pane, forced, rows, count: 0,
    to: (count) => {
      if (count < one.count) { pane.reset(); one.count = 0; }
      for (const [, row] of rows.slice(one.count, count)) pane.row(...(row[0] === 'tok' ? row.slice(0, PIECE + 1) : row));
      one.count = count;
    },
  };
  pane.allSteps = steps; // the scale of the whole answer from the first token on
  tracks.set(pane, one);
  return one;
};
const tracks = new WeakMap();

// Returns { close }. It opens at its end, with everything there.
export const replay = (mount, value) => {
  const stage = el('section', 'rp-stage'), bar = el('div', 'rp-bar'), row = el('div', 'rp-panes'), plot = el('div', 'rp-plot'), colours = el('div', 'rp-legend'), said = el('div');
  const board = createBoard(mount), all = value.panes.map((pane, number) => track(board, pane, number));
  const total = Math.max(0, ...value.panes.map((pane) => pane.end));
  let now = total, speed = '1', playing = false, frame = 0, before = 0;

  stage.setAttribute('aria-label', 'Replay');
  const play = button('rp-play', 'Replay', () => (playing ? pause() : start()));
  const again = button('rp-again', 'Restart', () => { go(0); start(); });
  const slider = el('input', 'rp-slider'), time = el('output', 'rp-time'), speeds = el('span');
  slider.type = 'range'; slider.min = 0; slider.max = total.toFixed(3); slider.step = 'any'; slider.setAttribute('aria-label', 'Time of the replay');
  bar.append(play, again, speeds, slider, time, colours);
  play.dataset.tip = 'Space plays and pauses, ← and → skip one second, Home restarts.';
  for (const one of all) row.append(one.pane.root);
  row.dataset.panes = all.length;
  stage.append(bar, row, el('p', 'rp-note quiet', 'Each pane plays with its measured times, from the moment its engine accepted the request; the time it waited for other panes is left out. Nothing is computed again.'));

  const draw = () => {
    for (const one of all) one.to(now >= total ? one.rows.length : until(one.rows, now));
    slider.value = now;
    slider.style.setProperty('--done', `${total ? (100 * now) / total : 100}%`);
    slider.setAttribute('aria-valuetext', `${clock(now)} of ${clock(total)}`);
    time.textContent = `${clock(now)} of ${clock(total)}`;
    play.textContent = playing ? 'Pause' : now >= total ? 'Replay' : 'Play';
    stage.dataset.playing = playing;
    render(radios('Speed of the replay', SPEEDS, speed, setSpeed), speeds);
  };
  const setSpeed = (next) => { speed = next; if (speed === '0') { playing = false; go(total); } else { before = performance.now(); draw(); } };
  // The whole answers are there first: their height is kept, so that nothing below moves while they are written again.
  const keepHeight = () => { if (now >= total) row.style.setProperty('min-height', `${row.offsetHeight}px`); };
  const tick = () => {
    if (!playing) return;
    const at = performance.now();
    now = Math.min(total, now + (Math.max(0, at - before) / 1e3) * Number(speed)); before = at;
    if (now >= total) { playing = false; board.rescale(); } else frame = requestAnimationFrame(tick);
    draw();
  };
  const start = () => {
    if (speed === '0') speed = '1';
    keepHeight();
    if (now >= total) now = 0;
    playing = total > 0; before = performance.now();
    cancelAnimationFrame(frame); frame = requestAnimationFrame(tick);
    draw();
  };
  const pause = () => { playing = false; cancelAnimationFrame(frame); draw(); };
  const go = (t) => { keepHeight(); now = Math.max(0, Math.min(total, t)); before = performance.now(); draw(); };
  slider.addEventListener('input', () => { if (playing) pause(); go(Number(slider.value)); });
  const resized = () => row.style.removeProperty('min-height');
  addEventListener('resize', resized);

  const keys = (e) => {
    if (!shown('run') || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.target instanceof Element && e.target.closest('input, textarea, select, button, a, summary, [role="radio"], .pane .body')) return;
    const act = { ' ': () => (playing ? pause() : start()), ArrowLeft: () => go(now - STEP_S), ArrowRight: () => go(now + STEP_S), Home: () => go(0), End: () => go(total) }[e.key];
    if (!act) return;
    e.preventDefault(); act();
  };
  document.addEventListener('keydown', keys);

  mount.append(said, stage, plot);
  render(verdict(value.verdict), said);
  board.show(all.map((one) => one.pane));
  const ends = [legend(board, colours), timing(board, plot)];
  draw();
  board.rescale();
  return {
    close: () => {
      cancelAnimationFrame(frame); playing = false;
      document.removeEventListener('keydown', keys); removeEventListener('resize', resized);
      for (const end of ends) end();
      for (const one of all) one.pane.close();
    },
  };
};
