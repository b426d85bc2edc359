// Samples: one item at a time with both answers side by side, those that changed first. Items come a page at a time.
import { html, nothing, ref, render } from '../web/vendor/lit-html.js';
import { get } from '../web/api.js';
import { notice, radios, select } from '../web/parts.js';
import { card } from './card.js';
import { count } from './words.js';

const SHOWS = [['flips', 'Flips', 'Answers whose score changed.'], ['lost', 'Lost', 'The reference was right, or better, and the variant is not.'], ['won', 'Won', 'The variant is right, or better, where the reference was not.'], ['all', 'All', 'Every item.']];
const GONE = { message: 'The items of this run are no longer on the disk.', hint: 'Its numbers stay; evaluate again to browse items.' };

const kind = (score) => (score >= 1 ? 'right' : score > 0 ? 'part' : 'wrong');
const WORDS = { right: 'right', wrong: 'wrong' };
// The last line of a prompt that says something.
const lastLine = (text) => {
  const lines = text.trim().split('\n').filter((line) => line.trim());
  const last = lines.length > 1 && /^(answer|a)\s*:?$/i.test(lines.at(-1).trim()) ? lines.at(-2) : lines.at(-1);
  return last?.replace(/^(question|q)\s*:\s*/i, '') || '(empty)';
};
const atEnd = ref((node) => { if (node) node.scrollTop = node.scrollHeight; });

export const itemsBrowser = (view, runId) => html`<div class="ev-samples" ${ref((area) => { if (area && area.dataset.run !== runId) { area.dataset.run = runId; browse(area, view, runId); } })}></div>`;

