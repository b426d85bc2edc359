// The Evaluate page: the form, the jobs while they work, and the stored runs, the newest of them open.
import { html, nothing, render, repeat } from '../web/vendor/lit-html.js';
import { call, get, keep, me } from '../web/app.js';
import '../web/confirm.js';
import { when } from '../web/format.js';
import { jobCards, poll } from '../web/jobs.js';
import { notice } from '../web/parts.js';
import { evaluateForm } from './form.js';
import { evaluationView } from './run.js';
import { count } from './words.js';

const quiet = matchMedia('(prefers-reduced-motion: reduce)');
const here = () => document.documentElement.dataset.page === 'evaluate';
let form = null, openFromAddress = () => {};

export const mount = (root) => {
  const owner = me.role === 'owner', logs = new Set();
  let board = null, trouble = null, opened, view = null, runError = null, wanted = 0;
  render(html`<div id="pg-evaluate-ask"></div><div class="ui-trouble" aria-live="assertive"></div><div class="ev-jobs"></div>
    <section class="ev-run" aria-label="Evaluation"></section><section class="ev-runs" aria-label="Earlier evaluations"></section>`, root);
  const [asked, alarm, jobs, box, list] = root.children;

  // ---- the run that is open
  const open = async (id) => {
    if (opened === id) return;
    opened = id; view = null; runError = null;
    const mine = (wanted += 1);
    drawRun(); drawRuns();
    if (!id) return;
    try { const next = await get(`api/evaluate/run?${new URLSearchParams({ id })}`); if (mine === wanted) view = next; } catch (error) { if (mine === wanted) runError = error; }
    if (mine !== wanted) return;
    drawRun(); form?.fold(); form?.draw();
  };
  const drawRun = () => {
    box.classList.toggle('loading', Boolean(opened && !view && !runError));
    if (view) { evaluationView(box, view); return; }
    if (opened && !runError && box.querySelector('.ev-verdict')) return; // what is there stays until the next one has arrived
    render(runError ? notice(runError) : opened ? html`<div class="ui-empty">Reading the run…</div>` : owner ? html`<div class="ui-empty"><b>Nothing evaluated yet.</b> A finished evaluation appears here: first what was lost in plain words, then each score with its uncertainty, and every item that changed. The bundled facts and cloze tasks take a minute or two on a small model: a good first evaluation.</div>` : nothing, box);
  };
  openFromAddress = ({ run }) => { if (run) open(run); };

  // ---- the list
  const line = (run) => html`
    <article class="ev-line" data-id=${run.id}>
      <button type="button" class="open" aria-current=${opened === run.id ? 'true' : nothing} @click=${() => { keep('evaluate', { run: run.id }); open(run.id); box.scrollIntoView({ block: 'start', behavior: quiet.matches ? 'auto' : 'smooth' }); }}>
        <span class="who"><b>${run.labels.slice(1).join(', ') || run.labels[0]}</b><span class="quiet">against ${run.labels[0]} · ${run.model}</span></span>
        <span class="what quiet">${run.tasks.join(', ') || 'divergence alone'}</span>
        <span class="quiet much">${run.tokens !== null ? (run.tokens ? `${count(run.tokens)} tokens` : 'all of the text') : run.limit === null ? 'all items' : `${count(run.limit)} items each`}</span>
        <span class="quiet when">${when(run.created)}</span></button>
      <span class="acts"><pg-confirm words="Delete" question="Delete the run and its items?" yes="Delete" no="Keep" name="Delete the run of ${when(run.created)}" @pg-yes=${() => remove(run.id)}></pg-confirm></span>
    </article>`;
  const drawRuns = () => {
    if (!board) return;
    list.hidden = !board.runs.length;
    render(html`<div class="ui-section"><h3>Evaluations</h3><span class="quiet">${board.runs.length} stored, newest first</span></div>
      <div class="ui-list">${repeat(board.runs, (run) => run.id, line)}</div>`, list);
  };
  const remove = async (id) => {
    try { await call('api/evaluate/remove', { id }); say(null); } catch (error) { say(error); }
    if (opened === id) keep('evaluate', {});
    news();
  };

  // ---- news
  const say = (error) => { trouble = error; render(trouble ? notice(trouble) : nothing, alarm); };
  const look = async (signal) => {
    const before = board?.runs[0]?.id || '';
    const next = await get(`api/evaluate/board?${new URLSearchParams([...logs].map((id) => ['log', id]))}`, signal);
    board = next;
    const newest = board.runs[0]?.id || '', gone = owner && opened && !board.runs.some((run) => run.id === opened);
    // Whoever reads an older run keeps it when a new one arrives.
    if (opened === undefined || gone || (newest !== before && opened === before)) {
      if (opened !== undefined && newest && newest !== before && !gone) form?.fold(true);
      open(newest);
    }
    render(jobCards(board, { logs, look: () => news(), owner, trouble: say, gone: 'Done. Its run has been deleted since.', left: 'Every answer so far is kept: run it again to continue from there.' }), jobs);
    drawRuns();
    form?.draw();
    return board.active;
  };
  const news = poll('evaluate', look, say);

  // ---- the form, or why there is none
  const words = () => {
    if (!view) return board?.active ? 'An evaluation is running' : '';
    const labels = view.variants.map((v) => v.label), [reference, ...others] = labels;
    const tasks = view.tasks.map((t) => t.name);
    return html`Evaluated <b>${others.join(', ') || reference}</b>${others.length ? ` against ${reference}` : ''}${tasks.length ? ` on ${tasks.join(', ')}` : ', divergence only'}`;
  };
  if (!owner) {
    render(html`<div class="ev-visitor"><p>Starting an evaluation is available to the owner only. A stored evaluation opens by its link.</p><button type="button" class="ui-quiet" @click=${() => document.dispatchEvent(new CustomEvent('pg-login'))}>Log in</button></div>`, asked);
    return;
  }
  form = evaluateForm(asked, { words, started: () => { news(); setTimeout(() => jobs.scrollIntoView({ block: 'nearest', behavior: quiet.matches ? 'auto' : 'smooth' }), 700); } });
  document.addEventListener('keydown', (e) => {
    if (!here()) return;
    if (e.key === 'Escape') form.calm();
    else if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); e.stopPropagation(); form.begin(); }
  }, true);
};

export const show = (state) => { openFromAddress(state); form?.show(); };
