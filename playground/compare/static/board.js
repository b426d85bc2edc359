// A board: the panes that stand beside each other, what colours their tokens, and one scale for all of them, so that
// equal colours mean equal values. It is drawn in one animation frame for all panes. `change(event)` follows:
// 'scale' (another range), 'colour' (another quantity), 'panes' (others are shown, or one is in another state).
export const BUSY = ['waiting', 'loading', 'ready', 'reading', 'running'];
const FLOOR = 0.1; // nats: below it nothing is painted strong, so that a lossless variant stays pale
const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];

export const createBoard = (root, colour = 'time') => {
  const listeners = new Set(), due = new Set();
  let timer = 0, last = 0, chosen = null;

  const board = {
    root, panes: [], range: null, kldTop: null,
    change: (act) => { listeners.add(act); return () => listeners.delete(act); },
    say: (event) => { for (const act of listeners) act(event); },

    // Draws in the next frame; several calls in between are one.
    frame: (act) => {
      if (!due.size) requestAnimationFrame(() => { const acts = [...due]; due.clear(); for (const one of acts) one(); });
      due.add(act);
    },

    get colour() { return root.dataset.colour; },
    set colour(name) { root.dataset.colour = name; board.say('colour'); },

    show: (panes) => {
      board.panes = panes;
      root.dataset.panes = panes.length;
      board.settle();
      board.rescale();
    },
    // What depends on the states of all panes.
    settle: () => {
      root.toggleAttribute('data-began', board.began);
      root.toggleAttribute('data-notes', board.panes.some((pane) => pane.hasNotes));
      for (const pane of board.panes) pane.settle();
      board.say('panes');
    },
    get busy() { return board.panes.some((pane) => BUSY.includes(pane.state)); },
    get began() { return board.panes.some((pane) => pane.turns.size > 0); },
    get reference() { return board.panes.find((pane) => pane.reference) ?? null; },

    // ---- whose divergence colours the reference's text: one variant at a time
    get measured() { return board.panes.filter((pane) => !pane.reference && pane.forced?.rows.length); },
    get against() { const all = board.measured; return all.includes(chosen) ? chosen : all[0] ?? null; },
    set against(pane) { chosen = pane; board.paintReference(); board.say('scale'); },
    paintReference: (from = 0) => {
      const { reference, against } = board;
      for (const [key, spans] of reference?.turns ?? []) {
        const forced = against?.forcedOf.get(key);
        for (let at = from; at < spans.length; at += 1) paint(spans[at], forced?.rows[at] ? forced : null, at);
      }
    },

    rescale: () => {
      clearTimeout(timer); timer = 0; last = performance.now();
      const steps = board.panes.flatMap((pane) => pane.allSteps ?? pane.steps).sort((a, b) => a - b);
      const low = steps.length ? quantile(steps, 0.05) : 0, high = steps.length ? Math.max(quantile(steps, 0.98), low * 1.25) : 1;
      const klds = board.panes.flatMap((pane) => (pane.forced ? pane.forced.rows.map((row) => row[0]) : [])).sort((a, b) => a - b);
      board.range = steps.length ? [low, high] : null;
      board.kldTop = klds.length ? Math.max(FLOOR, quantile(klds, 0.98)) : null;
      root.style.setProperty('--lo', low.toFixed(3));
      root.style.setProperty('--span', Math.max(high - low, 0.001).toFixed(3));
      root.style.setProperty('--ktop', (board.kldTop ?? 1).toPrecision(3));
      board.say('scale');
    },
    // While tokens arrive: at most twice a second.
    soon: () => { if (!timer) timer = setTimeout(board.rescale, Math.max(0, 500 - (performance.now() - last))); },
  };
  root.classList.add('board');
  root.dataset.colour = colour;
  return board;
};

// Marks a token with its position in a measurement, or without one.
export const paint = (span, forced, at) => {
  span.forced = forced && { forced, at };
  span.classList.toggle('forced', Boolean(forced));
  if (forced) span.style.setProperty('--kld', forced.rows[at][0]);
};
