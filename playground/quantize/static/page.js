// The Quantize page: what to make and what that will cost. What came of it is in board.js.
(() => {
  const P = window.Playground;
  const { el } = P;
  const Q = (P.quantize = { asked: 0, started: false });
  Q.here = () => P.page() === 'quantize';

  // Before the keys of the Compare page, whose buttons are still there.
  document.addEventListener('keydown', (e) => {
    if (!Q.here()) return;
    if (e.key === 'Escape') { e.stopImmediatePropagation(); P.untip(); P.keep?.(); }
    else if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); e.stopImmediatePropagation(); Q.begin?.(); }
  }, true);

  const { field, select, input, area, radios } = P;

  P.quantizeForm = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount');
    const card = el('section', 'qz-form');
    card.setAttribute('aria-label', 'What to make');
    const head = el('div', 'ui-head');
    head.append(el('h2', '', 'Make a smaller model'), el('p', 'quiet', 'Choose how; the size to the byte, the memory and the time are known before anything runs.'));
    const models = el('datalist'); models.id = 'qz-models';
    const model = input(''); model.setAttribute('list', 'qz-models'); model.setAttribute('aria-label', 'Model to quantize');
    const origin = el('span', 'qz-origin'), pick = el('div', 'qz-model'), trouble = el('div', 'ui-trouble');
    pick.append(model, origin, models);
    const methods = el('div', 'qz-methods'), about = el('div', 'qz-about'), fields = el('div', 'ui-fields'), why = el('p', 'qz-why');
    methods.setAttribute('role', 'radiogroup'); methods.setAttribute('aria-label', 'Method');
    const calibration = el('div', 'qz-calibration'), more = el('details', 'ui-more'), summary = el('summary', '', 'Advanced'), advanced = el('div', 'qz-advanced');
    const said = el('span', 'ui-said quiet');
    summary.append(said); more.append(summary, advanced);
    card.append(head, pick, trouble, methods, about, fields, why, calibration, more);
    mount.replaceChildren(card);

    let state = null, row = null, timer = 0;
    const choice = { source: 'bundled', upload: '' };
    const scheme = select([]), group = select([]), kv = select([['', 'As it is: 16-bit'], ['FP8', 'FP8: 8-bit floating point'], ['INT8', 'INT8: 8-bit integers']]);
    const groupField = field('Group size', group, '', 'Weights that share one scale. Smaller groups lose less and take more bytes.');
    const kvField = field('KV cache', kv, '', 'Stores scales for the keys and values of earlier tokens too: less memory for long contexts. Needs calibration text.');
    fields.append(field('Scheme', scheme, '', 'The number format: how many bits a weight (W) and an activation (A) have.'), groupField, kvField);

    // ---- calibration
    const samples = input('', 'numeric'), length = input('', 'numeric'), seed = input('', 'numeric');
    const hub = input(''), pasted = area(4, 'Paste text like the text the model will see.'), file = el('input'), dropped = el('div', 'qz-file'), got = el('span', 'quiet', 'No file chosen');
    hub.placeholder = 'owner/name[:config][:split]'; hub.setAttribute('aria-label', 'Data set of the hub');
    pasted.setAttribute('aria-label', 'Calibration text'); pasted.maxLength = 4 * 2 ** 20;
    file.type = 'file'; file.hidden = true; file.setAttribute('aria-label', 'Calibration file');
    dropped.append(P.button('ui-quiet', 'Choose a file', () => file.click()), got, file);
    const panels = { bundled: el('p', 'quiet', ''), upload: dropped, hub, pasted };
    const sources = radios('Calibration text', [['bundled', 'Bundled'], ['upload', 'File'], ['hub', 'Hub data set'], ['pasted', 'Pasted']], (value) => { choice.source = value; panel(); ask(); });
    const panel = () => { for (const [name, node] of Object.entries(panels)) node.hidden = name !== choice.source; };
    calibration.setAttribute('role', 'group'); calibration.setAttribute('aria-label', 'Calibration');
    const legend = el('span', 'legend', 'Calibration text'), line = el('div', 'ui-fields three'), top = el('div', 'qz-source');
    legend.dataset.tip = 'The method watches what this text does inside the model. Text like the text you will use gives the best result.'; legend.classList.add('tipped');
    line.append(field('Samples', samples, 'sequences'), field('Length', length, 'tokens at most'), field('Seed', seed, 'which samples'));
    top.append(sources, ...Object.values(panels));
    calibration.append(legend, top, line);
    panel();

    // ---- advanced
    const name = input(''), ignore = area(2, ''), keep = area(2, ''), options = el('div', 'ui-fields three');
    const names = field('Name of the variant', name, 'empty: from method and scheme');
    const ignoreField = field('Leave these layers as they are', ignore, ' ', 'Layers that are not quantized at all.');
    const keepField = field('Mixed precision', keep, ' ', 'Layers that get another scheme than the rest, for those that lose most.');
    advanced.append(ignoreField, keepField, options, names);

    const pairs = { samples, max_length: length, seed };
    const data = () => ({
      model: model.value.trim(), method: row?.name, scheme: scheme.value, group_size: groupField.hidden ? '' : group.value, kv_cache: kvField.hidden ? '' : kv.value,
      ignore: ignore.value, keep: keepField.hidden ? '' : keep.value, name: name.value,
      options: Object.fromEntries([...options.querySelectorAll('[name]')].filter((n) => n.value !== n.dataset.initial).map((n) => [n.name, n.value])),
      calibration: { source: choice.source, upload: choice.upload, hub: hub.value, text: pasted.value, samples: samples.value, max_length: length.value, seed: seed.value },
    });
    const draft = () => { const all = data(); all.calibration.text = all.calibration.text.slice(0, 80); return all; };
    const ask = (now) => {
      clearTimeout(timer);
      Q.asked += 1;
      Q.stale?.();
      timer = setTimeout(() => { if (row) trigger('estimate', { ...draft(), serial: Q.asked }); }, now ? 0 : 280);
    };
    Q.ask = ask;
    Q.probe = () => trigger('probe', { ...draft(), serial: Q.asked });
    Q.send = (serial, logs, cards) => trigger('begin', { ...data(), serial, logs, cards });
    Q.why = (sentence) => { why.textContent = sentence; };
    Q.method = () => row;
    const calibrates = () => {
      const one = row?.schemes.find((s) => s.name === scheme.value);
      return Boolean(one?.calibrates || (kv.value && !kvField.hidden));
    };
    const follow = () => {
      const one = row?.schemes.find((s) => s.name === scheme.value);
      groupField.hidden = !one?.groups;
      kvField.hidden = !row?.compressor;
      calibration.hidden = !calibrates();
      const set = [ignore.value && 'layers left out', keep.value && !keepField.hidden && 'mixed precision', name.value && 'named'].filter(Boolean);
      said.textContent = set.length ? ` · ${set.join(', ')}` : ` · ${['layers to leave out', !keepField.hidden && 'mixed precision', row?.options.length && 'options', 'name'].filter(Boolean).join(', ')}`;
    };
    const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
    const stop = (words) => (/[.:]$/.test(words) ? words : `${words}.`);
    // The row of the methods table.
    const describe = () => {
      const words = el('p'), facts = el('dl', 'qz-row'), reads = row.schemes.filter((s) => s.calibrates);
      words.append(el('b', '', row.title), document.createTextNode(` ${row.good} `), el('span', 'quiet', row.bad));
      const add = (name, ...parts) => { const pair = el('div'), said = el('dd'); said.append(...parts); pair.append(el('dt', '', name), said); facts.append(pair); };
      add('Text', reads.length === row.schemes.length ? 'Reads calibration text.' : reads.length ? `${reads.map((s) => s.name).join(', ')} read${reads.length === 1 ? 's' : ''} calibration text; the other schemes read none.` : 'Reads no calibration text.');
      if (row.group_rule) add('Groups', stop(capital(row.group_rule)));
      add('Result', stop(capital(row.format)));
      add('Hardware', row.hardware);
      const runs = row.engines.filter((e) => e.runs).map((e) => e.title), not = row.engines.filter((e) => !e.runs);
      add('Engines', [`Runs here in ${runs.join(' and ') || 'nothing that is installed'}.`, ...not.map((e) => `Not here in ${e.title}: ${stop(e.why)}`)].join(' '));
      if (row.architectures.length) add('Models', stop(row.architectures.map((a) => a.replace(/ForCausalLM$/, '')).join(', ')));
      if (/^https:\/\//.test(row.paper)) { const a = el('a', '', row.paper.replace(/^https:\/\//, '')); a.href = row.paper; a.target = '_blank'; a.rel = 'noopener noreferrer'; add('Paper', a); }
      about.replaceChildren(words, facts);
    };
    const draws = () => {
      options.replaceChildren();
      for (const o of row.options) {
        const node = o.kind === 'flag' ? select([['true', 'yes'], ['false', 'no']], o.default) : o.kind === 'value' && o.choices.length ? select(o.choices.map((c) => [c, c]), o.default) : input(o.default);
        node.name = o.name; node.dataset.initial = o.default;
        options.append(field(o.name, node, o.summary));
      }
      options.hidden = !row.options.length;
      ignore.placeholder = row.layers.ignore; ignoreField.lastChild.textContent = row.layers.ignore_rule;
      keep.placeholder = row.layers.keep; keepField.lastChild.textContent = row.layers.keep_rule; keepField.hidden = !row.layers.keep;
    };
    const take = (next, wanted) => {
      row = next;
      for (const node of methods.children) { const on = node.dataset.name === row.name; node.setAttribute('aria-checked', on); node.tabIndex = on ? 0 : -1; }
      const before = wanted || scheme.value;
      scheme.replaceChildren(...row.schemes.map((s) => { const o = el('option', '', s.words ? `${s.name} — ${s.words}` : s.name); o.value = s.name; return o; }));
      scheme.value = row.schemes.some((s) => s.name === before) ? before : row.schemes[0].name;
      describe(); draws(); follow(); ask();
    };
    const draw = () => {
      const next = P.json(props.value, null);
      if (!next) return;
      const first = !state;
      state = next;
      model.value = state.model; origin.textContent = state.origin;
      models.replaceChildren(...state.models.map((value) => { const o = el('option'); o.value = value; return o; }));
      trouble.replaceChildren(...(state.error ? [P.refused(state.error)] : []));
      Q.refusal = state.refusal;
      if (!first) { ask(true); return; }
      panels.bundled.textContent = `${state.calibration.bundled} samples written for this project: conversations and prose of several domains, code, a second language.`;
      for (const [key, node] of Object.entries(pairs)) node.value = state.calibration[key];
      file.accept = state.upload.suffixes.join(',');
      group.replaceChildren(...[['', 'auto'], ...state.group_sizes.map((n) => [String(n), String(n)])].map(([value, words]) => { const o = el('option', '', words); o.value = value; return o; }));
      const buttons = state.methods.map((m) => {
        const node = P.button('qz-method', '', () => take(m));
        node.setAttribute('role', 'radio'); node.dataset.name = m.name; node.setAttribute('aria-label', m.title);
        const line = el('span', 'line'), reads = m.schemes.filter((s) => s.calibrates).length;
        line.append(el('b', '', m.title), el('i', '', reads === m.schemes.length ? 'reads text' : reads ? 'some schemes read text' : 'no text'));
        node.append(line, el('span', 'good', m.good));
        if (m.missing) { node.disabled = true; node.append(el('span', 'missing', m.missing.filter(Boolean).join(' '))); }
        return node;
      });
      methods.replaceChildren(...buttons);
      P.arrows(methods, buttons, (node) => take(state.methods.find((m) => m.name === node.dataset.name)));
      const able = state.methods.filter((m) => !m.missing);
      const start = able.find((m) => m.name === state.default[0]) || able[0];
      if (start) take(start, state.default[1]);
    };
    model.addEventListener('change', () => { if (model.value.trim()) { trouble.replaceChildren(); trigger('model', { name: model.value.trim() }); } });
    for (const node of [scheme, group, kv]) node.addEventListener('change', () => { follow(); ask(); });
    for (const node of [samples, length, seed, hub, pasted, ignore, keep, name]) node.addEventListener('input', () => { follow(); ask(); });
    options.addEventListener('input', () => ask());

    // ---- a file, read here and sent in pieces that are acknowledged one by one
    const PIECE = 256 * 1024;
    let sending = null;
    const fail = (words, hint) => { sending = null; choice.upload = ''; got.textContent = ''; got.append(el('b', 'bad', words), document.createTextNode(hint ? ` ${hint}` : '')); file.value = ''; ask(); };
    const send = async (number) => {
      const job = sending;
      const slice = job.file.slice(number * PIECE, (number + 1) * PIECE), last = (number + 1) * PIECE >= job.file.size;
      let text;
      try { text = job.decoder.decode(await slice.arrayBuffer(), { stream: !last }); } catch { fail('The file is not UTF-8 text.', 'Save it as UTF-8.'); return; }
      if (sending !== job) return;
      got.textContent = `Sending ${job.file.name}: ${Math.round((100 * number * PIECE) / Math.max(1, job.file.size))}%`;
      trigger('piece', { name: job.file.name, number, last, text, serial: job.serial });
    };
    Q.uploaded = (v) => {
      if (!sending || v.serial !== sending.serial) return;
      if (v.error) { fail(v.error[0], v.error[1]); return; }
      if (!v.token) { send(v.number + 1); return; }
      got.textContent = `${sending.file.name}: ${v.rows.toLocaleString('en')} sample${v.rows === 1 ? '' : 's'}${v.skipped ? `, ${v.skipped.toLocaleString('en')} not usable` : ''}`;
      choice.upload = v.token; sending = null; file.value = ''; ask(true);
    };
    let uploads = 0;
    file.addEventListener('change', () => {
      const [one] = file.files;
      if (!one) return;
      if (one.size > state.upload.limit) { fail(`${one.name} has ${P.bytes(one.size)}; the page takes ${P.bytes(state.upload.limit)}.`, 'Use it by its path on the command line: --calibration FILE.'); return; }
      uploads += 1; choice.upload = '';
      sending = { file: one, decoder: new TextDecoder('utf-8', { fatal: true }), serial: uploads };
      send(0);
    });
    watch('value', draw); draw();

    const open = () => { if (Q.here() && !Q.started) { Q.started = true; trigger('model', { name: '' }); } };
    document.addEventListener('pg-page', open);
    setTimeout(open);
  };

  P.quantizeUpload = (element, props, watch) => {
    watch('value', () => { const v = P.json(props.value, null); if (v) Q.uploaded?.(v); });
  };

  // ---- what it will cost
  P.quantizeEstimate = (element, props, watch) => {
    const mount = element.querySelector('.pg-mount');
    const card = el('section', 'qz-cost');
    card.setAttribute('aria-label', 'What it will cost');
    const shown = el('div', 'shown'), trouble = el('div', 'ui-trouble'), notes = el('ul', 'qz-notes');
    shown.setAttribute('aria-live', 'polite'); trouble.setAttribute('aria-live', 'assertive');
    const go = P.button('ui-go', 'Quantize', () => Q.begin());
    const under = el('p', 'ui-under quiet', 'It runs in a process of its own: closing this page does not stop it.');
    card.append(shown, trouble, go, under, notes);
    mount.replaceChildren(card);
    let last = null, probed = false, busy = false, refused = null;
    const fact = (name, value, unit, tip, share) => {
      const line = el('div', 'ui-fact'), title = el('span', 'k', name);
      if (tip) { title.dataset.tip = tip; title.classList.add('tipped'); title.tabIndex = 0; }
      line.append(title, el('b', 'v', value), el('span', 'u', unit));
      if (share !== undefined) { const bar = el('i', 'bar'), fill = el('i'); fill.style.width = `${Math.min(100, Math.max(1, 100 * share))}%`; if (share > 1) fill.className = 'over'; bar.append(fill); line.append(bar); }
      return line;
    };
    const button = () => {
      const row = Q.method?.(), stale = !last || last.serial !== Q.asked;
      const no = Q.refusal || (last && last.error);
      go.disabled = busy || stale || Boolean(no);
      const time = last?.seconds ? `, ${P.between(last.seconds)}` : '';
      go.textContent = busy ? 'Queueing…' : no && !stale ? 'Cannot run: see why above' : row ? `Quantize with ${row.title}${stale ? '' : time}` : 'Quantize';
      if (no) go.dataset.tip = no.filter(Boolean).join(' '); else delete go.dataset.tip;
    };
    Q.stale = () => { card.classList.add('stale'); refused = null; complain(); button(); };
    const complain = () => {
      const error = Q.refusal || refused || (last && last.serial === Q.asked ? last.error : null);
      trouble.replaceChildren(...(error ? [P.refused(error)] : []));
    };
    Q.begin = () => {
      if (go.disabled) return;
      busy = true; refused = null; complain(); button();
      Q.queue();
    };
    Q.begun = (error) => { busy = false; refused = error; complain(); button(); };
    const draw = () => {
      const v = P.json(props.value, null);
      if (v && v.serial < Q.asked && v.measured && last && !last.measured) Q.ask(true);
      if (!v || v.serial < Q.asked) { button(); return; }
      last = v;
      card.classList.remove('stale');
      Q.why(v.group || '');
      notes.replaceChildren(...(v.reasons || []).map((words) => el('li', '', words)));
      if (v.after) {
        const title = el('h3', '', 'What comes out'), sizes = el('p', 'sizes'), ratio = el('p', 'ratio');
        sizes.append(el('span', '', P.bytes(v.before)), el('i', '', '→'), el('b', '', `${v.exact ? '' : '≈ '}${P.bytes(v.after)}`));
        const bits = el('span', 'tipped', `${v.bits_before.toFixed(1)} → ${v.bits.toFixed(1)} bits per weight`);
        bits.dataset.tip = 'All tensors of the checkpoint, in bits, over its parameters. What stays in 16 bits, the embeddings for instance, counts too.'; bits.tabIndex = 0;
        const times = v.before / v.after;
        ratio.append(document.createTextNode(times >= 1.005 ? `${times.toFixed(2)}× smaller · ` : times <= 0.995 ? `${(1 / times).toFixed(2)}× larger · ` : 'the same size · '), bits);
        const id = el('p', 'id', v.name);
        const list = el('div', 'ui-facts');
        list.append(
          fact('Time', v.seconds ? P.between(v.seconds) : v.measured ? '–' : '…', v.seconds ? 'on this machine' : 'measuring this machine once, about 10 s', 'From a measured model of this machine and the work that the recipe takes.'),
          fact('Peak memory', v.memory.map((n) => P.bytes(n)).join('–').replace(/ (GB|MB)–(.*\1)/, '–$2'), `of ${P.bytes(v.memory_free)} free`, 'Resident bytes of the worker at its worst moment: a range, because copies may or may not live at once.', v.memory[1] / v.memory_free),
          fact('Disk', P.bytes(v.disk), `of ${P.bytes(v.disk_free)} free`, 'The variant, its tokenizer, and what is compared when it is loaded again.', v.disk / v.disk_free));
        shown.replaceChildren(title, sizes, ratio, id, list);
        if (!v.measured && !probed) { probed = true; Q.probe(); }
      } else {
        shown.replaceChildren(el('h3', '', 'What comes out'), el('p', 'sizes none', '–'), el('p', 'ratio', 'This cannot be made as it is.'));
      }
      complain(); button();
    };
    shown.replaceChildren(el('h3', '', 'What comes out'), el('p', 'sizes none', '–'), el('p', 'ratio', 'Reading the model…'));
    watch('value', draw); draw();
  };
})();
