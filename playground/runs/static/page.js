// The page of one stored run, or of two: fetched once, drawn from what was stored, no engine asked.
(() => {
  const P = window.Playground;
  const { el } = P;
  const NAME = document.title;
  const long = (s) => new Date(s * 1e3).toLocaleString([], { year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
  P.whenLong = long;

  P.runHead = (v, ...acts) => {
    const head = el('header', 'rn-head'), words = el('div', 'words'), line = el('p', 'rn-line quiet');
    words.append(el('p', 'rn-kind', v.kind_words), el('h2', '', v.title), line);
    line.append(el('span', '', v.model), el('span', '', long(v.created)));
    if (v.revoked) line.append(el('span', 'rn-revoked', 'revoked: only you see it'));
    if (v.note) words.append(el('p', 'rn-said', v.note));
    const box = el('div', 'rn-acts');
    box.append(...acts);
    head.append(words, box);
    return head;
  };

  // ---- how it was measured
  const list = (title, pairs) => {
    const box = el('section', 'rn-facts'), dl = el('dl');
    for (const [name, words] of pairs) dl.append(el('dt', '', name), el('dd', '', words));
    box.append(el('h4', '', title), dl);
    return box;
  };
  const variants = (rows) => {
    const wrap = el('div', 'rn-wrap'), table = el('table', 'rn-variants'), head = el('tr'), body = el('tbody'), top = el('thead');
    for (const words of ['Variant', 'Made by', 'On disk', 'Bits per weight', 'Engine', 'Weights']) { const th = el('th', '', words); th.scope = 'col'; head.append(th); }
    for (const v of rows) {
      const line = el('tr'), who = el('th'), hash = el('td', 'hash', v.hash ? v.hash.slice(0, 12) : '–');
      who.scope = 'row'; who.append(el('b', '', v.label), el('span', 'id', v.id));
      if (v.hash) { hash.dataset.tip = `Content hash of the weights: ${v.hash}`; hash.tabIndex = 0; }
      const cells = [['Made by', v.made || '–'], ['On disk', v.bytes ? P.bytes(v.bytes) : '–'], ['Bits per weight', v.bits ? v.bits.toFixed(2) : '–'], ['Engine', v.engine || '–']];
      line.append(who, ...cells.map(([name, words]) => { const td = el('td', '', words); td.dataset.name = name; return td; }), hash);
      hash.dataset.name = 'Weights';
      body.append(line);
    }
    top.append(head); table.append(top, body); wrap.append(table);
    return wrap;
  };
  const how = (v) => {
    const box = el('section', 'rn-how'), head = el('div', 'ui-section'), grid = el('div', 'rn-grid');
    box.setAttribute('aria-label', 'How this was measured');
    head.append(el('h3', '', 'How this was measured'), el('span', 'quiet', long(v.created)));
    const { settings, device, versions, time } = v.how;
    if (settings.length) grid.append(list('Settings', settings));
    if (device.length) grid.append(list('Machine', device));
    if (time.length) grid.append(list('Time', time));
    if (versions.length) grid.append(list('Versions', versions));
    box.append(head, grid);
    if (v.how.variants.length) box.append(variants(v.how.variants));
    if (v.prompt?.length) {
      const before = el('details', 'rn-before');
      before.append(el('summary', '', 'What stood before the prompt'), ...v.prompt.map(([role, text]) => { const one = el('div'); one.append(el('span', 'quiet', role), el('pre', '', text)); return one; }));
      box.append(before);
    }
    return box;
  };

  // ---- one body a kind
  const asked = async (address) => {
    const answer = await fetch(address, { headers: { Accept: 'application/json' } });
    const v = await answer.json();
    return answer.ok ? v : { ...v, status: answer.status };
  };
  const evaluation = (body, v) => {
    let serial = 0;
    const shown = P.evaluation(body, v.evaluation, async (question) => {
      const mine = (serial += 1);
      const rest = new URLSearchParams({ run: v.id, task: question.task, variant: question.variant, show: question.show, offset: question.offset });
      let found;
      try { found = await asked(`./runs/items?${rest}`); } catch { found = { error: ['The items did not arrive.', 'Choose again.'] }; }
      if (mine === serial) shown.items(found);
    }, true);
  };
  const speed = (body, v) => {
    const answer = el('div', 'sp-answer'), table = el('div'), plots = el('div', 'sp-plots');
    body.append(answer, table, plots);
    let redraw = P.speedRows(v.speed, answer, table, plots), width = plots.clientWidth;
    new ResizeObserver(() => { if (Math.abs(plots.clientWidth - width) > 2) { width = plots.clientWidth; redraw(); } }).observe(plots);
    redraw();
  };
  const quantized = (body, v) => {
    const { row, card } = v.quantized, box = el('article', 'qz-card'), inner = el('div', 'qz-body');
    box.append(inner); body.append(box);
    const found = P.quantize.card(row, card);
    inner.append(...found.parts);
    found.draw();
    let width = box.clientWidth;
    new ResizeObserver(() => { if (Math.abs(box.clientWidth - width) > 2) { width = box.clientWidth; found.draw(); } }).observe(box);
  };

  P.openedRun = (element) => {
    const box = el('div', 'rn');
    box.setAttribute('aria-live', 'polite');
    element.querySelector('.pg-mount').replaceChildren(box);
    let shown = '', close = () => {};
    const message = (title, words, ...acts) => {
      const card = el('section', 'rn-none'), line = el('div', 'rn-acts');
      card.append(el('h2', '', title), el('p', '', words));
      const all = el('a', 'ui-quiet', 'All runs'), compare = el('a', 'ui-quiet', 'Compare variants');
      all.href = '#runs'; compare.href = '#compare';
      line.append(...acts, all, compare); card.append(line);
      box.replaceChildren(card);
    };
    const draw = (v) => {
      document.title = `${v.title} · ${NAME}`;
      const body = el('div', 'rn-body');
      box.replaceChildren(P.runHead(v, P.runFiles(v.id), P.linkButton(v.id)), body, how(v));
      if (v.replay) close = P.replay(body, v.replay).close;
      else if (v.evaluation) evaluation(body, v);
      else if (v.speed) speed(body, v);
      else if (v.quantized) quantized(body, v);
      else body.append(el('div', 'ui-empty', 'This version does not know how to draw a run of this kind; how it was measured stands below.'));
    };
    const open = async () => {
      const { run, other } = P.opened(), key = `${run} ${other}`;
      if (P.page() !== 'run') { document.title = NAME; return; }
      if (key === shown) return;
      close(); close = () => {};
      shown = key;
      box.replaceChildren(el('div', 'ui-empty', other ? 'Reading both runs…' : 'Reading the run…'));
      const retry = P.button('ui-quiet', 'Try again', () => { shown = ''; open(); });
      let v;
      try {
        v = await asked(other ? `./runs/pair?${new URLSearchParams({ run, with: other })}` : `./runs/data?${new URLSearchParams({ run })}`);
      } catch {
        if (key === shown) message('The run did not arrive', 'The app does not answer: it was ended, or the network is gone.', retry);
        return;
      }
      if (key !== shown) return;
      if (v.status === 404) message(other ? 'One of these runs is not here' : 'There is no such run', 'It was deleted, its link was revoked, or the link is cut short. Whoever sent it can tell.');
      else if (v.error) message('This run cannot be shown', v.error.join(' '), retry);
      else if (other) { document.title = `Two runs · ${NAME}`; P.runPair(box, v); } else draw(v);
    };
    document.addEventListener('pg-page', open);
    open();
  };
})();
