// The tokens of an answer: one element each, appended by hand, and the tooltip with what else could have stood there.
import { el } from '../web/dom.js';
import { fig, percent, visible } from '../web/format.js';
import { tip, untip } from '../web/tooltip.js';

const WAIT_MS = 90; // before the alternatives are asked for, so that passing over a text asks for nothing

export const nats = (v) => {
  if (v === null || v === undefined) return '–';
  if (v < 1e-5) return '0';
  return v >= 0.995 ? v.toFixed(1) : v.toFixed(Math.min(6, Math.max(2, 1 - Math.floor(Math.log10(v)))));
};

// `answer`: { pane, turn } that it belongs to. `row`: id, text, ms of its step, ms since the token before, log-probability.
export const tokenSpan = (answer, index, [, text, ms, gap, logprob, piece = text]) => {
  const span = el('span', 'tk', text), p = logprob === null ? null : Math.exp(logprob);
  if (gap === null) span.classList.add('first'); else span.style.setProperty('--ms', ms);
  if (p === null) span.classList.add('nop'); else span.style.setProperty('--p', p.toFixed(4));
  span.token = { answer, index, piece, ms, gap, p };
  span.tipNodes = tipNodes;
  return span;
};

const bars = (title, top, given) => {
  const list = el('div', 'top');
  if (title) list.append(el('div', 'side', title));
  for (const [word, share] of top) {
    const row = el('div', `alt ${word === given ? 'given' : ''}`), bar = el('i'), m = el('span', 'm');
    bar.style.setProperty('width', `${Math.max(1, 100 * (share || 0))}%`);
    m.append(bar);
    row.append(el('span', 'w', visible(word)), m, el('span', 's', percent(share)));
    list.append(row);
  }
  return list;
};

// What the server knows of a token is asked for when its tooltip opens, and kept.
let timer = 0;
const found = (span, turn, index) => {
  span.asked ??= new Map();
  const key = `${turn} ${index}`, got = span.asked.get(key);
  if (got) return got;
  clearTimeout(timer);
  timer = setTimeout(async () => {
    let value;
    try { value = await span.token.answer.pane.alternatives(turn, index); } catch { value = { top: [], forced: null, missing: true }; }
    if (!value.missing) span.asked.set(key, value);
    if (span.getAttribute('aria-describedby') !== 'pg-tip') return;
    span.asked.set(key, value);
    untip(); tip(span);
    if (value.missing) span.asked.delete(key);
  }, WAIT_MS);
  return null;
};
const MISSING = 'The alternatives could not be loaded.';

function tipNodes() {
  const { answer, index, piece, ms, gap, p } = this.token, first = el('div', 'first');
  first.append(el('b', '', `“${visible(piece)}”`), el('span', '', ` token ${index + 1}`));
  const divergence = this.closest('.board')?.dataset.colour === 'kld'; // else the tip is about the token's own time
  if (divergence && this.classList.contains('past')) return [first, el('div', '', 'Not compared: the answers have diverged before this token, so its context differs from the reference’s.')];
  if (divergence && this.forced) {
    const { forced, at } = this.forced, [kld, , reference, own] = forced.rows[at];
    const given = answer.pane.reference ? piece : null;
    const words = `KLD ${nats(kld)} nats${given === null ? '' : ` · this token: ${forced.label} ${percent(reference)}, ${forced.variant} ${percent(own)}`}`;
    const got = found(this, forced.turn, at), both = el('div', 'both');
    if (got?.forced) both.append(bars(forced.label, got.forced.top_reference, given), bars(forced.variant === forced.label ? `${forced.label} here` : forced.variant, got.forced.top, given));
    return [first, el('div', '', words), got?.forced ? both : el('div', 'more', got ? MISSING : '…')];
  }
  const words = `${fig(ms)} ms${gap === null ? ', including reading the prompt' : ''}${p === null ? '' : ` · probability ${percent(p)}`}`;
  const got = p === null ? { top: [] } : found(this, answer.turn, index);
  const more = got?.top?.length ? [bars('', got.top)] : got ? (got.missing ? [el('div', 'more', MISSING)] : []) : [el('div', 'more', '…')];
  return [first, el('div', '', words), ...more];
}