const browse = (area, view, runId) => {
  let task = view.tasks[0]?.name, variant = 1, show = 'flips', offset = 0, chosen = 0;
  let page = null, error = view.items ? null : GONE, loading = false, controller = null;
  const side = (item, at) => item.sides[Math.min(at, item.sides.length - 1)];

  const read = async (at, { last = false, focus = false } = {}) => {
    controller?.abort();
    const mine = (controller = new AbortController());
    offset = at; loading = true; draw();
    try {
      page = await get(`api/evaluate/items?${new URLSearchParams({ id: runId, task, variant, show, offset })}`, mine.signal);
      error = null; chosen = last ? page.items.length - 1 : 0;
    } catch (problem) {
      if (mine.signal.aborted) return;
      error = problem; page = null;
    }
    loading = false; draw();
    if (focus) area.querySelector('.row[aria-selected="true"]')?.focus();
  };
  const choose = (index, focus) => { chosen = index; draw(); if (focus) area.querySelector('.row[aria-selected="true"]')?.focus(); };
  const turn = (by) => {
    const next = chosen + by;
    if (next < 0) { if (page.offset > 0) read(page.offset - page.size, { last: true, focus: true }); return; }
    if (next >= page.items.length) { if (page.offset + page.size < page.counts[page.show]) read(page.offset + page.size, { focus: true }); return; }
    choose(next, true);
  };
  const keys = (e) => {
    const by = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!by || !page) return;
    e.preventDefault(); turn(by);
  };

  const answer = (item, at) => {
    const found = side(item, at), of = kind(found.score), words = WORDS[of] || `score ${+found.score.toFixed(2)}`;
    const label = view.variants[at ? variant : 0]?.label || '';
    const best = found.loglikelihoods ? Math.max(...found.loglikelihoods) : 0;
    return html`<div class="answer ${of}">
      <div class="head"><b>${label}</b><span class="score">${words}</span>${found.truncated ? html`<i class="tag" tabindex="0" data-tip="This answer reached the token limit.">cut off</i>` : nothing}</div>
      <pre tabindex="0">${found.answer === '' ? '(empty)' : found.answer}</pre>
      ${found.extracted !== found.answer.trim() ? html`<div class="foot"><span>extracted </span><code>${found.extracted === '' ? '(nothing)' : found.extracted}</code></div>` : nothing}
      ${found.loglikelihoods ? html`<div class="choices"><span class="name">log-likelihood${found.loglikelihoods.length > 1 ? 's' : ' of the expected answer'}, nats</span>${found.loglikelihoods.map((v) => html`<span class=${v === best ? 'best' : ''}>${String(v).replace('-', '−')}</span>`)}</div>` : nothing}
    </div>`;
  };
  const opened = (item) => html`
    <div class="top"><h4>Item ${item.doc + 1}</h4><span class="quiet">${count(page.offset + chosen + 1)} of ${count(page.counts[page.show])} shown · ${page.task}</span>
      <span class="ev-flip ${item.moved}">${{ lost: 'lost', won: 'won', same: 'no change' }[item.moved]}</span></div>
    <pre class="prompt" tabindex="0" ${atEnd}>${item.prompt}</pre>
    ${item.other_prompt !== null ? html`<p class="ev-differs">The prompt of ${view.variants[variant]?.label} was different:</p><pre class="prompt" tabindex="0" ${atEnd}>${item.other_prompt}</pre>` : nothing}
    <div class="gold"><span>Expected answer </span><code>${item.gold === '' ? '(empty)' : item.gold}</code></div>
    <div class="sides">${answer(item, 0)}${view.variants.length > 1 ? answer(item, 1) : nothing}</div>`;
  const row = (item, index) => html`
    <button type="button" class="row" role="option" aria-selected=${index === chosen} tabindex=${index === chosen ? 0 : -1} aria-label="Item ${item.doc + 1}, ${item.moved === 'same' ? 'no change' : item.moved}: ${lastLine(item.prompt)}" @click=${() => choose(index)}>
      <span class="number">${item.doc + 1}</span><span class="words">${lastLine(item.prompt)}</span><i class="dot ${kind(side(item, 0).score)}"></i><i class="dot ${kind(side(item, 1).score)}"></i></button>`;
  const pager = () => {
    const total = page.counts[page.show], to = Math.min(total, page.offset + page.items.length);
    return html`<div class="ev-pager" ?hidden=${total <= page.size}>
      <button type="button" class="ui-small" aria-label="Earlier items" ?disabled=${page.offset <= 0} @click=${() => read(page.offset - page.size)}>Back</button>
      <span class="quiet">${total ? `${count(page.offset + 1)}–${count(to)} of ${count(total)}` : '0'}</span>
      <button type="button" class="ui-small" aria-label="Later items" ?disabled=${to >= total} @click=${() => read(page.offset + page.size)}>Next</button></div>`;
  };
  const draw = () => {
    const nothingHere = page && (show === 'all' ? 'No items were kept.' : `No item of ${page.task} ${{ flips: 'changed its score', lost: 'was lost', won: 'was won' }[show]}.`);
    const bar = html`<div class="ev-bar">
      ${view.variants.length > 1 ? select(view.variants.slice(1).map((v, index) => [String(index + 1), v.label]), String(variant), (value) => { variant = Number(value); read(0); }, 'Variant') : nothing}
      ${select(view.tasks.map((t) => [t.name, t.name]), task, (value) => { task = value; read(0); }, 'Task')}
      ${radios('Which items', SHOWS.map(([key, words, tip]) => [key, html`<span data-tip=${tip}>${words}</span><small>${page ? ` ${count(page.counts[key])}` : ''}</small>`]), show, (value) => { show = value; read(0); })}</div>`;
    render(card('Every answer', 'the reference’s beside the variant’s; dots: right, partly right, wrong', html`
      ${view.items ? bar : nothing}
      <div class="ev-browse ${loading ? 'loading' : ''}" aria-busy=${loading}>
        <div><div class="ev-index" role="listbox" aria-label="Items" @keydown=${keys}>${page?.items.map(row)}</div>${page ? pager() : nothing}</div>
        <div class="ev-item" aria-live="polite">${error ? notice(error) : !page ? html`<p class="quiet ev-none">Reading the items…</p>` : page.items.length ? opened(page.items[chosen]) : html`<p class="quiet ev-none">${nothingHere}</p>`}</div>
      </div>`), area);
  };
  draw();
  if (!view.items) return;
  // Nothing is asked for before somebody comes near it.
  const near = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) { near.disconnect(); read(0); } }, { rootMargin: '400px' });
  near.observe(area);
};
