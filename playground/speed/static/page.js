// The Speed page: what to measure, how far it is, and the table. The plots are in plots.js.
(() => {
  const P = window.Playground;
  const { el } = P;
  const S = (P.speed = { running: false });

  // Before the keys of the Compare page, whose buttons are still there.
  document.addEventListener('keydown', (e) => {
    if (P.page() !== 'speed') return;
    if (e.key === 'Escape') { e.stopImmediatePropagation(); P.untip(); if (S.running) S.halt(); }
    else if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); e.stopImmediatePropagation(); S.measure?.(); }
  }, true);

  // ---- the form
  const FIELDS = [
    ['prompt_tokens', 'Prompt', 'tokens read', 'Prefill: so many prompt tokens are read. 0 leaves it out.'],
    ['output_tokens', 'Answer', 'tokens written', 'Decode: so many tokens are written. 0 leaves it out.'],
    ['depths', 'Depths', 'tokens before it', 'Tokens that are in the context before decoding begins; several with commas: 0, 512.'],
    ['runs', 'Repetitions', 'after a warm-up', 'How often each test is repeated. One more, the first, is a warm-up and is discarded.'],
    ['concurrency', 'Requests at once', 'empty: one only', 'What a server gives when several requests come at once, one level after the other: 1, 2, 4, 8.'],
  ];
  P.speedForm = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount');
    const card = el('section', 'sp-form');
    card.setAttribute('aria-label', 'What to measure');
    const head = el('div', 'sp-head');
    head.append(el('h2', '', 'How fast does it run here?'), el('p', 'quiet', 'Each variant on each engine, repeated with the warm-up discarded, against what the memory of this device can deliver.'));
    const models = el('datalist'); models.id = 'sp-models';
    const model = el('input', 'sp-input'); model.setAttribute('list', 'sp-models'); model.setAttribute('aria-label', 'Model'); model.spellcheck = false;
    const origin = el('span', 'sp-origin');
    const pick = el('div', 'sp-model'); pick.append(model, origin, models);
    const matrix = el('div', 'sp-matrix'), absent = el('p', 'sp-absent quiet'), inputs = el('div', 'sp-fields'), trouble = el('div', 'sp-trouble');
    trouble.setAttribute('aria-live', 'assertive');
    const boxes = {};
    for (const [name, words, unit, tip] of FIELDS) {
      const label = el('label'), title = el('span', 'name', words);
      title.dataset.tip = tip;
      boxes[name] = el('input', 'sp-input'); boxes[name].inputMode = name === 'depths' || name === 'concurrency' ? 'text' : 'numeric';
      boxes[name].name = name; boxes[name].autocomplete = 'off';
      boxes[name].addEventListener('input', () => count());
      label.append(title, boxes[name], el('span', 'unit', unit));
      inputs.append(label);
    }
    const sum = el('span', 'sp-sum');
    const go = P.button('sp-go', 'Measure', () => S.measure()), stop = P.button('sp-stop', 'Stop', () => S.halt());
    const foot = el('div', 'sp-foot'); foot.append(sum, stop, go);
    const left = el('div', 'sp-left'), right = el('div', 'sp-right'), body = el('div', 'sp-body');
    left.append(pick, matrix, absent); right.append(inputs, trouble, foot); body.append(left, right);
    card.append(head, body); mount.replaceChildren(card);

    const picked = new Set();
    let state = {}, ready = false;
    const chosen = () => (state.variants || []).flatMap((v) => v.options).filter((o) => o.runs && picked.has(o.address)).map((o) => o.address);
    const numbers = (text) => String(text).split(/[\s,]+/).filter(Boolean);
    const count = () => {
      const some = chosen().length, runs = Number(boxes.runs.value) || 0;
      const tests = (Number(boxes.prompt_tokens.value) ? 1 : 0) + (Number(boxes.output_tokens.value) ? numbers(boxes.depths.value).length || 1 : 0);
      const levels = numbers(boxes.concurrency.value).map(Number).reduce((n, c) => n + c + Math.max(2, Math.ceil(4 / c)) * c, 0) || 0;
      const all = some * (tests * (runs + 1) + levels);
      sum.textContent = some ? `${some} to measure · ${all} generation${all === 1 ? '' : 's'}` : 'nothing chosen';
      go.disabled = S.running || !some; stop.hidden = !S.running;
      go.textContent = S.running ? 'Measuring…' : 'Measure';
    };
    S.busy = (on) => { S.running = on; for (const node of card.querySelectorAll('input, .tick')) node.disabled = on; count(); };
    S.refuse = (error) => {
      trouble.replaceChildren();
      if (!error) return;
      const note = el('div', 'pg-notice error');
      note.append(el('b', '', error[0]), el('span', '', error[1] ? ` ${error[1]}` : ''));
      trouble.append(note);
    };
    S.measure = () => {
      if (S.running || go.disabled) return;
      S.refuse();
      S.busy(true);
      trigger('measure', { addresses: chosen(), ...Object.fromEntries(FIELDS.map(([name]) => [name, boxes[name].value])) });
    };
    S.halt = () => { stop.disabled = true; stop.textContent = 'Stopping…'; trigger('halt'); };
    S.ended = () => { stop.disabled = false; stop.textContent = 'Stop'; };

    const tick = (option, variant) => {
      const node = el('button', 'tick');
      node.type = 'button';
      node.setAttribute('role', 'checkbox');
      const name = `${variant.label} in ${option.title.replace(/ host$/, '')}`;
      if (!option.runs) {
        node.classList.add('no');
        node.setAttribute('aria-disabled', 'true'); node.setAttribute('aria-checked', 'false');
        node.setAttribute('aria-label', `${name}: not here. ${option.why}`);
        node.dataset.tip = [option.why, option.do].filter(Boolean).join('. To change that: ');
        return node;
      }
      const show = () => node.setAttribute('aria-checked', picked.has(option.address));
      node.setAttribute('aria-label', name);
      node.addEventListener('click', () => { if (!picked.delete(option.address)) picked.add(option.address); show(); count(); });
      show();
      return node;
    };
    const draw = () => {
      const next = P.json(props.value, null);
      if (!next) return;
      state = next;
      model.value = state.model; origin.textContent = state.origin;
      models.replaceChildren(...state.models.map((name) => { const o = el('option'); o.value = name; return o; }));
      if (!ready) {
        ready = true;
        for (const [name] of FIELDS) boxes[name].value = [].concat(state.plan[name]).join(', ');
      }
      picked.clear();
      const able = (v) => v.options.find((o) => o.runs);
      const first = [state.variants.find((v) => v.reference), state.variants.find((v) => !v.reference && /nf4|int4|Q4/i.test(v.label)) || state.variants[1]];
      for (const v of first) if (v && able(v)) picked.add(able(v).address);
      const engines = [...new Map(state.variants.flatMap((v) => v.options).map((o) => [o.engine, o])).values()];
      const here = engines.filter((e) => state.variants.some((v) => v.options.some((o) => o.engine === e.engine && o.runs)));
      matrix.style.setProperty('--engines', here.length || 1);
      matrix.replaceChildren();
      if (here.length) {
        const heading = el('div', 'line top');
        heading.append(el('span', 'what', 'variant'), ...here.map((e) => el('span', 'engine', e.title.replace(/ host$/, ''))));
        matrix.append(heading);
      }
      for (const v of state.variants) {
        const line = el('div', 'line'), what = el('span', 'what');
        what.append(el('b', '', v.label), el('small', '', v.size), ...(v.reference ? [el('i', 'role', 'reference')] : []));
        what.dataset.tip = v.source || v.id;
        line.append(what, ...here.map((e) => tick(v.options.find((o) => o.engine === e.engine), v)));
        matrix.append(line);
      }
      absent.replaceChildren();
      for (const e of engines.filter((one) => !here.includes(one))) {
        const why = state.variants[0].options.find((o) => o.engine === e.engine);
        const line = el('span', '', `${e.title}: ${why.why}${why.do ? ` (${why.do})` : ''}`);
        absent.append(line);
      }
      S.refuse(state.error);
      S.busy(S.running);
    };
    model.addEventListener('change', () => { if (model.value.trim()) trigger('model', { name: model.value.trim() }); });
    watch('value', draw); draw();
  };

  // ---- what came of it
  const left = (s) => (s === null ? '' : s < 1 ? 'nearly done' : s < 90 ? `about ${Math.ceil(s)} s left` : `about ${Math.round(s / 60)} min left`);
  const ms = (s) => (s === null ? '–' : P.fig(s * 1e3));
  S.number = (row) => {
    const cell = el('span', 'v');
    cell.append(el('b', '', P.fig(row.tok_s_mean)));
    if (row.tok_s_sd !== null) cell.append(el('small', '', ` ± ${P.fig(row.tok_s_sd)}`));
    if (row.clock === 'client') { const tag = el('i', 'tag', 'client'); tag.dataset.tip = 'Timed at arrival here: the engine tells no better, so the way to it is in the number.'; tag.tabIndex = 0; cell.append(tag); }
    if (row.contended) { const tag = el('i', 'tag', 'contended'); tag.dataset.tip = 'Others computed on this device meanwhile.'; tag.tabIndex = 0; cell.append(tag); }
    return cell;
  };
  const meter = (row) => {
    const cell = el('span', 'mbu');
    cell.tabIndex = 0;
    if (row.mbu === null) { cell.append(el('b', '', '–')); cell.dataset.tip = row.mbu_missing || 'Not measured.'; return cell; }
    const bar = el('i', 'bar'), fill = el('i');
    fill.style.width = `${Math.min(100, 100 * row.mbu)}%`;
    bar.append(fill);
    cell.append(el('b', '', `${Math.round(100 * row.mbu)}%`), bar);
    cell.dataset.tip = `Model bandwidth utilisation: decoding reads ${P.unit(row.bytes_per_token * row.tok_s_mean, 'bytes')} a second of the ${P.unit(row.bandwidth, 'bytes')} that this memory delivers.`;
    return cell;
  };
  const group = (rows) => {
    const by = new Map();
    for (const row of rows) { if (!by.has(row.address)) by.set(row.address, []); by.get(row.address).push(row); }
    return [...by.values()];
  };
  const table = (rows) => {
    const tests = [...new Set(rows.filter((r) => r.concurrency === null && !r.error).map((r) => r.test))];
    const kind = (t) => (t.startsWith('pp') ? 'prefill' : 'decode');
    const box = el('table', 'sp-table');
    const names = el('tr');
    const th = (words, small, cls) => { const cell = el('th', cls, words); if (small) cell.append(el('small', '', small)); cell.scope = 'col'; names.append(cell); };
    th('Variant', 'on engine', 'words'); th('Weights');
    for (const t of tests) th(kind(t) === 'prefill' ? 'Prefill' : 'Decode', `tok/s · ${t}`);
    th('MBU', 'of the bandwidth');
    const top = el('thead'), body = el('tbody');
    top.append(names); box.append(top, body);
    for (const own of group(rows)) {
      const first = own[0], line = el('tr');
      const who = el('th', 'words'); who.scope = 'row';
      const label = el('b', '', first.label); label.dataset.tip = first.address;
      who.append(label);
      if (first.reference) who.append(el('i', 'role', 'reference'));
      who.append(el('span', 'on', first.title || 'engine not chosen'));
      const kernel = own.find((r) => r.kernel)?.kernel;
      if (kernel) who.append(el('span', 'kernel', kernel));
      line.append(who);
      const cell = (name, node) => { const td = el('td'); td.dataset.name = name; td.append(node); line.append(td); };
      const weight = own.find((r) => r.weight_bytes)?.weight_bytes;
      cell('Weights', el('span', 'v', weight ? P.unit(weight, 'bytes') : '–'));
      for (const t of tests) {
        const row = own.find((r) => r.test === t && !r.error);
        cell(`${kind(t) === 'prefill' ? 'Prefill' : 'Decode'}, tok/s (${t})`, row ? S.number(row) : el('span', 'v none', '–'));
      }
      const main = own.find((r) => r.test.startsWith('tg') && !r.error);
      cell('MBU', main ? meter(main) : el('span', 'v none', '–'));
      if (own.some((r) => !r.error && r.concurrency === null)) body.append(line);
      for (const row of own.filter((r) => r.error)) {
        const bad = el('tr', 'bad'), td = el('td');
        td.colSpan = tests.length + 3;
        const words = el('div');
        words.append(el('b', '', `${row.label}${row.title ? ` in ${row.title}` : ''}${row.test === 'load' ? '' : `, ${row.test}`}`), el('span', '', ` ${row.error}`));
        if (row.hint) words.append(el('span', 'hint', ` ${row.hint}`));
        td.append(words); bad.append(td); body.append(bad);
      }
    }
    return box;
  };
  const levels = (rows) => {
    const box = el('table', 'sp-table levels'), names = el('tr'), top = el('thead'), body = el('tbody');
    for (const [words, small] of [['At once', ''], ['Written', 'tok/s'], ['Read + written', 'tok/s'], ['TTFT', 'ms, p50 · p99'], ['TPOT', 'ms, p50 · p99']]) {
      const th = el('th', '', words); th.scope = 'col'; if (small) th.append(el('small', '', small)); names.append(th);
    }
    top.append(names); box.append(top, body);
    for (const own of group(rows)) {
      const name = el('tr', 'who'), cell = el('th', '', `${own[0].label} in ${own[0].title}`); cell.colSpan = 5; cell.scope = 'rowgroup'; name.append(cell); body.append(name);
      for (const r of own) {
        const line = el('tr');
        for (const text of [`${r.concurrency}`, P.fig(r.tok_s_mean), P.fig(r.total_tok_s), `${ms(r.ttft_p50_s)} · ${ms(r.ttft_p99_s)}`, `${ms(r.tpot_p50_s)} · ${ms(r.tpot_p99_s)}`]) line.append(el('td', '', text));
        body.append(line);
      }
    }
    return box;
  };
  const save = (name, kind, text) => P.button('sp-save', name, () => {
    const link = el('a'), url = URL.createObjectURL(new Blob([text], { type: kind }));
    link.href = url; link.download = `speed.${name.toLowerCase()}`; link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }, `Download as ${name}`);
  const card = (title, note, ...parts) => {
    const box = el('section', 'sp-card');
    box.setAttribute('aria-label', title);
    const head = el('div', 'sp-card-head');
    head.append(el('h3', '', title), el('span', 'quiet', note));
    box.append(head, ...parts);
    return box;
  };

  // The answer, the table and the plots of what was measured, into their places; gives back what draws the plots again.
  P.speedRows = (v, answer, list, plots) => {
    if (v.headline[0]) {
      const said = el('div', 'verdict');
      said.append(el('p', 'said', v.headline[0]), el('p', 'caveats', v.headline[1]));
      answer.append(said);
    }
    const decode = v.rows.filter((r) => !r.error && r.concurrency === null && r.test.startsWith('tg') && r.bytes_per_token);
    const sweep = v.rows.filter((r) => !r.error && r.concurrency !== null);
    const draws = [];
    if (decode.length) {
      const area = el('div', 'area');
      plots.append(card('Decode speed against the memory’s limit', 'the gap to the line is what an engine leaves unused', area));
      draws.push(() => P.roofline(area, decode));
    }
    if (sweep.length) {
      const a = el('div', 'area'), b = el('div', 'area'), two = el('div', 'sp-two'), whole = el('div', 'sp-sweep');
      two.append(P.keys(sweep), a, b);
      whole.append(two, levels(sweep));
      plots.append(card('Several requests at once', 'timed at the client, queueing included', whole));
      draws.push(() => P.levels(a, sweep, (r) => r.tok_s_mean, 'tok/s of all together'), () => P.levels(b, sweep, (r) => r.tpot_p50_s * 1e3, 'ms per token of one (TPOT p50)'));
    }
    const files = el('span', 'sp-files');
    if (v.run) files.append(P.linkButton(v.run));
    if (v.files) files.append(save('CSV', 'text/csv', v.files.csv), save('JSON', 'application/json', v.files.json));
    const results = card('Measured', 'mean ± standard deviation, tokens per second', table(v.rows.filter((r) => r.concurrency === null || r.error)));
    results.querySelector('.sp-card-head').append(files);
    list.append(results);
    return () => draws.forEach((one) => one());
  };

  P.speedResult = (element, props, watch) => {
    const mount = element.querySelector('.pg-mount');
    const status = el('div', 'sp-status'), answer = el('div', 'sp-answer'), plots = el('div', 'sp-plots'), list = el('div');
    status.setAttribute('aria-live', 'polite'); answer.setAttribute('aria-live', 'polite');
    mount.replaceChildren(status, answer, list, plots);
    let shown = '', redraw = () => {};
    const stage = (now) => {
      const box = el('div', 'sp-stage'), line = el('div', 'words');
      line.append(el('b', '', [now.name, now.title && `in ${now.title}`].filter(Boolean).join(' ')), el('span', '', now.words));
      const much = now.load && now.load[1] ? `${P.unit(now.load[0], now.load[2] === 'bytes' ? 'bytes' : '')} of ${P.unit(now.load[1], now.load[2])}` : '';
      const bar = el('div', 'bar'), fill = el('i');
      fill.style.width = `${(100 * now.done) / Math.max(1, now.total)}%`;
      bar.append(fill);
      bar.setAttribute('role', 'progressbar'); bar.setAttribute('aria-valuemax', now.total); bar.setAttribute('aria-valuenow', now.done); bar.setAttribute('aria-label', 'Steps done');
      box.append(line, bar, el('span', 'much', [much, `step ${Math.min(now.total, now.done + 1)} of ${now.total}`, left(now.left_s)].filter(Boolean).join(' · ')));
      return box;
    };
    const draw = () => {
      const v = P.json(props.value, null);
      if (!v) {
        const hint = el('div', 'sp-empty');
        hint.append(el('b', '', 'Nothing measured yet.'), el('span', '', ' Tick variants and engines and press Measure. Speeds appear here as they are measured, in a table and against the line that the memory of this device draws: a token cannot be written faster than its bytes are read.'));
        status.replaceChildren(hint);
        return;
      }
      if (v.state === 'refused') { S.busy?.(false); S.refuse?.(v.error); return; }
      S.busy?.(v.state === 'running');
      if (v.state !== 'running') S.ended?.();
      status.replaceChildren();
      if (v.stage) status.append(stage(v.stage));
      if (v.state === 'stopped') status.append(el('div', 'sp-empty', v.rows.length ? 'Stopped. What was measured until then stays.' : 'Stopped before anything was measured.'));
      if (v.error) { const note = el('div', 'pg-notice error'); note.append(el('b', '', v.error[0]), el('span', '', ` ${v.error[1]}`)); status.append(note); }
      // The parts below change when a row arrives, not twice a second: whoever reads a tooltip keeps it.
      const now = JSON.stringify([v.rows, v.state, v.run]);
      if (now === shown) return;
      shown = now;
      answer.replaceChildren(); plots.replaceChildren(); list.replaceChildren(); redraw = () => {};
      if (!v.rows.length) return;
      redraw = P.speedRows(v, answer, list, plots);
      redraw();
    };
    let width = 0;
    new ResizeObserver(() => { if (Math.abs(plots.clientWidth - width) > 2) { width = plots.clientWidth; redraw(); } }).observe(plots);
    watch('value', draw); draw();
  };
})();
