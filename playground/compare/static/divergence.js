// How far each variant is from the reference on the reference's own words: colours, tooltips with both lists, the note.
(() => {
  const P = window.Playground;
  const { el } = P;
  const FLOOR = 0.1; // nats: below it nothing is painted strong, so that a lossless variant stays pale
  P.nats = (v) => {
    if (v === null || v === undefined) return '–';
    if (v < 1e-5) return '0';
    return v >= 0.995 ? v.toFixed(1) : v.toFixed(Math.min(6, Math.max(2, 1 - Math.floor(Math.log10(v)))));
  };

  // ---- whose divergence colours the reference's text: one variant at a time
  const chosen = {}; // on each board
  const measured = (board) => P.live(board).filter((pane) => !pane.reference && pane.forced?.rows.length);
  P.against = (board) => { const all = measured(board); return all.includes(chosen[board]) ? chosen[board] : all[0] || null; };
  P.klds = () => P.live().flatMap((pane) => (pane.forced ? pane.forced.rows.map((row) => row[0]) : []));
  P.kldTop = () => {
    const sorted = P.klds().sort((a, b) => a - b);
    return sorted.length ? Math.max(FLOOR, sorted[Math.min(sorted.length - 1, Math.floor(0.98 * sorted.length))]) : null;
  };
  const paint = (span, forced, index, label) => {
    span.pgForced = forced && { forced, index, label };
    span.classList.toggle('forced', Boolean(forced));
    if (forced) span.style.setProperty('--kld', forced.rows[index][0]);
  };
  const paintReference = (from, board) => {
    const pane = P.against(board), first = P.live(board).find((one) => one.reference);
    if (!first) return;
    for (const [key, toks] of first.turns) {
      const forced = pane?.forcedOf.get(key);
      toks.forEach((span, index) => { if (index >= from) paint(span, forced?.rows[index] ? forced : null, index, pane?.label); });
    }
  };
  const choose = (pane) => { chosen[pane.board] = pane; paintReference(0, pane.board); document.dispatchEvent(new CustomEvent('pg-scale')); };

  P.forced = (me, trigger) => {
    let note = null, timer = 0, since = 0;
    const quiet = () => { clearInterval(timer); timer = 0; };
    return {
      reset: () => { quiet(); note = null; me.forcedOf = new Map(); me.forced = null; },
      turn: () => { quiet(); note = null; me.forced = null; },
      measure: (toks, key, label, total, shared) => {
        me.forced = { toks, label, total, shared, rows: [] };
        me.forcedOf.set(key, me.forced);
      },
      add: (start, rows) => {
        const { forced } = me;
        forced.rows.push(...rows);
        if (!start) forced.toks.forEach((span, index) => span.classList.toggle('past', index >= forced.shared));
        for (let i = start; i < Math.min(forced.rows.length, forced.shared, forced.toks.length); i += 1) paint(forced.toks[i], forced, i, me.label);
        if (P.against(me.board) === me) paintReference(start, me.board);
        P.soon();
      },
      say: (why, state, words) => {
        if (!note) { note = el('div', 'measured'); note.setAttribute('role', 'status'); why.append(note); since = performance.now(); }
        quiet();
        note.dataset.state = state;
        const text = el('span', 'words'), acts = [];
        const tick = () => {
          const seconds = Math.floor((performance.now() - since) / 1000);
          text.textContent = `${words || 'Measuring the divergence'}${seconds > 1 ? ` · ${seconds} s` : ''}`;
        };
        if (state === 'measuring') {
          timer = setInterval(tick, 1000); tick();
          acts.push(P.button('act stop', 'Stop', () => trigger('halt'), 'Stop measuring'));
        } else {
          text.textContent = state === 'blocked' ? `No divergence. ${words}` : words;
          if (state === 'open') acts.push(P.button('act', me.forced.rows.length ? 'Measure again' : 'Measure', () => trigger('measure')));
          if (me.forced.rows.length) acts.push(P.button('act show', 'Show', () => P.colourBy('kld', me.board), 'Colour tokens by divergence'));
          if (me.forced.rows.length) { paintReference(0, me.board); P.rescale(true); }
        }
        note.replaceChildren(text, ...acts);
      },
    };
  };

  // ---- the tooltip of a token: what either side wanted here
  const column = (label, top, given) => {
    const list = el('div', 'top'), wanted = el('div', 'side', label);
    list.append(wanted);
    for (const [word, share] of top) {
      const row = el('div', `alt ${word === given ? 'given' : ''}`), bar = el('i');
      bar.style.width = `${Math.max(1, 100 * (share || 0))}%`;
      row.append(el('span', 'w', P.shown(word)), el('span', 'm'), el('span', 's', P.pct(share)));
      row.children[1].append(bar);
      list.append(row);
    }
    return list;
  };
  P.forcedTip = (span, piece, index) => {
    if (document.documentElement.dataset.colour !== 'kld') return null;
    const first = el('div', 'first'), found = span.pgForced;
    first.append(el('b', '', `“${P.shown(piece)}”`), el('span', '', ` token ${index + 1}`));
    if (!found) {
      return span.classList.contains('past')
        ? [first, el('div', '', 'Not compared: where the texts have parted, this word and the reference’s have different words before them.')]
        : null;
    }
    const [kld, , reference, own, topReference, top] = found.forced.rows[found.index];
    const { label } = found.forced, both = el('div', 'both');
    const given = span.closest('.pane').classList.contains('is-reference') ? piece : null;
    both.append(column(label, topReference, given), column(found.label === label ? `${label} here` : found.label, top, given));
    const said = `KLD ${P.nats(kld)} nats${given === null ? '' : ` · this token: ${label} ${P.pct(reference)}, ${found.label} ${P.pct(own)}`}`;
    return [first, el('div', '', said), both];
  };

  // ---- beside the legend: against which variant, where there are several
  P.againstPicker = (board) => {
    const box = el('label', 'against'), select = el('select');
    select.setAttribute('aria-label', 'Colour the reference’s tokens by the divergence of');
    box.append(el('span', '', 'of'), select);
    select.addEventListener('change', () => choose(measured(board)[select.selectedIndex]));
    const show = () => {
      const all = measured(board), now = P.against(board);
      box.hidden = document.documentElement.dataset.colour !== 'kld' || all.length < 2;
      const names = all.map((pane) => pane.label).join('\n');
      if (select.dataset.names !== names) { select.replaceChildren(...all.map((pane) => el('option', '', pane.label))); select.dataset.names = names; }
      select.selectedIndex = all.indexOf(now);
    };
    return { box, show };
  };
})();
