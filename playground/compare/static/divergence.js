// How far a variant is from the reference on the reference's own words: colours, and the note with its buttons.
import { el, button } from '../web/dom.js';
import { paint } from './board.js';

export const measurement = (board, pane, { measure, stop }) => {
  let note = null, timer = 0, since = 0;
  const quiet = () => { clearInterval(timer); timer = 0; };
  const clear = () => { quiet(); note?.remove(); note = null; pane.forced = null; };
  return {
    clear,
    // A turn's measurement begins: `key` of the reference's turn, `shared` tokens that both answers begin with.
    begin: (key, label, tokens, shared) => {
      pane.forced = { turn: pane.turn, spans: pane.turns.get(pane.turn), label, variant: pane.label, tokens, shared, rows: [] };
      pane.forcedOf.set(key, pane.forced);
    },
    add: (start, rows) => {
      const { forced } = pane;
      if (!forced) return;
      forced.rows.push(...rows);
      if (!start) forced.spans.forEach((span, at) => span.classList.toggle('past', at >= forced.shared));
      for (let at = start; at < Math.min(forced.rows.length, forced.shared, forced.spans.length); at += 1) paint(forced.spans[at], forced, at);
      if (board.against === pane) board.paintReference(start);
      board.soon();
    },
    forget: () => {
      for (const [at, span] of (pane.forced?.spans ?? []).entries()) { paint(span, null, at); span.classList.remove('past'); }
      for (const [key, forced] of pane.forcedOf) if (forced === pane.forced) pane.forcedOf.delete(key);
      clear();
      board.paintReference();
      board.soon();
    },
    say: (box, state, words) => {
      if (!note) { note = el('div', 'measured'); note.setAttribute('role', 'status'); box.append(note); since = performance.now(); }
      quiet();
      note.dataset.state = state;
      const text = el('span', 'words'), acts = [], { forced } = pane;
      const tick = () => {
        const seconds = Math.floor((performance.now() - since) / 1000);
        text.textContent = `${words || 'Measuring the divergence'}${seconds > 1 ? ` · ${seconds} s` : ''}`;
      };
      if (state === 'measuring') {
        timer = setInterval(tick, 1000); tick();
        if (stop) acts.push(button('act stop', 'Stop', stop, 'Stop measuring'));
      } else {
        text.textContent = state === 'blocked' ? `No divergence. ${words}` : words;
        if (state === 'open' && measure) acts.push(button('act', forced?.rows.length ? 'Measure again' : 'Measure', measure));
        if (forced?.rows.length) acts.push(button('act show', 'Show', () => { board.colour = 'kld'; }, 'Colour tokens by divergence'));
        if (forced?.rows.length) { board.paintReference(); board.rescale(); }
      }
      note.replaceChildren(text, ...acts);
    },
  };
};
