// The reviewer's page. Everything is drawn with textContent; it knows no name before the server sends one, after the vote.
// The key stands in the fragment, `/review/ID#KEY`, and goes to the server in bodies alone.
import { call, enter } from '../../web/api.js';
import { button, el } from '../../web/dom.js';

const fragment = location.hash.slice(1).replace(/^key=/, '');
const who = {
  review: decodeURIComponent(location.pathname.split('/').at(-1)),
  key: fragment || new URLSearchParams(location.search).get('key') || '',
};
if (location.search) history.replaceState(null, '', `${location.pathname}#${who.key}`);
const find = (id) => document.getElementById(id);
const main = find('main'), foot = find('foot'), bar = find('bar');
const CHOICES = [['a', 'A', ' is', ' better', 'A is better'], ['tie', 'Tie', '', '', 'Tie: equally good'], ['bad', 'Both bad', '', '', 'Both are bad'], ['b', 'B', ' is', ' better', 'B is better']];
const LONG = 280; // characters of a prompt that is set as text and no longer as a question
const count = (n, what) => `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`;

// ---- the server: its answer, or { error }
let entered = false;
const ask = async (verb, body = {}) => {
  try {
    if (!entered) await enter('../api/page');
    entered = true;
    return await call(verb, { ...who, ...body });
  } catch (error) { return { error }; }
};

// ---- parts
const progress = (state) => {
  find('title').textContent = state.title;
  document.title = state.title;
  const shown = state.stage === 'vote' ? state.done + 1 : state.done;
  find('count').textContent = state.stage === 'start' ? '' : state.stage === 'vote' ? `${shown} of ${state.total}` : `${state.done} of ${state.total} voted`;
  bar.hidden = state.stage === 'start';
  bar.setAttribute('aria-valuemax', state.total); bar.setAttribute('aria-valuenow', state.done);
  bar.firstElementChild.style.width = `${(100 * state.done) / Math.max(1, state.total)}%`;
};
const failed = (error) => { const note = el('p', 'note'); note.setAttribute('role', 'alert'); note.append(el('b', '', error.message), ` ${error.hint || ''}`); return note; };
const card = (title, ...rest) => { const node = el('section', 'card'); node.append(el('h2', '', title), ...rest); foot.hidden = true; foot.replaceChildren(); main.replaceChildren(node); return node; };

// ---- stages
const broken = (found) => {
  bar.hidden = true;
  const again = button('begin', 'Try again', () => open());
  card(found.error.message, el('p', 'quiet', found.error.hint || ''), ...(found.error.status && found.error.status < 500 ? [] : [again]));
};

const welcome = (state) => {
  const list = el('ul');
  for (const line of [
    `${count(state.total, 'pair')} of answers, one at a time: about ${count(state.minutes, 'minute')}.`,
    'You are not told which model wrote which answer.',
    'Choose the better one, or say that they are equally good, or both bad.',
    'A vote cannot be changed. You can stop at any time and continue later in this browser.',
  ]) list.append(el('li', '', line));
  const begin = button('begin', 'Begin', async () => {
    begin.disabled = true; begin.textContent = 'One moment…';
    const found = await ask('start');
    if (found.error) { begin.disabled = false; begin.textContent = 'Begin'; node.querySelector('.note')?.remove(); node.append(failed(found.error)); return; }
    draw(found);
  });
  const node = card(state.title, el('p', 'quiet', state.asked_by ? `${state.asked_by} asks you to compare answers.` : 'You are asked to compare answers.'), list, begin);
  begin.focus();
};

