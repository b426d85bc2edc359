// What came of the form: jobs while they work, a table of the variants that were made, and a card for each open one.
import { html, nothing, render, repeat } from '../web/vendor/lit-html.js';
import { address, call, get, me } from '../web/app.js';
import { bytes, plural, seconds, share } from '../web/format.js';
import { jobCards, poll } from '../web/jobs.js';
import { linkButton, notice } from '../web/parts.js';
import { pushPanels } from '../push/push.js';
import { checks, heat, numbers, recipe, remake } from './card.js';

const OPEN = 10; // cards at once
const to = (page, values) => `#${page}?${new URLSearchParams(values)}`;
const links = new Map(); // run id: its button, which keeps what it says

export const board = (root) => {
  const owner = me.role === 'owner', logs = new Set(), open = new Set(), cards = new Map();
  let state = null, lost = null, trouble = null, touched = false;
  const push = pushPanels(() => draw(), () => look());

  const load = async (signal) => {
    const query = new URLSearchParams([...[...logs].map((id) => ['log', id]), ...[...open].map((id) => ['card', id])]);
    const next = await get(`api/quantize/board?${query}`, signal);
    const before = new Set((state?.variants ?? []).map((row) => row.id));
    const fresh = state ? next.variants.find((row) => !before.has(row.id)) : touched ? null : next.variants[0];
    state = next;
    for (const [id, card] of Object.entries(next.cards)) cards.set(id, card);
    for (const id of open) if (!next.variants.some((row) => row.id === id)) { open.delete(id); cards.delete(id); }
    push.take(next.pushes ?? {});
    if (fresh) { open.add(fresh.id); queueMicrotask(look); }
    draw();
    return next.active;
  };
  const look = poll('quantize', load, (error) => { if (error || lost) { lost = error; draw(); } });

  const toggle = (id) => {
    touched = true;
    if (!open.delete(id)) open.add(id);
    if (open.size > OPEN) open.delete(open.values().next().value);
    draw(); look();
  };
  const remove = async (id) => {
    trouble = null;
    try { await call('api/quantize/remove', { id }); } catch (error) { trouble = error; draw(); }
    look();
  };

  // ---- the table
  const line = (row) => html`<tr data-id=${row.id} class=${open.has(row.id) ? 'open' : ''}>
    <th scope="row"><button type="button" class="qz-line" aria-expanded=${open.has(row.id)} aria-controls="qz-cards" @click=${() => toggle(row.id)}><b>${row.label}</b><span class="id">${row.id}</span></button></th>
    <td data-name="size">${row.before ? html`<span class="from">${bytes(row.before)} → </span>` : nothing}<b>${bytes(row.after)}</b></td>
    <td data-name="bits per weight">${row.bits.toFixed(1)}</td>
    <td data-name="worst layer" data-tip=${row.worst ? row.worst[0] : nothing}>${row.worst ? share(row.worst[1]) : '–'}</td>
    <td data-name="made in">${row.seconds ? seconds(row.seconds) : '–'}</td>
    <td class="acts">${me.role === 'viewer' ? nothing : html`<a href=${to('compare', { show: row.id })} aria-label="Compare ${row.id} with the original">Compare</a>`}
      <button type="button" class="ui-link-like" aria-label="${open.has(row.id) ? 'Close' : 'Show'} the details of ${row.id}" @click=${() => toggle(row.id)}>${open.has(row.id) ? 'Close' : 'Details'}</button></td>
  </tr>`;
  const table = ({ variants, disk }) => html`<section class="qz-made" aria-label="Variants made here">
    <div class="ui-section"><h3>Made here</h3><span class="quiet">${variants.length ? `${plural(variants.length, 'variant')} · ${bytes(disk.used)} on the disk, ${bytes(disk.free)} free` : `${bytes(disk.free)} free on the disk`}</span>
      ${variants.length ? nothing : html`<div class="ui-empty"><b>Nothing made yet.</b> ${owner ? 'A finished variant appears here with its size and errors, and in Compare next to its original.' : 'Finished variants appear here.'}</div>`}</div>
    ${variants.length ? html`<table class="qz-table">
      <thead><tr><th scope="col">Variant</th><th scope="col">Size</th><th scope="col">Bits per weight</th><th scope="col"><span class="tipped" tabindex="0" data-tip="The largest relative error of a layer’s weight after rounding. It says how far the weights moved, not how much worse the answers are.">Worst layer error</span></th><th scope="col">Made in</th><th scope="col">Actions</th></tr></thead>
      <tbody>${repeat(variants, (row) => row.id, line)}</tbody></table>` : nothing}
  </section>`;

  // ---- the cards
  const link = (run) => links.get(run) ?? links.set(run, linkButton(run)).get(run);
  const body = (row, card) => {
    const size = bytes(row.on_disk || row.after), file = row.name.replace(/[^\w.-]+/g, '-');
    return html`${numbers(row, card)}
      <div class="qz-acts">
        ${me.role === 'viewer' ? nothing : html`<a class="qz-main" href=${to('compare', { show: row.id })}>Compare with the original</a>`}
        ${owner ? html`<a class="ui-quiet" href=${to('evaluate', { model: row.model, variants: row.id })}>Evaluate</a>
          <a class="ui-quiet" href=${to('speed', { model: row.model, variants: row.id })}>Measure speed</a>
          <a class="ui-quiet" href=${address(`api/quantize/files?${new URLSearchParams({ variant: row.id })}`).href} download data-tip="All files of the variant as one .tar.">Download, ${size}</a>
          ${push.button(row)}` : nothing}
        ${card.run ? link(card.run) : nothing}
        ${owner ? html`<pg-confirm words="Delete" question="Delete ${size}? The recipe is deleted too." yes="Delete" no="Keep" name="Delete ${row.id}" @pg-yes=${() => remove(row.id)}></pg-confirm>` : nothing}
      </div>
      ${owner ? push.panel(row, size) : nothing}
      ${heat(card, file)}
      <div class="qz-grid">${checks(row, card)}${remake(row, card)}</div>
      ${recipe(row, card)}`;
  };
  const cardOf = (row) => html`<article class="qz-card" data-id=${row.id} aria-label=${row.id}>
    <div class="qz-head"><h3>${row.label}</h3><span class="id">${row.id}</span><span class="quiet">${row.words}</span>
      <button type="button" class="ui-small" aria-label="Close the details of ${row.id}" @click=${() => toggle(row.id)}>Close</button></div>
    <div class="qz-body">${cards.has(row.id) ? body(row, cards.get(row.id)) : html`<p class="quiet">Reading…</p>`}</div></article>`;

  const draw = () => render(html`
    <div class="ui-trouble">${lost ? notice(lost.code === 'unreachable' ? { message: 'The connection to the page is lost.', hint: 'Trying again. Jobs go on without it.' } : lost) : notice(trouble)}</div>
    ${state ? html`${jobCards(state, { logs, look, owner, gone: 'Done. The variant has been deleted or replaced since.', left: 'No incomplete files are left.', trouble: (error) => { trouble = error; draw(); } })}
      ${table(state)}
      <div class="ui-list" id="qz-cards">${repeat(state.variants.filter((row) => open.has(row.id)), (row) => row.id, cardOf)}</div>`
      : lost ? nothing : html`<p class="quiet">Reading the jobs and variants…</p>`}`, root);
  draw();
  return { look };
};
