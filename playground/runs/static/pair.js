// Two stored runs side by side: what was done differently, then each number of both. Values are data only.
(() => {
  const P = window.Playground;
  const { el } = P;
  const SIDES = ['A', 'B'];
  const SAME = { Settings: ['setting', 'settings'], Machine: ['fact of the machine', 'facts of the machine'], Versions: ['version', 'versions'], Variants: ['variant', 'variants'], Prompt: ['prompt', 'prompts'] };

  const figure = (value, unit) => {
    if (value === null || value === undefined) return '–';
    if (unit === 'bytes') return P.bytes(value);
    if (unit === 'tokens') return String(value);
    if (unit === '%') return `${value.toFixed(1)}%`;
    if (unit === 'nats') return P.nats(value);
    if (unit === 's') return P.span(value);
    return P.fig(value);
  };
  const signed = (text, value) => (value > 0 ? `+${text}` : value < 0 ? `−${text}` : text);
  const moved = (cell) => {
    if (cell.moved === null) return '';
    const size = Math.abs(cell.moved);
    if (cell.change === 'percent') return signed(`${size < 9.95 ? size.toFixed(1) : Math.round(size)}%`, Math.round(10 * cell.moved));
    if (cell.change === 'points') return `${signed(size.toFixed(1), Math.round(10 * cell.moved))} points`;
    const text = figure(size, cell.unit);
    return text === '0' ? text : signed(text, cell.moved);
  };
  const side = (cell, name) => {
    const box = el('span', 'side'), spread = cell[`${name}_spread`], own = cell[`${name}_own`];
    box.append(el('i', '', name.toUpperCase()), el('b', '', figure(cell[name], cell.unit)));
    if (spread !== null && spread !== undefined) box.append(el('small', '', ` ± ${figure(spread, cell.unit)}`));
    if (own) {
      const n = (v) => signed(Math.abs(v).toFixed(1), Math.round(10 * v));
      const words = own.interval ? `${n(own.diff)} [${n(own.interval[0])}, ${n(own.interval[1])}]` : n(own.diff);
      const small = el('small', 'own', words);
      small.dataset.tip = `Against this run’s own reference, n = ${own.n}: ${own.verdict}.${own.interval ? ' In brackets the 95 % interval.' : ''}`; small.tabIndex = 0;
      box.append(small);
    }
    return box;
  };
  const table = (found) => {
    const wrap = el('div', 'rn-wrap'), box = el('table', 'rp-table'), top = el('thead'), body = el('tbody'), head = el('tr');
    for (const words of ['Variant', ...found.columns]) { const th = el('th', '', words); th.scope = 'col'; head.append(th); }
    for (const line of found.lines) {
      const row = el('tr'), who = el('th');
      who.scope = 'row'; who.append(el('b', '', line.name), ...(line.id && line.id !== line.name ? [el('span', 'id', line.id)] : []));
      row.append(who);
      line.cells.forEach((cell, index) => {
        const td = el('td');
        td.dataset.name = found.columns[index];
        if (cell.a === null && cell.b === null) td.append(el('span', 'none', '–'));
        else {
          td.append(side(cell, 'a'), side(cell, 'b'));
          const words = moved(cell);
          td.append(el('span', 'moved', words || (cell.a === null ? 'only in B' : cell.b === null ? 'only in A' : '')));
        }
        row.append(td);
      });
      body.append(row);
    }
    top.append(head); box.append(top, body); wrap.append(box);
    const card = el('section', 'ev-card'), title = el('div', 'ev-card-head');
    card.setAttribute('aria-label', found.title);
    title.append(el('h3', '', found.title), el('span', 'quiet', found.note));
    card.append(title, wrap);
    return card;
  };
  const changed = (groups) => {
    const card = el('section', 'ev-card'), head = el('div', 'ev-card-head'), list = el('dl', 'rp-changed');
    card.setAttribute('aria-label', 'What was done differently');
    const moves = groups.flatMap((group) => group.changed.map((one) => [group.name, ...one]));
    const same = groups.filter((group) => group.same).map((group) => `${group.same} ${SAME[group.name][group.same === 1 ? 0 : 1]}`).join(', ');
    head.append(el('h3', '', moves.length ? 'What was done differently' : 'Nothing was done differently'), el('span', 'quiet', same ? `the same: ${same}` : ''));
    for (const [group, name, before, after] of moves) {
      const what = el('dt');
      what.append(el('span', 'quiet', group), el('b', '', name));
      const from = el('dd', before === null ? 'none' : ''), to = el('dd', after === null ? 'none' : '');
      from.append(el('i', '', 'A'), el('span', '', before ?? 'not there')); to.append(el('i', '', 'B'), el('span', '', after ?? 'not there'));
      list.append(what, from, to);
    }
    card.append(head, ...(moves.length ? [list] : []));
    return card;
  };

  P.runPair = (box, v) => {
    const head = el('header', 'rn-head'), words = el('div', 'words'), acts = el('div', 'rn-acts'), pair = el('div', 'rp-two');
    const [first, second] = v.runs;
    words.append(el('p', 'rn-kind', 'Two runs side by side'), el('h2', '', v.same_kind ? `${first.kind_words}: A against B` : `${first.kind_words} against ${second.kind_words.toLowerCase()}`));
    const swap = P.runLink('ui-quiet', 'Swap A and B', second.id, first.id);
    acts.append(swap, P.linkButton(first.id, second.id));
    head.append(words, acts);
    v.runs.forEach((run, index) => {
      const card = el('article', `rp-side ${index ? 'is-b' : ''}`), line = el('p', 'quiet', `${run.model} · ${P.whenLong(run.created)}`);
      card.append(el('i', 'mark', SIDES[index]), P.runLink('', run.title, run.id), line);
      if (run.note) card.append(el('p', 'rn-said', run.note));
      pair.append(card);
    });
    const parts = [head, pair];
    if (!v.same_kind) parts.push(el('div', 'ui-empty', 'These are runs of different kinds, so that no number of one stands against one of the other.'));
    else if (v.tables.some((one) => one.lines.length)) parts.push(...v.tables.filter((one) => one.lines.length).map(table), el('p', 'quiet rp-claim', v.claim));
    parts.push(changed(v.changed.groups));
    box.replaceChildren(...parts);
  };
})();
