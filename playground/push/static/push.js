// A variant to the hub, from its card: the form, the progress of the upload, and what came of it. The token is sent once.
import { html, nothing } from '../web/vendor/lit-html.js';
import { call } from '../web/app.js';
import { bytes } from '../web/format.js';
import { copy, field, notice } from '../web/parts.js';

const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);

// Panels of all variants. redraw() draws them again; look() asks for news.
export const pushPanels = (redraw, look) => {
  const panels = new Map(); // id of the variant: its panel
  const of = (id) => panels.get(id) ?? panels.set(id, { open: false, waiting: false, error: null, card: null, going: null, taken: false }).get(id);
  const box = (id) => document.querySelector(`.qz-push[data-id="${CSS.escape(id)}"]`);
  const form = (id) => box(id).querySelector('form').elements;

  // News of the server: { id: push }.
  const take = (pushes) => {
    for (const [id, going] of Object.entries(pushes)) {
      const panel = of(id), was = panel.going;
      if (JSON.stringify(was) === JSON.stringify(going)) continue;
      panel.going = going;
      panel.taken ||= going.code === 'name_taken';
      if (!going.over || going.url) Object.assign(panel, { open: false, card: null, error: null });
      if (was && !was.over && going.error) Object.assign(panel, { open: true, error: null });
    }
  };

  const open = (id) => {
    of(id).open = true;
    redraw();
    form(id).repository.focus();
  };
  const close = (id) => {
    form(id).token.value = '';
    Object.assign(of(id), { open: false, waiting: false, error: null, card: null });
    redraw();
    document.querySelector(`.qz-card[data-id="${CSS.escape(id)}"] .qz-push-open`)?.focus();
  };
  const act = async (id, run) => {
    const panel = of(id);
    Object.assign(panel, { waiting: true, error: null });
    redraw();
    try { await run(panel); } catch (error) { panel.error = error; }
    panel.waiting = false;
    redraw();
  };
  const preview = (id) => act(id, async (panel) => {
    const card = await call('api/push/preview', { id, repository: form(id).repository.value.trim() });
    if (panel.open) panel.card = card;
  });
  const start = (id) => {
    const panel = of(id), { repository, token, hidden, replace } = form(id);
    const missing = !repository.value.trim() ? repository : !token.value.trim() ? token : null;
    if (missing) {
      panel.error = missing === repository ? { message: 'No repository is named.', hint: 'Write OWNER/NAME.' } : { message: 'A Hugging Face token is needed.', hint: 'Create one with write access in your settings on the hub.' };
      redraw(); missing.focus();
      return;
    }
    const body = { id, repository: repository.value.trim(), token: token.value.trim(), private: hidden.checked, replace: panel.taken && replace.checked };
    token.value = '';
    act(id, async () => { await call('api/push/start', body); look(); });
  };

  const moving = (id, going) => {
    const [stage, done, total] = going.stage;
    return html`<div class="qz-push-top"><b>${capital(going.stopping ? 'stopping' : stage)}</b><span class="quiet">to ${going.repository}, ${going.private ? 'private' : 'public'}</span><span class="quiet">${total ? `${bytes(done)} of ${bytes(total)}` : ''}</span>
        ${going.stopping ? nothing : html`<button type="button" class="ui-quiet" aria-label="Stop pushing ${id}" @click=${() => act(id, async () => { await call('api/push/stop', { id }); look(); })}>Stop</button>`}</div>
      <div class="bar ${total ? '' : 'unknown'}" role="progressbar" aria-label="Progress of the upload" aria-valuemax=${total || nothing} aria-valuenow=${total ? done : nothing}><i .style=${total ? `width: ${Math.min(100, (100 * done) / total)}%` : ''}></i></div>`;
  };
  const result = (going) => {
    if (going.stopped) return html`<p class="quiet">${going.stage[0] === 'committing' ? 'Stopped while the hub was committing: check the repository.' : 'Stopped before the commit: none of the files are on the hub. There may be an empty repository.'}</p>`;
    if (!going.url) return notice({ message: going.error[0], hint: going.error[1] });
    const linked = /^https?:\/\//.test(going.url) ? html`<a href=${going.url} target="_blank" rel="noopener noreferrer">${going.repository}</a>` : going.repository;
    return html`<div class="pg-notice good" role="status">On the hub: ${linked} (${going.private ? 'private' : 'public'}), commit ${going.commit.slice(0, 7)}.</div>`;
  };

  const button = (row) => {
    const { open: shown, going } = of(row.id);
    return shown || (going && !going.over) ? nothing : html`<button type="button" class="ui-quiet qz-push-open" @click=${() => open(row.id)}>Push to the hub</button>`;
  };
  const panel = (row, size) => {
    const { id } = row, { open: shown, waiting, error, card, going, taken } = of(id), busy = Boolean(going && !going.over);
    return html`<section class="qz-push" data-id=${id} aria-label="Push ${id} to the hub" ?hidden=${!shown && !going} @keydown=${(e) => { if (e.key === 'Escape' && shown) { e.stopPropagation(); close(id); } }}>
      ${going ? html`<div>${busy ? moving(id, going) : result(going)}</div>` : nothing}
      ${error ? html`<div>${notice(error)}</div>` : nothing}
      <form class="qz-push-form" ?hidden=${!shown || busy} @submit=${(e) => { e.preventDefault(); start(id); }}>
        <h4>Push to the hub</h4>
        ${field('Repository', html`<input class="ui-input" name="repository" placeholder="you/${row.model.split('/').pop()}-${row.name}" autocomplete="off" spellcheck="false" maxlength="96">`, { unit: 'Created if it does not exist.' })}
        ${field('Hugging Face token', html`<input class="ui-input" name="token" type="password" placeholder="hf_…" autocomplete="new-password" spellcheck="false" maxlength="512">`, { unit: 'With write access. It is used once and not stored.' })}
        <label class="qz-tick"><input type="checkbox" name="hidden" checked><span>Private</span></label>
        <label class="qz-tick" ?hidden=${!taken}><input type="checkbox" name="replace"><span>Replace the files that are there</span></label>
        <div class="qz-acts"><button type="submit" class="qz-main" ?disabled=${waiting}>Push ${size}</button>
          <button type="button" class="ui-quiet" ?disabled=${waiting} @click=${() => preview(id)}>Preview the card</button>
          <button type="button" class="ui-quiet" aria-label="Close the form" @click=${() => close(id)}>Close</button></div>
      </form>
      ${card ? html`<div class="qz-text"><div class="qz-text-head"><h4>README.md</h4><span class="quiet">${card.files.length} files, ${bytes(card.bytes)}: ${card.files.join(', ')}</span>
        <button type="button" class="ui-small" aria-label="Copy the card" @click=${(e) => copy(card.card, e.currentTarget)}>Copy</button></div><pre tabindex="0">${card.card}</pre></div>` : nothing}
    </section>`;
  };
  return { take, button, panel };
};
