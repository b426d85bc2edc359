// The list of runs: the owner finds, names, explains, revokes and deletes them, and puts two side by side.
(() => {
  const P = window.Playground;
  const { el } = P;

  P.runsList = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount');
    const head = el('div', 'ui-head'), bar = el('div', 'rs-bar'), trouble = el('div', 'ui-trouble'), two = el('div', 'rs-two'), list = el('div', 'ui-list rs-list'), foot = el('div', 'rs-foot');
    trouble.setAttribute('aria-live', 'assertive'); list.setAttribute('aria-label', 'Runs'); list.setAttribute('role', 'list');
    head.append(el('h2', '', 'Runs'), el('p', 'quiet', 'Everything that was measured here, newest first. A run is unlisted: whoever has its link can open it, and nobody else sees this list. The title and the note are shown with it.'));
    const words = P.input('', 'search'), kind = P.select([['', 'Every kind']]), model = P.select([['', 'Every model']]), revoked = el('input'), label = el('label', 'rs-tick'), count = el('span', 'quiet rs-count');
    words.type = 'search'; words.placeholder = 'Search titles, notes, models and variants'; words.setAttribute('aria-label', 'Search runs');
    kind.setAttribute('aria-label', 'Kind'); model.setAttribute('aria-label', 'Model');
    revoked.type = 'checkbox'; label.append(revoked, el('span', '', 'revoked too'));
    count.setAttribute('role', 'status');
    bar.append(words, kind, model, label, count);
    mount.replaceChildren(head, trouble, bar, two, list, foot);

    const nodes = new Map(), picked = new Map();
    let many = 0, serial = 0, state = null, typing = 0, editing = '';
    const question = () => ({ words: words.value, kind: kind.value, model: model.value, revoked: revoked.checked, many, serial: (serial += 1) });
    // A search still waiting for more letters would overtake the action: it reads the list before the change.
    const ask = (action = 'look', more = {}) => { clearTimeout(typing); list.classList.add('loading'); trigger(action, { ...question(), ...more }); };
    const fresh = () => { many = 0; ask(); };
    words.addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(fresh, 180); });
    for (const node of [kind, model, revoked]) node.addEventListener('change', fresh);
    const more = P.button('ui-quiet', '', () => { many = state.lines.length + state.size; ask(); });
    const look = () => { if (P.page() === 'runs') ask(); };
    document.addEventListener('pg-page', look);

    const choices = (select, pairs, all) => {
      const sign = JSON.stringify(pairs), now = select.value;
      if (select.dataset.sign === sign) return;
      select.dataset.sign = sign;
      select.replaceChildren(...[['', all], ...pairs].map(([value, text]) => { const o = el('option', '', text); o.value = value; return o; }));
      select.value = now;
    };

    // ---- two of them
    const drawTwo = () => {
      const [a, b] = [...picked.values()];
      two.replaceChildren();
      two.hidden = !a;
      if (!a) return;
      const off = P.button('ui-quiet', 'Clear', () => { picked.clear(); paint(); });
      if (!b) { two.append(el('span', '', `A: ${a.title}. Choose another run to put beside it.`), off); return; }
      const older = a.created <= b.created;
      two.append(el('span', '', `${a.title} · ${b.title}`), P.runLink('rs-main', 'Open side by side', older ? a.id : b.id, older ? b.id : a.id), off);
    };
    const pick = (row) => {
      if (!picked.delete(row.id)) { if (picked.size > 1) picked.delete([...picked.keys()][0]); picked.set(row.id, row); }
      paint();
    };

    // ---- one line
    const form = (row, name, value, rows, act) => {
      const box = el('form', 'rs-form'), field = rows ? P.area(rows, 'What whoever opens it should know') : P.input(value);
      field.value = value; field.setAttribute('aria-label', name);
      const save = el('button', 'ui-quiet', 'Save'), back = P.button('ui-quiet', 'Cancel', () => { editing = ''; paint(); });
      save.type = 'submit';
      const send = () => { editing = ''; ask(act, { id: row.id, text: field.value }); };
      box.addEventListener('submit', (e) => { e.preventDefault(); send(); });
      field.addEventListener('keydown', (e) => { if (e.key === 'Escape') { e.stopPropagation(); editing = ''; paint(); } if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); send(); } });
      box.append(field, save, back);
      setTimeout(() => { field.focus(); if (!rows) field.select(); });
      return box;
    };
    const make = (row) => {
      const box = el('article', 'rs-line');
      box.setAttribute('role', 'listitem'); box.dataset.id = row.id;
      return { box, sign: '' };
    };
    const refresh = (found, row) => {
      const sign = JSON.stringify([row, picked.has(row.id), editing.startsWith(`${row.id} `) && editing]);
      if (sign === found.sign) return;
      found.sign = sign;
      const { box } = found;
      box.classList.toggle('is-revoked', Boolean(row.revoked)); box.classList.toggle('is-picked', picked.has(row.id));
      const choose = el('input'); choose.type = 'checkbox'; choose.checked = picked.has(row.id); choose.setAttribute('aria-label', `Put ${row.title} beside another run`);
      choose.dataset.tip = 'Two runs side by side'; choose.addEventListener('change', () => pick(row));
      const what = el('div', 'what'), top = el('div', 'top'), under = el('p', 'under quiet');
      if (editing === `${row.id} title`) top.append(form(row, 'Title', row.title, 0, 'rename'));
      else top.append(P.runLink('title', row.title, row.id), ...(row.revoked ? [el('span', 'rs-tag', 'revoked')] : []));
      under.append(el('span', 'kind', row.kind_words), el('span', '', row.variants.join(', ')), el('span', '', row.model));
      what.append(top, under);
      if (editing === `${row.id} note`) what.append(form(row, 'Note', row.note, 3, 'annotate'));
      else if (row.note) what.append(el('p', 'note', row.note));
      const figure = el('div', 'figure');
      if (row.number[0]) figure.append(el('b', '', row.number[0]), el('span', 'quiet', row.number[1]));
      const when = el('time', 'when quiet', P.when(row.created)); when.dateTime = new Date(row.created * 1e3).toISOString();
      const acts = el('div', 'acts'), edit = (key) => () => { editing = `${row.id} ${key}`; paint(); };
      acts.append(P.linkButton(row.id), P.button('rs-act', 'Rename', edit('title'), `Rename ${row.title}`), P.button('rs-act', row.note ? 'Edit note' : 'Note', edit('note'), `Note on ${row.title}`));
      if (row.revoked) acts.append(P.button('rs-act', 'Restore link', () => ask('restore', { id: row.id }), `Restore the link of ${row.title}`));
      else acts.append(P.asks('Revoke', 'Nobody else can open its link then.', 'Revoke', 'Keep', () => ask('revoke', { id: row.id }), `Revoke ${row.title}`));
      acts.append(P.asks('Delete', 'Delete it and its files for good?', 'Delete', 'Keep', () => { picked.delete(row.id); ask('remove', { id: row.id }); }, `Delete ${row.title}`));
      box.replaceChildren(choose, what, figure, when, acts);
    };
    const paint = () => { drawTwo(); P.arrange(list, nodes, state?.lines || [], make, refresh); };

    const draw = () => {
      const v = P.json(props.value, null);
      if (!v || v.serial < serial) return;
      list.classList.remove('loading');
      trouble.replaceChildren(...(v.error ? [P.refused(v.error)] : v.broken ? [P.refused(v.broken)] : []));
      mount.classList.toggle('rs-refused', Boolean(v.refused));
      if (v.refused) {
        const card = el('section', 'rn-none');
        card.append(el('h2', '', 'The list is the owner’s'), el('p', '', v.refused[0]), el('p', 'quiet', v.refused[1]));
        foot.replaceChildren(card);
        state = null; picked.clear(); paint();
        return;
      }
      if (v.broken) return;
      state = v;
      choices(kind, v.kinds, 'Every kind'); choices(model, v.models.map((name) => [name, name]), 'Every model');
      const n = v.lines.length, filtered = v.text || v.kind || v.model;
      count.textContent = v.total ? (n < v.total ? `${n} of ${v.total.toLocaleString('en')}` : `${v.total.toLocaleString('en')} run${v.total === 1 ? '' : 's'}`) : '';
      more.textContent = `Show ${Math.min(v.size, v.total - n)} more`;
      foot.replaceChildren();
      if (!v.total) {
        const empty = el('div', 'ui-empty');
        empty.append(el('b', '', filtered ? 'Nothing was found.' : 'Nothing measured yet.'), el('span', '', filtered ? ' Every word must be in the title, the note, the model or a variant.' : ' Comparisons, evaluations, speed measurements and quantizations appear here with a link to hand on.'));
        foot.append(empty);
      } else if (n < v.total && n < v.most) foot.append(more);
      else if (n < v.total) foot.append(el('p', 'quiet', `The first ${n} of ${v.total.toLocaleString('en')}: search for the others.`));
      paint();
    };
    watch('value', draw); draw();
    if (P.page() === 'runs') setTimeout(look);
  };
})();
