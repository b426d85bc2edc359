// The page of one stored run, or of two: fetched once, drawn from what was stored; no engine is asked.
import { html, nothing, render } from '../web/vendor/lit-html.js';
import { call, get, go, me, title } from '../web/app.js';
import { el } from '../web/dom.js';
import { notice } from '../web/parts.js';
import { evaluationView } from '../evaluate/run.js';
import { checks, heat, numbers } from '../quantize/card.js';
import { stored as reviewView } from '../review/results.js';
import { speedView } from '../speed/result.js';
import { head, how } from './head.js';
import { pair } from './pair.js';
import { replay } from './replay.js';

const PAGE_OF = { evaluation: 'evaluate', divergence: 'evaluate', quantization: 'quantize' };
let box, shown = '', name = '', failed = null, close = () => {};

export const mount = (root) => {
  box = el('div', 'rn');
  box.setAttribute('aria-live', 'polite');
  root.append(box);
};
export const show = ({ id, with: other }) => {
  const key = `${id} ${other}`;
  if (key === shown) { title(name); return; }
  shown = key;
  open(id, other, key);
};

const open = async (id, other, key) => {
  close(); close = () => {};
  name = ''; failed = null;
  fresh(html`<div class="ui-empty">${other ? 'Reading both runs…' : 'Reading the run…'}</div>`);
  let v;
  try { v = await get(other ? `api/runs/${encodeURIComponent(id)}/pair/${encodeURIComponent(other)}` : `api/runs/${encodeURIComponent(id)}`); } catch (error) {
    if (key !== shown) return;
    shown = '';
    missing(error, other, () => show({ id, with: other }));
    return;
  }
  if (key !== shown) return;
  name = other ? 'Two runs' : v.title;
  title(name);
  if (other) { fresh(pair(v)); return; }
  const body = el('div', 'rn-body');
  draw(v, body);
  fill(v, body);
};
// lit keeps what it drew in a box; another run begins with an empty one.
const fresh = (content) => { const inner = el('div', 'rn'); box.replaceChildren(inner); render(content, inner); };
const draw = (v, body) => fresh(html`${head(v, me.role === 'owner' ? acts(v, body) : nothing)}${failed ? notice(failed) : nothing}${body}${how(v)}`);
const fill = (v, body) => {
  if (v.replay) close = replay(body, v.replay).close;
  else if (v.evaluation) evaluationView(body, v.evaluation, { runId: v.id, bare: true });
  else if (v.speed) speedView(body, v.speed);
  else if (v.quantized) quantized(body, v.quantized);
  else if (v.review) render(reviewView(v.review), body);
  else body.append(el('div', 'ui-empty', 'This version cannot show a run of this kind. How it was measured is below.'));
};
const quantized = (body, { row, card }) => render(html`<article class="qz-card"><div class="qz-body">
  ${numbers(row, card)}${heat(card, row.label)}${checks(row, card)}</div></article>`, body);

// ---- what the owner can do with it
const acts = (v, body) => [
  v.replay ? html`<button type="button" class="ui-quiet" @click=${() => go('compare', { model: v.model, show: v.how.variants.slice(1).map((row) => row.id).join(',') })}>Open in Compare</button>` : nothing,
  v.job ? html`<button type="button" class="ui-quiet" @click=${() => again(v, body)}>Run again</button>` : nothing,
];
const again = async (v, body) => {
  try {
    await call('api/jobs/again', { id: v.job });
    go(PAGE_OF[v.kind]);
  } catch (error) { failed = error; draw(v, body); }
};

// ---- nothing to show
const missing = (error, other, retry) => {
  const gone = error.status === 404;
  const ways = html`${me.role === 'owner' ? html`<a class="ui-quiet" href="#runs">All runs</a>` : nothing}<a class="ui-quiet" href="#compare">Compare variants</a>`;
  fresh(html`<section class="rn-none">
    <h2>${gone ? (other ? 'One of these runs is not available' : 'This run is not available') : error.code === 'unreachable' ? 'The run did not arrive' : 'This run cannot be shown'}</h2>
    <p>${gone ? 'Its link was revoked, the run was deleted, or the address is incomplete. Ask the person who sent you the link.' : `${error.message} ${error.hint}`}</p>
    <div class="rn-acts">${gone ? nothing : html`<button type="button" class="ui-quiet" @click=${retry}>Try again</button>`}${ways}</div></section>`);
};
