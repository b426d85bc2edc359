// One pane: a variant's title, its figures, and its answers. It is fed with rows (docs/stream.md, "The stream"); what is new
// is appended. A stored run is played again in the same pane, with `replay`, where nothing can be asked of an engine.
import { el, button, svg } from '../web/dom.js';
import { count, fig } from '../web/format.js';
import { tip } from '../web/tooltip.js';
import { BUSY } from './board.js';
import { measurement } from './divergence.js';
import { enginePicker } from './engines.js';
import { tokenSpan } from './tokens.js';

// [key, unit, what it means], in the order in which every pane has them.
export const TERMS = [
  ['decode', 'tok/s decode', 'Decode speed: tokens written per second once the first one is out. Higher is better.'],
  ['ttft', 'ms TTFT', 'Time to first token: from the moment the engine took the request until the first token. Lower is better.'],
  ['prefill', 'tok/s prefill', 'How fast the prompt was read: prompt tokens per second. Higher is better.'],
  ['tpot', 'ms TPOT', 'Time per output token: the mean gap between tokens after the first. Lower is better.'],
  ['tokens', 'tokens', 'Tokens written in this answer so far.'],
  ['memory', 'MB memory', 'Peak memory of this variant while it answered, as the engine measured it.'],
  ['gap', 'ms per token', 'Inter-token latency: the gap before each token. p50 is the median; p99 is exceeded by one gap in a hundred.'],
];
const POINTS = 400; // of the small line of gaps
const NONE = { stop: null, again: null, engine: null, measure: null, all: null };