let current = null; // the item that is shown: its choice, its nodes, whether its vote is on its way
const choose = (choice) => {
  if (!current || current.sending) return;
  current.choice = choice;
  for (const node of current.buttons) { const on = node.dataset.choice === choice; node.setAttribute('aria-checked', on); node.tabIndex = on ? 0 : -1; if (on && current.buttons.includes(document.activeElement)) node.focus(); }
  const marks = { a: ['true', 'false'], b: ['false', 'true'], tie: ['true', 'true'], bad: ['bad', 'bad'] }[choice];
  current.cards.forEach((node, at) => { node.dataset.on = marks[at]; });
  current.send.disabled = false;
  current.box.classList.add('chosen');
  current.box.querySelector('.note')?.remove();
};
const send = async () => {
  const mine = current;
  if (!mine || !mine.choice || mine.sending) return;
  mine.sending = true; mine.send.disabled = true; mine.send.textContent = 'Saving…';
  const found = await ask('vote', { at: mine.at, choice: mine.choice, comment: mine.comment.value });
  if (!found.error) { draw(found); return; }
  mine.sending = false; mine.send.disabled = false; mine.send.textContent = 'Vote';
  if (['vote_refused', 'review_over'].includes(found.error.code)) { await open(found.error); return; }
  mine.box.querySelector('.note')?.remove();
  mine.box.append(failed({ message: `Not saved. ${found.error.message}`, hint: found.error.hint }));
};

const answer = (letter, text, choice, cut) => {
  const node = el('article', 'answer'), head = el('h2'), trimmed = text.trim();
  head.append(el('span', 'letter', letter), el('span', '', `Answer ${letter}`));
  node.append(head, el('div', trimmed ? 'text' : 'text none', trimmed || 'This answer is empty.'));
  if (cut) node.append(el('p', 'cut', `cut at ${count(cut, 'token')}`));
  node.addEventListener('click', () => { if (!getSelection().toString()) choose(choice); });
  return node;
};
const last = (told) => {
  const words = { a: `You preferred ${told.a} to ${told.b}.`, b: `You preferred ${told.b} to ${told.a}.`, tie: `${told.a} (A) and ${told.b} (B) were equally good to you.`, bad: `Both bad: ${told.a} (A) and ${told.b} (B).` }[told.choice];
  const node = el('p', 'told', words); node.setAttribute('role', 'status'); return node;
};

const item = (state, error) => {
  const shown = state.item;
  const prompt = el('section', 'prompt'), words = el('p', shown.prompt.length > LONG ? 'words long' : 'words', shown.prompt);
  if (shown.prompt.length > LONG) words.tabIndex = 0;
  prompt.append(el('p', 'eyebrow', 'Prompt'), words);
  const cards = [answer('A', shown.a, 'a', shown.cut.a), answer('B', shown.b, 'b', shown.cut.b)], answers = el('div', 'answers');
  answers.append(...cards);
  const box = el('div', 'vote'), choices = el('div', 'choices'), under = el('div', 'under'), holder = el('div', 'comment'), comment = el('textarea');
  choices.setAttribute('role', 'radiogroup'); choices.setAttribute('aria-label', 'Which answer is better?');
  const buttons = CHOICES.map(([choice, short, more, rest, name], at) => {
    const node = button('', '', () => choose(choice));
    const label = el('span', '', short);
    if (more) label.append(el('span', 'more', more), rest);
    node.append(el('kbd', '', String(at + 1)), label);
    node.setAttribute('role', 'radio'); node.setAttribute('aria-checked', 'false'); node.setAttribute('aria-label', name); node.dataset.choice = choice; node.tabIndex = at ? -1 : 0;
    choices.append(node);
    return node;
  });
  const vote = button('send', 'Vote', send);
  vote.disabled = true;
  comment.maxLength = 1000; comment.placeholder = 'What made the difference? Only the owner of this review reads it.'; comment.setAttribute('aria-label', 'Comment');
  holder.hidden = true; holder.append(comment);
  const more = button('link', 'Add a comment', () => { holder.hidden = false; more.hidden = true; comment.focus(); });
  const keys = el('span', 'keys');
  keys.append(el('kbd', '', '1'), '–', el('kbd', '', '4'), 'or', el('kbd', '', '←'), el('kbd', '', '→'), 'choose,', el('kbd', '', 'Enter'), 'votes,', el('kbd', '', 'C'), 'comments');
  under.append(more, keys);
  box.append(choices, vote, holder, under);
  if (error) box.append(failed(error));
  const about = state.done ? [] : [el('p', 'told', `${state.asked_by ? `${state.asked_by} asks you` : 'You are asked'} to compare ${count(state.total, 'pair')} of answers: about ${count(state.minutes, 'minute')}. You are not told which model wrote which answer.`)];
  main.replaceChildren(...about, ...(state.last ? [last(state.last)] : []), prompt, answers);
  foot.replaceChildren(box); foot.hidden = false;
  current = { at: shown.at, choice: '', sending: false, cards, buttons, send: vote, comment, box, more };
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
};

