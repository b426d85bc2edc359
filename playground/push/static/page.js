// A variant to the hub: the form in its card, how far the upload is, and what came of it. The token is sent once.
(() => {
  const P = window.Playground;
  const { el } = P;
  const Q = P.quantize;

  const field = (name, unit, options) => {
    const label = el('label', 'ui-field'), node = Object.assign(el('input', 'ui-input'), { spellcheck: false, ...options });
    label.append(el('span', 'name', name), node, el('span', 'unit', unit));
    return { label, node };
  };
  const tick = (words, on) => {
    const label = el('label', 'qz-tick'), node = el('input');
    node.type = 'checkbox'; node.checked = on;
    label.append(node, el('span', '', words));
    return { label, node };
  };

  // Questions about the hub are numbered apart from the board's, whose next answer would take the place of theirs; and
  // asked one after the other, because of two answers within one frame of the browser only the later one is seen.
  const LOST_MS = 20_000;
  const asked = new Map(), line = [];
  let serial = 0, out = 0, since = 0;
  const next = () => {
    if (!line.length || (out && performance.now() - since < LOST_MS)) return;
    const [number, send] = line.shift();
    out = number; since = performance.now();
    send();
    setTimeout(next, LOST_MS + 100);
  };
  P.quantizeHub = (element, props, watch) => {
    const answer = () => {
      const v = P.json(props.value, null), take = v && asked.get(v.serial);
      if (!take) return;
      asked.delete(v.serial); take(v);
      if (v.serial === out) out = 0;
      next();
    };
    watch('value', answer); answer();
  };

  Q.push = (row, trigger, looked) => {
    const ask = (action, more, take) => { serial += 1; const number = serial; asked.set(number, take); line.push([number, () => trigger(action, { id: row.id, ...more, serial: number })]); next(); };
    const box = el('section', 'qz-push'), form = el('form', 'qz-push-form'), live = el('div', 'qz-push-live'), said = el('div'), card = el('div', 'qz-text');
    const size = P.bytes(row.on_disk || row.after);
    const place = field('Repository', 'Made where there is none.', { placeholder: `you/${row.model.split('/').pop()}-${row.name}`, autocomplete: 'off', maxLength: 96 });
    const token = field('Token of the hub', 'With write access. Used once, kept nowhere.', { type: 'password', placeholder: 'hf_…', autocomplete: 'new-password', maxLength: 512 });
    const hidden = tick('Private', true), replace = tick('Replace the files that are there', false);
    const go = el('button', 'qz-main', `Push ${size}`), acts = el('div', 'qz-acts');
    let open = false, going = null, sign = '', move = null;
    go.type = 'submit'; replace.label.hidden = true; box.hidden = true; box.setAttribute('aria-label', `Push ${row.id} to the hub`); said.setAttribute('aria-live', 'polite');
    const where = () => place.node.value.trim();
    const refused = (v) => { waiting(false); said.replaceChildren(...(v.error ? [P.refused(v.error)] : [])); return Boolean(v.error); };
    const look = P.button('ui-quiet', 'Preview the card', () => { waiting(true); ask('preview', { repository: where() }, preview); });
    const shut = () => { open = false; token.node.value = ''; card.replaceChildren(); said.replaceChildren(); waiting(false); if (P.keep === leave) P.keep = null; show(); };
    const leave = () => { shut(); button.focus(); };
    const button = P.button('ui-quiet', 'Push to the hub', () => { P.keep?.(); open = true; P.keep = leave; show(); place.node.focus(); });
    const waiting = (on) => { go.disabled = look.disabled = on; };
    const show = () => {
      const busy = Boolean(going && !going.over);
      box.hidden = !open && !going;
      form.hidden = !open || busy;
      button.hidden = open || busy;
    };
    acts.append(go, look, P.button('ui-quiet', 'Close', leave, 'Close the form'));
    form.append(el('h4', '', 'Push to the hub'), place.label, token.label, hidden.label, replace.label, acts);
    form.addEventListener('submit', (e) => {
      e.preventDefault();
      const missing = !where() ? place : !token.node.value.trim() ? token : null;
      if (missing) { said.replaceChildren(P.refused(missing === place ? ['Where to?', 'Write OWNER/NAME.'] : ['The hub wants a token.', 'Make one with write access in your settings there.'])); missing.node.focus(); return; }
      waiting(true);
      ask('push', { repository: where(), token: token.node.value.trim(), private: hidden.node.checked, replace: !replace.label.hidden && replace.node.checked }, (v) => { if (!refused(v)) looked(); });
      token.node.value = '';
    });
    box.append(live, said, form, card);

    // The nodes stay while it goes: whoever is about to press Stop finds it where it was.
    const moving = () => {
      const top = el('div', 'qz-push-top'), stage = el('b'), much = el('span', 'quiet'), bar = el('div', 'bar'), fill = el('i');
      const stop = P.button('ui-quiet', 'Stop', () => ask('halt', {}, looked), `Stop pushing ${row.id}`);
      bar.setAttribute('role', 'progressbar'); bar.setAttribute('aria-label', 'Progress of the upload'); bar.append(fill);
      top.append(stage, el('span', 'quiet', `to ${going.repository}, ${going.private ? 'private' : 'public'}`), much, stop);
      live.replaceChildren(top, bar);
      return () => {
        const [name, done, total] = going.stage, words = going.stopping ? 'stopping' : name;
        stage.textContent = `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
        much.textContent = total ? `${P.bytes(done)} of ${P.bytes(total)}` : '';
        stop.hidden = going.stopping;
        bar.classList.toggle('unknown', !total);
        fill.style.width = total ? `${Math.min(100, (100 * done) / total)}%` : '';
        if (total) { bar.setAttribute('aria-valuemax', total); bar.setAttribute('aria-valuenow', done); } else bar.removeAttribute('aria-valuenow');
      };
    };
    const result = () => {
      if (going.stopped) return el('p', 'quiet', going.stage[0] === 'committing' ? 'Stopped while the hub took the commit: look at the repository.' : 'Stopped before the commit: none of the files are on the hub. A repository may be there, empty.');
      if (!going.url) return P.refused(going.error);
      const note = el('div', 'pg-notice good'), link = el('a', '', going.repository);
      if (/^https?:\/\//.test(going.url)) { link.href = going.url; link.target = '_blank'; link.rel = 'noopener noreferrer'; }
      note.append('On the hub: ', link, ` (${going.private ? 'private' : 'public'}), commit ${going.commit.slice(0, 7)}.`);
      return note;
    };
    const preview = (v) => {
      if (refused(v) || !open) return;
      const copy = P.button('ui-small', 'Copy', () => P.copy(v.card, copy), 'Copy the card'), top = el('div', 'qz-text-head');
      top.append(el('h4', '', 'README.md'), el('span', 'quiet', `${v.files.length} files, ${P.bytes(v.bytes)}: ${v.files.join(', ')}`), copy);
      card.replaceChildren(top, el('pre', '', v.card));
    };
    const update = (now) => {
      const after = JSON.stringify(now || null);
      if (after === sign) return;
      const busy = Boolean(now && !now.over), was = Boolean(going && !going.over);
      sign = after; going = now || null;
      if (going?.code === 'name_taken') replace.label.hidden = false;
      if (busy || going?.url) { card.replaceChildren(); open = false; if (P.keep === leave) P.keep = null; }
      if (was && going?.error) { open = true; place.node.value ||= going.repository; }
      if (!going) live.replaceChildren();
      else if (!busy) { move = null; live.replaceChildren(result()); }
      else { move ||= moving(); move(); }
      show();
    };
    return { box, button, update };
  };
})();