// `act`: what the buttons do. `alternatives(turn, index)`: what else could have stood there, a promise.
// `look`: which colour and dash the pane has on this board: "ref", "v1", "v2", "v3".
export const createPane = (board, { replay = false, act = NONE, alternatives = async () => ({ top: [], forced: null }), look = 'v1' } = {}) => {
  const root = el('section', 'pane'), header = el('header'), title = el('div', 'title');
  const label = el('h2', 'label'), role = el('span', 'role', 'reference'), made = el('span', 'made');
  const source = el('p', 'source'), facts = el('span'), path = el('span', 'path');
  const engines = enginePicker((engine) => act.engine?.(engine));
  const notes = button('notes', '', () => notes.setAttribute('aria-expanded', String(root.toggleAttribute('data-open'))));
  notes.setAttribute('aria-expanded', 'false');
  title.append(label, role, engines.root, made);
  source.append(facts, path);
  header.append(title, source, notes, engines.menu);

  const nums = el('div', 'nums'), cells = {};
  for (const [key, unit, words] of TERMS) {
    const cell = el('div', `num ${key}${key === 'decode' ? ' big' : ''}`), value = el('span', 'v', '–'), name = el('span', 'u', unit);
    name.dataset.tip = words;
    cell.append(value, name);
    nums.append(cell);
    cells[key] = { cell, value, name };
  }
  const line = svg('polyline', { fill: 'none', 'stroke-width': '1.4', 'vector-effect': 'non-scaling-stroke' });
  const spark = svg('svg', { viewBox: '0 0 100 28', preserveAspectRatio: 'none', 'aria-hidden': 'true', class: 'spark' });
  spark.append(line);
  cells.gap.cell.prepend(spark);

  const body = el('div', 'body'), trouble = el('div', 'trouble'), why = el('div', 'why'), whys = el('div', 'whys');
  body.tabIndex = 0;
  body.setAttribute('role', 'group');
  const more = button('act more', '', () => { why.toggleAttribute('data-open'); fold(); });
  why.append(whys, more);
  const status = el('span', 'status');
  status.setAttribute('role', 'status');
  const stop = button('act', 'Stop', () => act.stop?.()), again = button('act', 'Regenerate', () => act.again?.());
  const copy = button('act', 'Copy', async () => {
    try { await navigator.clipboard.writeText(pane.text); copy.textContent = 'Copied'; } catch { copy.textContent = 'Not allowed'; }
    setTimeout(() => { copy.textContent = 'Copy'; }, 1500);
  });
  const acts = el('div', 'acts'), footer = el('footer');
  acts.append(...(replay ? [copy] : [stop, again, copy]));
  footer.append(status, acts);
  root.append(header, nums, body, trouble, why, footer);

  let spans = [], box = null, fresh = null, stage = null, timer = 0, since = 0, hint = null, cursor = -1, stick = true, told = null;

  const pane = {
    root, body, alternatives, label: '', reference: false, state: 'empty', hasNotes: false, unusable: false,
    text: '', turn: '', turns: new Map(), steps: [], gaps: [], prompts: [], forced: null, forcedOf: new Map(),
    get look() { return root.dataset.look; },
    set look(name) { root.dataset.look = name; },
    // One row of the stream.
    row: (kind, ...rest) => { rows[kind]?.(...rest); },
    reset: () => rows.reset(),
    settle: () => settle(),
    scrollTo: (top) => { stick = false; body.scrollTop = top; },
    close: () => { clearInterval(timer); forced.clear(); root.remove(); },
  };
  pane.look = look;
  const forced = measurement(board, pane, { measure: act.measure, stop: act.stop });

  const setState = (name) => {
    const before = pane.state;
    pane.state = root.dataset.state = name;
    if (!['waiting', 'loading', 'ready', 'reading'].includes(name)) { stage?.remove(); stage = null; clearInterval(timer); timer = 0; }
    if (before !== name) board.settle();
  };
  const settle = () => {
    const busy = BUSY.includes(pane.state), empty = pane.state === 'empty' && !pane.turns.size;
    stop.hidden = !busy;
    again.hidden = busy || (empty && !board.began) || pane.unusable;
    again.textContent = empty ? 'Run last prompt' : 'Regenerate';
    again.disabled = board.busy;
    copy.hidden = !pane.text;
    engines.lock(board.busy);
    root.querySelector('.retry')?.toggleAttribute('disabled', board.busy);
    if (empty) say();
  };
  // What an empty pane says.
  const say = () => {
    const words = replay ? '' : !board.began ? 'Type a prompt below and press Run: the answers appear here.' : 'This pane joined later: it has not seen the conversation.';
    const whole = Boolean(words && board.began && act.all && (board.panes.find((one) => one.prompts.length)?.prompts.length ?? 0) > 1);
    const now = `${words}${whole}`;
    hint?.querySelector('button')?.toggleAttribute('disabled', board.busy);
    if (hint && told === now) return;
    told = now;
    hint ??= el('div', 'hint');
    hint.replaceChildren(el('p', '', words), ...(whole ? [button('act', 'Replay the conversation here', act.all)] : []));
    if (!hint.isConnected && !pane.unusable) body.append(hint);
  };
  const numbers = (n) => {
    for (const [key] of TERMS) {
      const value = n[key];
      let text = fig(value);
      if (key === 'tokens' && value) text = String(value);
      if (key === 'memory' && value) {
        text = value >= 1e9 ? (value / 1e9).toFixed(2) : String(Math.round(value / 1e6));
        cells.memory.name.textContent = value >= 1e9 ? 'GB memory' : 'MB memory';
      }
      if (key === 'gap') {
        text = n.p50 ? `${fig(n.p50)} · ${fig(n.p99)}` : '–';
        cells.gap.name.textContent = n.p50 ? 'ms p50\u00a0·\u00a0p99' : 'ms per token';
      }
      cells[key].value.textContent = text;
    }
    board.frame(drawSpark);
  };
  const drawSpark = () => {
    const top = Math.max(...board.panes.flatMap((one) => one.gaps.slice(-POINTS)), 0.001), some = pane.gaps.slice(-POINTS);
    line.setAttribute('points', some.map((g, i) => `${((i * 100) / Math.max(1, some.length - 1)).toFixed(2)},${(27 - (26 * g) / top).toFixed(2)}`).join(' '));
  };
  const showStage = (words, done, total, unit, quiet) => {
    if (!stage) {
      const bar = el('div', 'bar');
      bar.append(el('i'));
      stage = el('div', 'stage');
      stage.append(el('div', 'words'), bar, el('div', 'much'));
    }
    if (body.lastChild !== stage) body.append(stage);
    const [text, bar, much] = stage.children;
    if (text.textContent !== words) since = performance.now();
    text.textContent = words;
    bar.classList.toggle('unknown', !total && !quiet);
    bar.classList.toggle('none', Boolean(quiet));
    bar.firstChild.style.setProperty('width', total ? `${Math.min(100, (100 * done) / total)}%` : '');
    const amount = total ? `${count(done, unit === 'bytes' ? 'bytes' : '')} of ${count(total, unit)} · ${Math.floor((100 * done) / total)}%` : '';
    const tick = () => {
      const seconds = Math.floor((performance.now() - since) / 1000);
      much.textContent = [amount, seconds > 0 && !replay ? `${seconds} s` : ''].filter(Boolean).join(' · ');
    };
    clearInterval(timer); timer = setInterval(tick, 1000); tick();
    status.textContent = words;
    board.frame(flush);
  };
  // What came since the last frame, in one piece; then the text is followed unless it was scrolled back.
  const flush = () => {
    if (fresh) { box.append(fresh); fresh = null; }
    if (stick) body.scrollTop = body.scrollHeight;
  };
  // The notes under an answer are one line; what does not fit in it opens.
  const fold = () => {
    const open = why.hasAttribute('data-open'), all = whys.children.length, cut = [...whys.children].some((one) => one.scrollWidth > one.clientWidth + 1 || one.firstElementChild?.scrollWidth > one.firstElementChild?.clientWidth + 1);
    more.hidden = !open && !cut && all < 2;
    more.textContent = open ? 'Less' : all > 1 ? `All ${all}` : 'More';
    more.setAttribute('aria-expanded', String(open));
  };
  new ResizeObserver(() => board.frame(fold)).observe(whys);

  const rows = {
    reset: () => {
      forced.clear();
      Object.assign(pane, { text: '', turn: '', turns: new Map(), steps: [], gaps: [], prompts: [], forcedOf: new Map(), unusable: false });
      spans = []; box = fresh = hint = told = null; cursor = -1; stick = true;
      body.replaceChildren(); trouble.replaceChildren(); whys.replaceChildren(); path.replaceChildren();
      made.textContent = status.textContent = ''; delete made.dataset.tip; delete path.dataset.tip;
      numbers({}); fold();
      pane.state = '';
      setState('empty');
    },
    head: (h) => {
      pane.label = h.label; pane.reference = h.role === 'reference'; pane.hasNotes = h.notes.length > 0;
      label.textContent = h.label;
      label.dataset.tip = h.id;
      role.hidden = !pane.reference;
      root.classList.toggle('is-reference', pane.reference);
      root.setAttribute('aria-label', `Pane ${h.label}`);
      body.setAttribute('aria-label', `Answer of ${h.label}; arrow keys walk through its tokens`);
      facts.replaceChildren();
      const add = (text, words) => { const node = el('span', 'fact', text); node.dataset.tip = words; if (facts.childNodes.length) facts.append(' · '); facts.append(node); };
      for (const [text, words] of h.facts) add(text, words);
      if (h.source) add(h.source, h.source);
      notes.replaceChildren(el('span', '', h.notes.join(' ')));
      notes.hidden = !h.notes.length;
      engines.show(h.engine, replay ? [] : h.engines);
      board.settle();
    },
    user: (text, key) => {
      hint?.remove(); hint = told = null;
      forced.clear();
      trouble.replaceChildren(); whys.replaceChildren(); fold();
      flush();
      const turn = el('div', 'turn'), user = el('div', 'user', text);
      box = el('div', 'toks');
      turn.append(user, box);
      body.append(turn);
      spans = [];
      Object.assign(pane, { turn: key, text: '', gaps: [], prompts: [...pane.prompts, text] });
      pane.turns.set(key, spans);
      cursor = -1; stick = true;
      numbers({});
      setState('waiting');
      settle();
    },
    made: (text, where, kernel, raw = / raw completion$/.test(` ${text}`)) => {
      made.textContent = made.dataset.tip = text;
      box?.parentElement.classList.toggle('raw', raw);
      if (!where) return;
      path.textContent = ` · ${[where, kernel].filter(Boolean).join(' · ')}`;
      path.dataset.tip = `What computed this answer: ${where}. ${kernel || 'The engine does not say which kernel it uses.'}`;
    },
    state: (name, words, done, total, unit) => {
      setState(name);
      if (name === 'waiting') showStage(words || 'Waiting for its turn', done || 0, total || 0, unit || '', !words);
      else if (name === 'loading') showStage(words || 'Loading', done, total, unit);
      else if (name === 'ready') showStage('Loaded; the other panes are getting ready', 0, 0, '', true);
      else if (name === 'reading') showStage(`Reading the prompt, ${count(done, unit)}`, 0, 0, '');
    },
    tok: (...row) => {
      if (pane.state !== 'running') { setState('running'); status.textContent = 'Writing'; }
      const span = tokenSpan({ pane, turn: pane.turn }, spans.length, row);
      if (row[3] !== null) { pane.steps.push(row[2]); pane.gaps.push(row[3]); }
      spans.push(span);
      fresh ??= document.createDocumentFragment();
      fresh.append(span);
      pane.text += row[1];
      board.frame(flush);
      if (!replay) board.soon();
    },
    num: numbers,
    part: (index, sentence, name) => {
      if (fresh) flush();
      const span = spans[index];
      if (span) { span.classList.add('div'); if (/^\s*$/.test(span.textContent)) span.dataset.mark = span.textContent.includes('\n') ? '↵' : '␣'; }
      else { const gone = el('span', 'tk div ended'); gone.dataset.mark = 'end'; gone.dataset.tip = 'This answer ends here; the other goes on.'; box.append(gone); }
      const note = button('note', '', (e) => { e.stopPropagation(); const at = spans[index] ?? box.lastChild; at.scrollIntoView({ block: 'nearest' }); tip(at); });
      note.append(el('span', '', sentence));
      if (name) note.title = `Against ${name}: shows the first token that differs.`;
      whys.append(note);
      board.frame(fold);
    },
    measure: forced.begin,
    forced: forced.add,
    measured: (state, words) => { forced.say(whys, state, words); board.frame(fold); },
    end: (name, words, reported) => {
      board.frame(flush);
      setState(name);
      status.textContent = words[0].toUpperCase() + words.slice(1);
      if (reported) {
        const own = el('span', 'own', reported);
        own.dataset.tip = 'What the engine itself reports of this answer, by its own clock; the figures above are measured independently.';
        status.append(own);
      }
      board.rescale();
      board.frame(drawSpark);
    },
    fail: (message, hinted, log) => {
      hint?.remove(); hint = told = null;
      board.frame(flush);
      pane.unusable = !box;
      setState('failed');
      status.textContent = pane.text ? 'Failed; what it wrote is kept' : pane.unusable ? 'Choose another variant above' : 'Failed';
      const card = el('div', 'fail');
      card.setAttribute('role', 'alert');
      card.append(el('b', '', message));
      if (hinted) card.append(el('p', '', hinted));
      if (log) { const open = el('details'); open.append(el('summary', '', 'Last lines of the log'), el('pre', '', log)); card.append(open); }
      if (box && act.again) card.append(button('retry', 'Try again', () => act.again()));
      trouble.replaceChildren(card); // under the text, which it must not cover
      settle();
    },
    // Takes the last one away: a mark, the measurement, or the whole turn.
    forget: (what) => {
      if (what === 'forced') forced.forget();
      if (what === 'part') {
        for (const span of spans) { span.classList.remove('div'); delete span.dataset.mark; }
        box?.querySelector('.ended')?.remove();
        for (const note of whys.querySelectorAll('.note')) note.remove();
      }
      if (what === 'turn' && box) {
        forced.forget();
        pane.turns.delete(pane.turn);
        box.parentElement.remove();
        trouble.replaceChildren(); whys.replaceChildren();
        const key = [...pane.turns.keys()].at(-1) ?? '';
        spans = pane.turns.get(key) ?? [];
        box = body.querySelector('.turn:last-of-type .toks');
        fresh = null;
        Object.assign(pane, { turn: key, prompts: pane.prompts.slice(0, -1), text: spans.map((span) => span.textContent).join(''), gaps: [] });
        made.textContent = status.textContent = '';
        numbers({});
        setState(pane.turns.size ? 'done' : 'empty');
      }
      board.frame(fold);
    },
  };

  body.addEventListener('scroll', () => { stick = body.scrollHeight - body.scrollTop - body.clientHeight < 40; });
  body.addEventListener('keydown', (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!step || !spans.length) return;
    e.preventDefault();
    spans[cursor]?.classList.remove('at');
    cursor = Math.max(0, Math.min(spans.length - 1, cursor + step));
    spans[cursor].classList.add('at');
    spans[cursor].scrollIntoView({ block: 'nearest' });
    requestAnimationFrame(() => tip(spans[cursor])); // after the scrolling, which closes a tooltip
  });
  body.addEventListener('blur', () => spans[cursor]?.classList.remove('at'));
  rows.reset();
  return pane;
};
