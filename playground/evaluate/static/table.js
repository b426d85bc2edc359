// The verdict table: a row for each variant, the reference first whatever the order; one cell says all of a task.
(() => {
  const P = window.Playground;
  const { el } = P;
  const E = P.evaluate;
  const WORDS = { worse: 'worse', better: 'better', 'not distinguishable': 'not distinguishable', withheld: 'no verdict', reference: 'reference' };
  const KINDS = { worse: 'worse', better: 'better', 'not distinguishable': 'same', withheld: 'withheld', reference: 'reference' };
  const known = (v) => v !== null && v !== undefined;
  const sign = (v, words) => `${v > 0 ? '+' : v < 0 ? '−' : '±'}${words}`;
  const score = (v, task) => (task.share ? `${(100 * v).toFixed(1)}` : String(+v.toPrecision(4)));
  const moved = (v, task) => sign(v, task.share ? Math.abs(100 * v).toFixed(1) : String(+Math.abs(v).toPrecision(3)));
  E.nats = (v) => (!known(v) ? '–' : v >= 0.1 ? v.toFixed(3) : v >= 1e-4 ? v.toFixed(4) : v === 0 ? '0' : v.toExponential(1));
  E.score = (v, task) => (task.share ? `${score(v, task)}%` : score(v, task));
  E.moved = moved;
  E.chance = (p) => (p < 0.001 ? '< 0.001' : p < 0.0995 ? p.toFixed(3) : p.toFixed(2));

  // What a column sorts by, smaller first where that is better.
  const engines = (view) => [...new Set(view.variants.map((v) => v.speed?.engine).filter(Boolean))];
  const columns = (view) => [
    { key: 'size', words: 'Size', small: 'on disk', value: (v) => v.bytes, tip: 'All tensors of the checkpoint. Of a variant that is quantized while loading: what it would take.' },
    { key: 'bits', words: 'Bits', short: 'Bits/weight', small: 'per weight', value: (v) => v.bits_per_weight, tip: 'All tensors in bits over the parameters: what stays in 16 bits counts too.' },
    ...(view.variants.some((v) => v.speed) ? [{ key: 'speed', words: 'Decode', short: 'Decode, tok/s', small: engines(view).length === 1 ? `tok/s in ${engines(view)[0]}` : 'tok/s', value: (v) => v.speed?.decode_tok_s ?? null, down: true, tip: 'Tokens written a second by one generation, mean ± standard deviation. It is the engine’s speed with this variant: another engine may have kernels that this one lacks.' }] : []),
    ...(view.divergence.length ? [{ key: 'kld', words: 'KLD', short: 'KLD, nats', small: 'nats, mean', value: (v) => E.kld(view, v.id)?.kld_mean ?? null, tip: 'Kullback-Leibler divergence: how far the distribution of the next token moved from the reference’s, mean over the text, ± standard error by document. 0 is the same.' }] : []),
    ...view.tasks.map((task) => ({ key: task.name, task, words: task.name, value: (v) => E.row(view, v.id, task.name)?.score ?? null, down: task.higher_is_better })),
  ];
  E.row = (view, variant, task) => view.rows.find((row) => row.variant === variant && row.task === task);
  E.kld = (view, variant) => view.divergence.find((row) => row.variant === variant);

  // A difference and its interval on the scale of its task, zero marked.
  const interval = (row, reach, task) => {
    const svg = P.svg('svg', { viewBox: '0 0 160 16', class: `interval ${KINDS[row.verdict]}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `difference ${moved(row.diff, task)}, 95% interval ${moved(row.diff_ci95[0], task)} to ${moved(row.diff_ci95[1], task)}` });
    const x = (v) => 80 + (76 * v) / reach;
    P.put(svg, 'line', { x1: 2, x2: 158, y1: 8, y2: 8, class: 'rail' });
    P.put(svg, 'line', { x1: 80, x2: 80, y1: 1, y2: 15, class: 'zero' });
    P.put(svg, 'line', { x1: x(row.diff_ci95[0]), x2: x(row.diff_ci95[1]), y1: 8, y2: 8, class: 'span' });
    P.put(svg, 'line', { x1: x(row.diff), x2: x(row.diff), y1: 3, y2: 13, class: 'mean' });
    return svg;
  };
  const tipped = (node, tip) => { node.dataset.tip = tip; node.tabIndex = 0; return node; };
  const unit = (task) => (task.share ? 'points' : task.metric);

  const taskCell = (view, task, row, reach) => {
    const cell = el('div', 'ev-score');
    if (!row) { cell.append(el('span', 'none', '–')); return cell; }
    const top = el('div', 'top'), main = el('span', 'v');
    main.append(el('b', '', score(row.score, task)), el('small', '', known(row.stderr) ? ` ± ${score(row.stderr, task)}` : ''));
    top.append(main);
    cell.append(top);
    if (row.truncated) top.append(tipped(el('i', 'tag', `${Math.round(100 * row.truncated)}% cut`), 'So many answers reached the token budget before they ended.'));
    if (row.verdict === 'reference') { cell.append(el('div', 'bar full')); return cell; }
    if (known(row.recovery)) {
      const bar = el('div', 'bar'), fill = el('i');
      fill.style.width = `${Math.max(0, Math.min(100, row.recovery))}%`;
      bar.append(fill);
      const share = tipped(el('span', 'recovery', `${row.recovery.toFixed(1)}%`), 'Recovery: the score in percent of the reference’s.');
      top.append(share); cell.append(bar);
    }
    const word = el('div', `word ${KINDS[row.verdict]}`);
    if (row.verdict === 'withheld') {
      word.append(el('b', '', WORDS.withheld));
      if (row.warnings.length) tipped(word, row.warnings.join('\n'));
      cell.append(word);
      return cell;
    }
    const scale = el('div', 'scale');
    if (known(row.diff) && row.diff_ci95) scale.append(interval(row, reach, task));
    scale.append(el('span', `diff ${KINDS[row.verdict]}`, moved(row.diff, task)));
    word.append(el('b', '', WORDS[row.verdict]));
    cell.append(scale);
    const n = el('div', 'line');
    n.append(el('span', '', `n = ${row.n.toLocaleString('en')}`), known(row.smallest_drop) ? tipped(el('span', '', `sees ≥ ${score(row.smallest_drop, task)}`), `The smallest drop that ${row.n} items with this many changed answers show in 80 of 100 evaluations, in ${unit(task)}.`) : '');
    cell.append(word, n);
    if (row.diff_ci95) tipped(scale, `${moved(row.diff, task)} ${unit(task)}, 95% interval ${moved(row.diff_ci95[0], task)} to ${moved(row.diff_ci95[1], task)} (paired bootstrap).`);
    if (known(row.flips_lost)) {
      const flips = el('div', 'line'), words = tipped(el('span', 'flips', ''), `Answers that changed: ${row.flips_lost} from right to wrong, ${row.flips_won} from wrong to right.`);
      words.append(el('b', '', `−${row.flips_lost}`), document.createTextNode(' '), el('b', '', `+${row.flips_won}`), document.createTextNode(' flips'));
      flips.append(words);
      if (known(row.mcnemar_p)) flips.append(tipped(el('span', '', `p ${E.chance(row.mcnemar_p)}`), 'McNemar’s exact test: how often chance alone would split the changed answers at least so unevenly.'));
      cell.append(flips);
    }
    return cell;
  };
  const plain = (words, small, tip) => { const cell = el('span', 'v'); cell.append(el('b', '', words), ...(small ? [el('small', '', small)] : [])); return tip ? tipped(cell, tip) : cell; };
  const speedTip = (v) => `In ${v.speed.engine}: ${v.speed.repetitions} repetitions of ${v.speed.prompt_tokens} tokens read and ${v.speed.output_tokens} written.`;
  const factCell = (view, column, v) => {
    if (column.key === 'size') return plain(P.bytes(v.bytes));
    if (column.key === 'bits') return plain(known(v.bits_per_weight) ? v.bits_per_weight.toFixed(1) : '–');
    if (column.key === 'speed' && v.speed && engines(view).length > 1) { const cell = plain(P.fig(v.speed.decode_tok_s), known(v.speed.sd) ? `± ${P.fig(v.speed.sd)}` : '', speedTip(v)); cell.append(el('small', 'noise', `in ${v.speed.engine}`)); return cell; }
    if (column.key === 'speed') return v.speed ? plain(P.fig(v.speed.decode_tok_s), known(v.speed.sd) ? `± ${P.fig(v.speed.sd)}` : '', speedTip(v)) : el('span', 'none', '–');
    const row = E.kld(view, v.id);
    if (!row) return el('span', 'none', '–');
    const noise = view.floor && v !== view.variants[0] && row.kld_mean <= view.floor.kld_mean;
    const cell = plain(E.nats(row.kld_mean), row.kld_mean ? `± ${E.nats(row.kld_stderr)}` : '', `Median ${E.nats(row.kld_median)}, p99 ${E.nats(row.kld_p99)}, largest ${E.nats(row.kld_max)} nats over ${row.tokens.toLocaleString('en')} tokens of ${row.documents} documents. The same top token in ${(100 * row.top1_agreement).toFixed(1)}%; perplexity × ${row.ppl_ratio.toFixed(3)}.${view.floor ? ` Noise floor: ${E.nats(view.floor.kld_mean)}.` : ''}`);
    if (noise) cell.append(el('small', 'noise', 'within the noise'));
    return cell;
  };

  // As text: what Copy puts on the clipboard, tabs between cells.
  const asText = (view, rows, shown) => {
    const names = ['Variant', ...shown.map((c) => (c.task ? c.words : `${c.words}, ${c.small}`))];
    const cell = (c, v) => {
      if (!c.task) { const value = c.value(v); return c.key === 'size' ? P.bytes(value) : value === null ? '–' : c.key === 'kld' ? E.nats(value) : String(+value.toPrecision(4)); }
      const row = E.row(view, v.id, c.key);
      if (!row) return '–';
      const own = `${score(row.score, c.task)}${known(row.stderr) ? ` ± ${score(row.stderr, c.task)}` : ''}`;
      return row.verdict === 'reference' ? own : `${own} (${row.verdict === 'withheld' ? WORDS.withheld : `${moved(row.diff, c.task)}, ${WORDS[row.verdict]} at n = ${row.n}`})`;
    };
    return [names, ...rows.map((v) => [v.label, ...shown.map((c) => cell(c, v))])].map((line) => line.join('\t')).join('\n');
  };

  E.table = (view) => {
    const all = columns(view), hidden = new Set(), pinned = new Set();
    let by = null, down = false, words = '', only = '';
    const filter = P.input(''); filter.type = 'search'; filter.placeholder = 'Filter variants'; filter.setAttribute('aria-label', 'Filter variants');
    const kinds = P.select([['', 'every verdict'], ['worse', 'worse somewhere'], ['not distinguishable', 'not distinguishable throughout'], ['better', 'better somewhere'], ['withheld', 'no verdict somewhere']]);
    kinds.setAttribute('aria-label', 'Filter by verdict');
    const toggles = el('div', 'ev-columns'), wrap = el('div', 'ev-wrap'), table = el('table', 'ev-table'), top = el('thead'), body = el('tbody'), none = el('p', 'quiet ev-none', 'No variant fits the filter.');
    const copy = P.button('ui-small', 'Copy', () => P.copy(asText(view, listed(), shown()), copy), 'Copy the table');
    const acts = el('span', 'ev-files');
    acts.append(copy, P.button('ui-small', 'CSV', () => P.download(`evaluation-${view.id.slice(0, 8)}.csv`, view.files.csv, 'text/csv'), 'Download as CSV'), P.button('ui-small', 'JSON', () => P.download(`evaluation-${view.id.slice(0, 8)}.json`, view.files.json, 'application/json'), 'Download as JSON'));
    const bar = el('div', 'ev-bar'); bar.append(filter, kinds, toggles);
    table.append(top, body); wrap.append(table); wrap.tabIndex = 0; wrap.setAttribute('role', 'region'); wrap.setAttribute('aria-label', 'Verdict table');

    const shown = () => all.filter((c) => !hidden.has(c.key));
    const verdicts = (v) => view.rows.filter((row) => row.variant === v.id).map((row) => row.verdict);
    const fits = (v) => {
      const said = verdicts(v);
      if (words && !`${v.label} ${v.id} ${v.method} ${v.scheme}`.toLowerCase().includes(words)) return false;
      return !only || (only === 'not distinguishable' ? said.length && said.every((one) => one === only) : said.includes(only));
    };
    // The reference, then what is pinned, then the rest in the order that was asked for.
    const listed = () => {
      const [reference, ...others] = view.variants;
      const rest = others.filter((v) => pinned.has(v.id) || fits(v));
      const column = all.find((c) => c.key === by);
      if (column) rest.sort((a, b) => { const [x, y] = [column.value(a), column.value(b)]; return known(x) - known(y) ? known(y) - known(x) : (down ? y - x : x - y); });
      return [reference, ...rest.filter((v) => pinned.has(v.id)), ...rest.filter((v) => !pinned.has(v.id))];
    };
    const reaches = new Map(view.tasks.map((task) => [task.name, Math.max(1e-9, ...view.rows.filter((row) => row.task === task.name && row.diff_ci95).flatMap((row) => row.diff_ci95.map(Math.abs)))]));
    const heading = (c) => {
      const th = el('th', c.task ? 'task' : ''), go = P.button('sort', '', () => { if (by !== c.key) { by = c.key; down = Boolean(c.down); } else if (down === Boolean(c.down)) down = !down; else by = null; draw(); top.querySelector(`[data-key="${CSS.escape(c.key)}"]`)?.focus(); }, `Sort by ${c.words}`);
      th.scope = 'col'; go.dataset.key = c.key;
      if (by === c.key) th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      go.append(el('span', '', c.words), el('i', `arrow ${by === c.key ? (down ? 'down' : 'up') : ''}`));
      const t = c.task;
      const small = t ? [t.share ? `${t.metric}, %` : t.metric, `n = ${t.n.toLocaleString('en')}${t.sample ? ` of ${t.n_full.toLocaleString('en')}` : ''}`, known(t.chance) && `chance ${score(t.chance, t)}`].filter(Boolean).join(' · ') : c.small;
      go.dataset.tip = t ? `${t.title}, ${t.few_shot}-shot, ${t.higher_is_better ? 'higher' : 'lower'} is better.${t.bundled ? ' A task written for this project, not the benchmark.' : ''}${t.sample ? ' A limit was set: this is a sample, not the benchmark’s score.' : ''}` : c.tip;
      th.append(go, el('small', '', small));
      return th;
    };
    const line = (v, index) => {
      const tr = el('tr', index ? '' : 'reference'), who = el('th', 'who'), name = el('b', '', v.label);
      who.scope = 'row'; name.dataset.tip = v.id;
      who.append(name);
      if (!index) who.append(el('i', 'role', 'reference'));
      else {
        const on = pinned.has(v.id), pin = P.button(`pin ${on ? 'on' : ''}`, on ? 'pinned' : 'pin', () => { if (!pinned.delete(v.id)) pinned.add(v.id); draw(); body.querySelector(`[data-id="${CSS.escape(v.id)}"] .pin`)?.focus(); }, `${on ? 'Unpin' : 'Pin'} ${v.label}`);
        pin.setAttribute('aria-pressed', on); pin.dataset.tip = 'Keeps this row under the reference, whatever the order and filter.';
        who.append(el('span', 'id', v.id), pin);
      }
      if (!index) who.append(el('span', 'id', v.id));
      tr.dataset.id = v.id; tr.append(who);
      for (const c of shown()) {
        const td = el('td', c.task ? 'task' : 'fact'); td.dataset.name = c.short || c.words;
        td.append(c.task ? taskCell(view, c.task, E.row(view, v.id, c.key), reaches.get(c.key)) : factCell(view, c, v));
        tr.append(td);
      }
      return tr;
    };
    const draw = () => {
      const names = el('tr'), who = el('th', 'who', 'Variant');
      who.scope = 'col'; names.append(who, ...shown().map(heading));
      top.replaceChildren(names);
      const rows = listed();
      body.replaceChildren(...rows.map(line));
      none.hidden = rows.length > 1 || view.variants.length < 2;
    };
    if (view.tasks.length > 1) {
      for (const c of all.filter((one) => one.task)) {
        const node = P.button('chip', c.words, () => { if (!hidden.delete(c.key)) hidden.add(c.key); node.setAttribute('aria-pressed', !hidden.has(c.key)); draw(); }, `Show ${c.words}`);
        node.setAttribute('aria-pressed', 'true'); toggles.append(node);
      }
    }
    filter.addEventListener('input', () => { words = filter.value.trim().toLowerCase(); draw(); });
    kinds.addEventListener('change', () => { only = kinds.value; draw(); });
    draw();
    const box = E.part('Every number', 'score ± standard error, recovery, the difference with its 95% interval', bar, wrap, none);
    box.querySelector('.ev-card-head').append(acts);
    if (view.variants.length < 3) { filter.hidden = true; kinds.hidden = true; }
    return box;
  };
})();
