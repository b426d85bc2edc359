// Jobs while they work: one card each, with its stage, time left, memory, log, and a button that ends it.
// Several pages show theirs. `poll` asks for news, `jobCards` draws the jobs of a board `{ jobs, older, active }`.
import { html, nothing, ref, repeat } from './vendor/lit-html.js';
import { call } from './api.js';
import './confirm.js';
import { svg } from './dom.js';
import { bytes, plural, seconds, share, small, when } from './format.js';
import { notice } from './parts.js';

const ACTIVE_MS = 600, IDLE_MS = 4000;
const WORDS = { queued: 'queued', running: 'running', done: 'done', failed: 'failed', cancelled: 'stopped', interrupted: 'interrupted' };

// Calls look(signal), which returns whether a job is active, while the page `name` is shown: often while one is, rarely
// otherwise, never twice at once. lost(error) is called when it fails, lost(null) when it works again.
// Returns now(): ask at once, which drops an answer that is on its way.
export const poll = (name, look, lost = () => {}) => {
  let timer = 0, controller = null, active = false;
  const here = () => document.documentElement.dataset.page === name && !document.hidden;
  const next = () => { clearTimeout(timer); timer = setTimeout(tick, active ? ACTIVE_MS : IDLE_MS); };
  const tick = async () => {
    if (!here()) return;
    controller?.abort();
    const mine = (controller = new AbortController());
    try { active = Boolean(await look(mine.signal)); lost(null); } catch (error) {
      if (mine.signal.aborted) return;
      lost(error);
    }
    if (mine === controller) next();
  };
  document.addEventListener('pg-page', () => { if (here()) tick(); });
  document.addEventListener('visibilitychange', () => { if (here()) tick(); });
  tick();
  return tick;
};

// ---- the plots of a job that runs: memory over time, errors of layers as they come
const put = (parent, tag, attributes, words) => {
  const node = svg(tag, attributes);
  if (words !== undefined) node.textContent = words;
  parent.append(node);
  return node;
};
const canvas = (area, height, words) => {
  const width = Math.max(200, area.clientWidth || 480);
  const node = svg('svg', { viewBox: `0 0 ${width} ${height}`, width: '100%', height, role: 'img', 'aria-label': words });
  area.replaceChildren(node);
  return [node, width];
};
const H = 84, T = 8, B = 16;
export const memoryPlot = (area, points) => {
  const [node, W] = canvas(area, H, 'Memory of the worker over time');
  const end = Math.max(points.at(-1)[0], 1), top = Math.max(...points.map((p) => p[1])) * 1.08 || 1;
  const x = (t) => 2 + ((W - 4) * t) / end, y = (v) => T + (H - T - B) * (1 - v / top);
  const line = points.map(([t, v]) => `${x(t).toFixed(1)},${y(v).toFixed(1)}`).join(' ');
  put(node, 'polygon', { points: `${x(points[0][0])},${y(0)} ${line} ${x(points.at(-1)[0])},${y(0)}`, class: 'fill' });
  put(node, 'polyline', { points: line, class: 'line' });
  put(node, 'line', { x1: 2, x2: W - 2, y1: y(0), y2: y(0), class: 'axis' });
  const peak = points.reduce((a, b) => (b[1] > a[1] ? b : a));
  put(node, 'circle', { cx: x(peak[0]), cy: y(peak[1]), r: 3, class: 'dot' });
  put(node, 'text', { x: 2, y: H - 3 }, '0 s');
  put(node, 'text', { x: W - 2, y: H - 3, 'text-anchor': 'end' }, seconds(end));
};
export const errorPlot = (area, layers, format) => {
  const [node, W] = canvas(area, H, 'Error of each layer, in the order in which they are done');
  const top = Math.max(...layers.map(([, v]) => v)) || 1, step = Math.min(14, (W - 2) / layers.length);
  put(node, 'line', { x1: 0, x2: W, y1: H - B, y2: H - B, class: 'axis' });
  layers.forEach(([name, v], i) => {
    const h = Math.max(1.5, ((H - T - B) * v) / top);
    const group = put(node, 'g', { 'data-tip': `${name}: ${format(v)}` });
    put(group, 'rect', { x: 1 + i * step, y: T, width: step, height: H - T - B, class: 'hit' });
    put(group, 'rect', { x: 1 + i * step, y: H - B - h, width: Math.max(1, step - (step > 4 ? 1.5 : 0.4)), height: h, class: 'col' });
  });
  const last = layers.at(-1);
  put(node, 'text', { x: 0, y: H - 3 }, `${last[0].replace(/^model\.layers\./, 'layer ')}: ${format(last[1])}`);
};
// Draws only when there is something new, or another width.
const plot = (title, value, sign, paint) => html`
  <div class="mini"><p class="ui-mini-head"><span>${title}</span><b>${value}</b></p>
  <div class="area" ${ref((area) => {
    if (!area) return;
    requestAnimationFrame(() => { const now = `${sign} ${area.clientWidth}`; if (area.dataset.sign !== now) { area.dataset.sign = now; paint(area); } });
  })}></div></div>`;