const finish = (state) => {
  current = null;
  const over = state.stage === 'closed';
  const saved = state.done ? `${state.done} vote${state.done === 1 ? ' is' : 's are'} saved.` : '';
  const node = card(over ? 'This review is closed' : 'Thank you', el('p', 'quiet', over && !state.done ? 'No more votes are accepted.' : saved));
  if (state.last) node.insertBefore(last(state.last), node.firstChild);
  if (state.later) node.append(el('p', 'quiet', 'When the review is closed, this page shows which model wrote which answer.'));
  if (state.names) reveal(node, state.names);
  main.focus({ preventScroll: true });
};
const reveal = (node, names) => {
  node.classList.add('wide');
  const count = new Map();
  for (const row of names) for (const label of [row.a, row.b]) if (!count.has(label)) count.set(label, 0);
  let neither = 0;
  for (const row of names) if (row.choice === 'a' || row.choice === 'b') count.set(row[row.choice], count.get(row[row.choice]) + 1); else neither += 1;
  const tally = el('div', 'tally'), most = Math.max(1, ...count.values(), neither);
  const line = (label, n, cls) => {
    const row = el('div', `row ${cls}`), track = el('span', 'track'), fill = el('i');
    fill.style.width = `${(100 * n) / most}%`; track.append(fill);
    row.append(el('b', '', label), track, el('span', 'much', String(n)));
    tally.append(row);
  };
  for (const [label, n] of [...count].sort((x, y) => y[1] - x[1])) line(label, n, '');
  line('neither', neither, 'none');
  const each = el('details');
  each.append(el('summary', '', 'What you voted on'));
  for (const row of names) {
    const entry = el('div', 'each'), said = el('span', 'who');
    if (row.choice === 'a' || row.choice === 'b') said.append(el('b', '', row[row.choice]), ` over ${row[row.choice === 'a' ? 'b' : 'a']}`);
    else said.append(row.choice === 'tie' ? 'tie of ' : 'both bad: ', `${row.a} and ${row.b}`);
    entry.append(el('span', 'what', row.prompt), said);
    each.append(entry);
  }
  node.append(el('p', '', 'This is what you preferred:'), tally, each);
};

const draw = (state, error) => {
  progress(state);
  current = null;
  if (state.stage === 'start') welcome(state);
  else if (state.stage === 'vote') item(state, error);
  else finish(state);
};
const open = async (error) => {
  const found = await ask('state');
  if (found.error) broken(found); else draw(found, error);
};

// ---- keys: 1 to 4 or the arrows choose, Enter votes, C writes a comment, Escape leaves it
document.addEventListener('keydown', (e) => {
  if (!current || e.isComposing || e.altKey) return;
  const writing = e.target === current.comment;
  if (e.key === 'Enter' && (!writing || e.ctrlKey || e.metaKey)) {
    if (!e.repeat && !(e.target instanceof HTMLElement && e.target.closest('.link, .send'))) { e.preventDefault(); send(); }
    return;
  }
  if (writing) { if (e.key === 'Escape') main.focus({ preventScroll: true }); return; }
  if (e.ctrlKey || e.metaKey) return;
  const order = CHOICES.map(([choice]) => choice), step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
  if (/^[1-4]$/.test(e.key)) choose(order[Number(e.key) - 1]);
  else if (step) choose(current.choice ? order[Math.min(3, Math.max(0, order.indexOf(current.choice) + step))] : step < 0 ? 'a' : 'b');
  else if (e.key === 'c' || e.key === 'C') current.more.click();
  else return;
  e.preventDefault();
});
addEventListener('hashchange', () => location.reload()); // another link of the same review
addEventListener('pageshow', (e) => { if (e.persisted) open(); });
open();