// ---- one card
const capital = (words) => (/^[a-z]+\b(?![:.\d-])/.test(words) ? words.charAt(0).toUpperCase() + words.slice(1) : words); // not the name of a variant
const timeLeft = (s) => (s === null || s === undefined ? '' : s < 2 ? 'nearly done' : `about ${seconds(s)} left`);
const working = (job) => {
  const { stage } = job, known = Boolean(stage && stage[2] > 0);
  const unit = stage && /^(B|bytes)$/.test(stage[3]) ? 'bytes' : stage?.[3];
  const done = !known ? ''
    : unit === 'bytes' ? `${bytes(stage[1])} of ${bytes(stage[2])}`
      : unit === 'layers' ? `layer ${Math.min(stage[2], Math.floor(stage[1]) + 1)} of ${stage[2]}`
        : `${Math.floor(stage[1])} of ${stage[2]} ${unit || ''}`;
  const words = [done, known && timeLeft(job.left_s), `${seconds(Math.round(job.elapsed_s))} so far`].filter(Boolean).join(' · ');
  return html`<div class="ui-live">
    <p class="ui-stage">${capital(job.stopping ? 'Stopping' : stage ? stage[0] : 'Starting the worker')}</p>
    <div class="bar ${known ? '' : 'unknown'}" role="progressbar" aria-label="Progress of this stage" aria-valuemax=${known ? stage[2] : 1} aria-valuenow=${known ? stage[1] : nothing}>
      <i .style=${known ? `width: ${Math.min(100, (100 * stage[1]) / stage[2])}%` : ''}></i></div>
    <p class="ui-much">${words}</p>
    <div class="plots">
      ${job.memory.length > 1 ? plot('Memory', `${bytes(job.memory.at(-1)[1])}, peak ${bytes(job.peak)}`, job.memory.at(-1)[0], (area) => memoryPlot(area, job.memory)) : nothing}
      ${job.layers.map(([what, layers]) => plot(capital(what), `${layers.length} so far`, layers.length, (area) => errorPlot(area, layers, /relative/.test(what) ? share : small)))}
    </div></div>`;
};
const ended = (job, gone, left) => html`
  ${job.error ? notice({ message: job.error[0], hint: job.error[1] }) : nothing}
  ${job.state === 'cancelled' ? html`<p class="quiet">Stopped${job.elapsed_s === null ? ' before it began' : ` after ${seconds(job.elapsed_s)}`}. ${left}</p>` : nothing}
  ${job.state === 'done' && !job.error ? html`<p class="quiet">${gone}</p>` : nothing}
  ${job.state === 'failed' && job.stage ? html`<p class="quiet">Failed while ${job.stage[0]}${job.elapsed_s === null ? '' : `, after ${seconds(job.elapsed_s)}`}.</p>` : nothing}`;

// { jobs, older } of a board as a section of cards.
//   act(path, id)  runs `api/jobs/cancel` or `api/jobs/again` and asks for news; the default does that and calls `look`
//   logs           a Set of the ids whose log is open, which `look` sends along; look() asks for news
//   owner          whether jobs may be stopped and run again
//   gone, left     what is said of a job whose result was deleted since, and of what a stopped one leaves
//   trouble(error) shows a refusal
export const jobCards = ({ jobs, older }, { logs, look, owner = true, gone, left, trouble, act = async (verb, id) => {
  try { await call(`api/jobs/${verb}`, { id }); trouble(null); } catch (error) { trouble(error); }
  look();
} }) => {
  if (!jobs.length) return nothing;
  const number = (state) => jobs.filter((job) => job.state === state).length;
  const words = ['running', 'queued'].map((state) => number(state) && `${number(state)} ${state}`).filter(Boolean).join(' · ');
  const buttons = (job) => {
    if (!owner) return nothing;
    if (job.state === 'queued') return html`<pg-confirm words="Remove" question="Take it out of the queue?" yes="Remove" no="Keep" name="Remove ${job.title} from the queue" @pg-yes=${() => act('cancel', job.id)}></pg-confirm>`;
    if (job.state === 'running') return job.stopping ? nothing : html`<pg-confirm words="Stop" question="Stop this job?" yes="Stop it" no="Keep going" name="Stop ${job.title}" @pg-yes=${() => act('cancel', job.id)}></pg-confirm>`;
    return html`<span class="quiet">${when(job.created)}</span><button type="button" class="ui-quiet" aria-label="Run ${job.title} again" @click=${() => act('again', job.id)}>Run again</button>`;
  };
  const log = (job) => (!owner || job.state === 'queued' ? nothing : html`
    <details class="ui-log" @toggle=${(e) => { if (e.target.open) logs.add(job.id); else logs.delete(job.id); if (e.target.open) look(); }}>
      <summary>Log</summary><pre tabindex="0">${job.log || 'Nothing was printed yet.'}</pre></details>`);
  return html`<section class="ui-jobs" aria-label="Jobs">
    <div class="ui-section"><h3>Jobs</h3><span class="quiet">${words || 'none is running'}</span>
      ${older ? html`<span class="quiet">${plural(older, 'older job')}</span>` : nothing}</div>
    <div class="ui-list">${repeat(jobs, (job) => job.id, (job) => html`
      <article class="ui-job" data-id=${job.id} data-state=${job.state}>
        <div class="top"><div class="title"><b>${job.title}</b><span class="model">${job.model}</span><span class="quiet">${job.words}</span></div>
          <div class="acts"><span class="ui-state ${job.state}">${job.stopping && job.state === 'running' ? 'stopping' : WORDS[job.state]}</span>${buttons(job)}</div></div>
        <div class="ui-doing">${job.state === 'queued'
          ? html`<p class="quiet">${job.ahead ? `Waits for ${plural(job.ahead, 'job')} before it: one runs at a time on this device.` : 'Starts in a moment.'}</p>`
          : job.state === 'running' ? working(job) : ended(job, gone, left)}</div>
        ${log(job)}
      </article>`)}</div></section>`;
};
