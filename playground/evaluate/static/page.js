// The Evaluate page: what to compare, on which tasks, and what so many items can show. Results: run.js.
(() => {
  const P = window.Playground;
  const { el } = P;
  const E = (P.evaluate = { asked: 0 });
  const LOST_MS = 8000;
  E.here = () => P.page() === 'evaluate';
  E.points = (share) => `${(100 * share).toFixed(1).replace(/\.0$/, '')}`;
  const count = (n) => n.toLocaleString('en');

  // Before the keys of the Compare page, whose buttons are still there.
  document.addEventListener('keydown', (e) => {
    if (!E.here()) return;
    if (e.key === 'Escape') { e.stopImmediatePropagation(); P.untip(); P.keep?.(); E.calm?.(); }
    else if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); e.stopImmediatePropagation(); E.begin?.(); }
  }, true);

  const legend = (words, tip) => { const node = el('span', tip ? 'legend tipped' : 'legend', words); if (tip) { node.dataset.tip = tip; node.tabIndex = 0; } return node; };
  // A line with a check box: what it is, what to know of it, and why it cannot be chosen.
  const tick = (name, on, change, { small, tag, tip, why } = {}) => {
    const line = el('label', 'ev-tick'), box = el('input'), words = el('span', 'words');
    box.type = 'checkbox'; box.checked = on; box.disabled = Boolean(why);
    box.addEventListener('change', () => change(box.checked));
    words.append(el('b', '', name), ...(tag ? [el('i', 'role', tag)] : []), el('small', '', why || small || ''));
    if (tip) line.dataset.tip = tip;
    line.append(box, words);
    return line;
  };

  P.evaluateForm = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount');
    const card = el('section', 'ev-form');
    card.setAttribute('aria-label', 'What to evaluate');
    const head = el('div', 'ui-head');
    head.append(el('h2', '', 'What did it cost in quality?'), el('p', 'quiet', 'The same items to every variant, each answer held against the reference’s own; what so few items cannot tell apart is called so.'));
    const models = el('datalist'); models.id = 'ev-models';
    const model = P.input(''); model.setAttribute('list', 'ev-models'); model.setAttribute('aria-label', 'Model to evaluate');
    const origin = el('span', 'ev-origin'), pick = el('div', 'ev-model'), trouble = el('div', 'ui-trouble');
    pick.append(model, origin, models);

    const variants = el('div', 'ev-part'), variantHead = el('div', 'ev-part-head'), variantList = el('div', 'ev-ticks');
    const reference = P.select([]); reference.setAttribute('aria-label', 'Reference');
    const against = el('label', 'ev-against'); against.append(el('span', '', 'against'), reference);
    variantHead.append(legend('Variants'), against);
    variants.setAttribute('role', 'group'); variants.setAttribute('aria-label', 'Variants'); variants.append(variantHead, variantList);

    const tasks = el('div', 'ev-part'), taskHead = el('div', 'ev-part-head'), taskList = el('div', 'ev-ticks two'), results = el('div', 'ev-found');
    const search = P.input(''); search.type = 'search'; search.placeholder = 'Search lm-evaluation-harness'; search.setAttribute('aria-label', 'Search tasks');
    taskHead.append(legend('Tasks', 'Bundled tasks were written for this project and need no network: they are not the benchmarks. CoQA and GSM8K come from the hub, or from PLAYGROUND_DATASETS.'), search);
    tasks.setAttribute('role', 'group'); tasks.setAttribute('aria-label', 'Tasks'); tasks.append(taskHead, results, taskList);

    const limit = P.input('', 'numeric'), shots = P.input('', 'numeric');
    const chat = P.select([['', 'no: the bare prompt'], ['1', 'yes: as a turn of a chat']]);
    const fields = el('div', 'ev-fields');
    fields.append(
      P.field('Items of each task', limit, 'empty: all of them', 'The first so many items. Fewer items make a sample: quicker, and blind to small losses.'),
      P.field('Examples before each', shots, 'few-shot; empty: the task’s own', 'How many solved examples stand before each question.'),
      P.field('Chat template', chat, 'the same on both sides', 'Whether the prompt is wrapped as the model’s chat template wants it. It moves scores, so it is recorded.'));
    const also = el('div', 'ev-also'), diverge = el('input'), speed = el('input');
    const measure = (box, words, small) => { const line = el('label', 'ev-tick'), said = el('span', 'words'); box.type = 'checkbox'; said.append(el('b', '', words), el('small', '', small)); line.append(box, said); return line; };
    diverge.checked = true;
    also.append(measure(diverge, 'Divergence', 'how far each token’s distribution moved (KLD), on running text'), measure(speed, 'Speed', 'decode tok/s of every variant, on its engine'));

    const more = el('details', 'ui-more'), summary = el('summary', '', 'More settings'), said = el('span', 'ui-said quiet'), grid = el('div', 'ev-fields more');
    const engine = P.select([['', 'transformers: exact, and what task scores are compared on'], ['vllm', 'vLLM server: faster for many items']]);
    const batch = P.input('', 'numeric'), seed = P.input('', 'numeric'), generation = P.input(''), text = P.input(''), tokens = P.input('', 'numeric');
    const turns = P.select([['', 'in one message'], ['1', 'as turns of the conversation']]), thinking = P.select([['', 'score the whole answer'], ['1', 'score what follows </think>']]);
    generation.placeholder = 'max_gen_toks=512, temperature=0.6';
    grid.append(
      P.field('Engine', engine), P.field('Batch size', batch, 'prompts at once', 'The same on both sides: it moves BF16 results a little.'), P.field('Seed', seed, 'empty: lm-eval’s own'),
      P.field('Examples', turns, 'with the chat template'), P.field('Reasoning', thinking, 'of models that think aloud'), P.field('Generation', generation, 'replaces the task’s own arguments'),
      P.field('Text for divergence', text, 'bundled, or a data set of the hub'), P.field('Tokens of text', tokens, 'at most'));
    summary.append(said); more.append(summary, grid);
    card.append(head, pick, trouble, variants, tasks, fields, also, more);
    for (const list of [variantList, taskList]) list.append(el('p', 'quiet ev-reading', 'Reading…'));
    mount.replaceChildren(card);

    let state = null, timer = 0, looking = 0, searches = 0;
    const chosen = new Set(), asked = new Map(); // variants; tasks by name
    const data = () => ({
      model: model.value.trim(), reference: reference.value, variants: [...chosen], tasks: [...asked.keys()], limit: limit.value, few_shot: shots.value,
      chat_template: Boolean(chat.value), multiturn: Boolean(turns.value), divergence: diverge.checked, speed: speed.checked, text: text.value, tokens: tokens.value,
      engine: engine.value, batch_size: batch.value, seed: seed.value, generation: generation.value, strip_thinking: Boolean(thinking.value),
    });
    const ask = (now) => {
      clearTimeout(timer);
      E.asked += 1;
      E.stale?.();
      const serial = E.asked;
      timer = setTimeout(() => trigger('plan', { ...data(), serial }), now ? 0 : 250);
    };
    const fold = () => {
      said.textContent = ` · ${[engine.value || 'transformers', `batch ${batch.value || state?.default.batch_size}`, seed.value ? `seed ${seed.value}` : 'lm-eval’s seeds', generation.value || 'generation as the task has it', chat.value && turns.value && 'examples as turns', thinking.value && 'after </think>', diverge.checked && `${Number(tokens.value || 0).toLocaleString('en')} tokens of ${text.value === 'bundled' ? 'bundled prose' : text.value}`].filter(Boolean).join(' · ')}`;
    };
    E.ask = ask;
    E.pace = () => trigger('pace', { ...data(), serial: E.asked });
    E.send = (serial, logs) => trigger('begin', { ...data(), serial, logs });

    const drawVariants = () => {
      const others = state.variants.filter((v) => v.id !== reference.value);
      variantList.replaceChildren(...others.map((v) => tick(v.label, chosen.has(v.id), (on) => { if (on) chosen.add(v.id); else chosen.delete(v.id); ask(); },
        { small: [v.size, v.bits && `${v.bits.toFixed(1)} bits per weight`].filter(Boolean).join(' · '), tag: v.stored ? 'made here' : v.reference ? 'original' : '', tip: `${v.id}\n${v.source}`, why: v.why })));
      if (!others.length) variantList.append(el('p', 'quiet', 'No other variant of this model can be loaded here.'));
    };
    const taskTick = (t) => {
      const kind = t.group ? 'group' : '';
      const small = [t.full && `${count(t.full)} items`, t.about].filter(Boolean).join(' · ');
      return tick(t.bundled ? t.name : t.title, asked.has(t.name), (on) => { if (on) asked.set(t.name, t); else asked.delete(t.name); drawTasks(); ask(); },
        { small: small || (t.bundled || t.title === t.name ? '' : t.name), tag: kind, tip: t.name, why: t.unsafe ? 'runs code that the model writes: command line only' : '' });
    };
    const drawTasks = () => {
      const known = new Set(state.tasks.map((t) => t.name)), extra = [...asked.keys()].filter((name) => !known.has(name)).join();
      for (const node of tasks.querySelectorAll('.ev-tick')) node.querySelector('input').checked = asked.has(node.dataset.tip);
      if (taskList.dataset.extra === extra) return; // whoever is in the list keeps the place
      taskList.dataset.extra = extra;
      taskList.replaceChildren(...[...state.tasks, ...[...asked.values()].filter((t) => !known.has(t.name))].map(taskTick));
    };
    const draw = () => {
      const next = P.json(props.value, null);
      if (!next) return;
      const first = !state;
      const changed = state?.model !== next.model;
      state = next;
      model.value = state.model; origin.textContent = state.origin;
      models.replaceChildren(...state.models.map((name) => { const o = el('option'); o.value = name; return o; }));
      trouble.replaceChildren(...(state.error ? [P.refused(state.error)] : []));
      E.refusal = state.refusal;
      if (first) {
        for (const [node, key] of [[limit, 'limit'], [batch, 'batch_size'], [text, 'text'], [tokens, 'tokens']]) node.value = state.default[key];
        for (const t of state.tasks.filter((one) => one.bundled && !one.group).slice(0, 4)) asked.set(t.name, t);
        if (!asked.size && state.tasks.length) asked.set(state.tasks.at(-1).name, state.tasks.at(-1));
      }
      if (changed) {
        chosen.clear();
        reference.replaceChildren(...state.variants.map((v) => { const o = el('option', '', v.label); o.value = v.id; return o; }));
        reference.value = state.variants.find((v) => v.reference)?.id || state.variants[0]?.id || '';
        const able = state.variants.filter((v) => !v.reference && !v.why);
        const start = able.filter((v) => v.stored).slice(0, 4);
        for (const v of start.length ? start : able.filter((one) => /nf4/i.test(one.label)).slice(0, 1)) chosen.add(v.id);
      }
      drawVariants(); drawTasks(); fold(); ask(true);
    };
    reference.addEventListener('change', () => { chosen.delete(reference.value); drawVariants(); ask(); });
    model.addEventListener('change', () => { if (model.value.trim()) { trouble.replaceChildren(); trigger('model', { name: model.value.trim() }); } });
    for (const node of [limit, shots, batch, seed, generation, text, tokens]) node.addEventListener('input', () => { fold(); ask(); });
    for (const node of [chat, engine, turns, thinking, diverge, speed]) node.addEventListener('change', () => { fold(); ask(); });

    // ---- search: the list opens under the box and closes with Escape
    E.calm = () => { results.replaceChildren(); looking = 0; };
    search.addEventListener('input', () => {
      clearTimeout(looking);
      if (search.value.trim().length < 2) { E.calm(); return; }
      looking = setTimeout(() => {
        searches += 1;
        if (!results.childElementCount) results.replaceChildren(el('p', 'quiet', 'Searching; the first search reads the list of 14,000 tasks, which takes some seconds.'));
        trigger('search', { text: search.value.trim(), serial: searches });
      }, 300);
    });
    E.found = (v) => {
      if (v.serial !== searches || search.value.trim().length < 2) return;
      if (v.error) { results.replaceChildren(P.refused(v.error)); return; }
      const words = v.tasks.length ? `${count(v.tasks.length + v.more)} task${v.tasks.length + v.more === 1 ? '' : 's'} and groups${v.more ? `, the first ${v.tasks.length}` : ''}` : `No task holds “${v.text}”.`;
      const list = el('div', 'ev-ticks two list'); list.append(...v.tasks.map(taskTick));
      const top = el('div', 'ev-found-head'); top.append(el('span', 'quiet', words), P.button('ui-small', 'Close', () => { search.value = ''; E.calm(); search.focus(); }));
      results.replaceChildren(top, ...(v.tasks.length ? [list] : []));
    };
    watch('value', draw); draw();

    // Asked again where an answer does not come: the first question may be sent before anybody listens.
    let opened = -Infinity;
    const open = () => { if (E.here() && !state && performance.now() - opened > LOST_MS) { opened = performance.now(); trigger('model', { name: '' }); } };
    document.addEventListener('pg-page', open);
    setTimeout(open); setInterval(open, 1000);
  };

  P.evaluateTasks = (element, props, watch) => {
    watch('value', () => { const v = P.json(props.value, null); if (v) E.found?.(v); });
  };

  // ---- what it takes, and what so many items can show
  P.evaluatePlan = (element, props, watch) => {
    const mount = element.querySelector('.pg-mount');
    const card = el('section', 'ev-plan');
    card.setAttribute('aria-label', 'What it takes and what it can show');
    const shown = el('div', 'shown'), trouble = el('div', 'ui-trouble');
    shown.setAttribute('aria-live', 'polite'); trouble.setAttribute('aria-live', 'assertive');
    const go = P.button('ui-go', 'Evaluate', () => E.begin());
    card.append(shown, trouble, go, el('p', 'ui-under quiet', 'It runs in a process of its own: closing this page does not stop it, and what is done is kept.'));
    mount.replaceChildren(card);
    let last = null, busy = false, refused = null;
    const complain = () => {
      const error = E.refusal || refused || (last && last.serial === E.asked ? last.error : null);
      trouble.replaceChildren(...(error ? [P.refused(error)] : []));
    };
    const button = () => {
      const stale = !last || last.serial !== E.asked, no = E.refusal || last?.error;
      go.disabled = busy || stale || Boolean(no);
      go.textContent = busy ? 'Queueing…' : no && !stale ? 'Cannot run: see why above' : `${last?.button || 'Evaluate'}${!stale && last?.time?.seconds && !last.time.missing.length ? `, ${P.between(last.time.seconds)}` : ''}`;
    };
    E.stale = () => { card.classList.add('stale'); refused = null; complain(); button(); };
    E.begin = () => { if (go.disabled) return; busy = true; refused = null; complain(); button(); E.queue(); };
    E.begun = (error) => { busy = false; refused = error; complain(); button(); };
    let paced = -1, waiting = 0;
    // How long: a range, what it rests on, and what is not in it.
    const time = (t) => {
      const box = el('p', 'ev-time'), value = el('b', '', t.seconds ? `${t.missing.length ? 'at least ' : ''}${P.between(t.missing.length ? [t.seconds[0], t.seconds[0]] : t.seconds)}` : t.measures && !E.refusal ? '…' : '–');
      box.append(el('span', 'name tipped', 'Time'), value, el('span', 'quiet', t.seconds ? 'on this machine' : t.measures && !E.refusal ? 'measuring how fast each variant is here, once' : ''));
      const tip = [...t.rests_on, ...t.missing].join('\n');
      box.firstChild.dataset.tip = tip || 'Nothing is known of it yet.'; box.firstChild.tabIndex = 0;
      if (t.missing.length) box.append(el('small', '', t.missing.join(' ')));
      return box;
    };
    const draw = () => {
      const v = P.json(props.value, null);
      if (!v || v.serial < E.asked) { button(); return; }
      last = v;
      card.classList.remove('stale');
      const title = el('h3', '', 'What it takes and can show');
      if (v.error) { shown.replaceChildren(title, el('p', 'big none', '–')); complain(); button(); return; }
      const alone = Boolean(v.text?.alone), big = el('p', 'big', alone ? (v.text.tokens ? count(v.text.tokens) : 'all') : v.answers === null ? '–' : count(v.answers)), what = el('p', 'ratio');
      const text = v.text && `${v.text.tokens ? `${count(v.text.tokens)} tokens` : 'all'} of ${v.text.name === 'bundled' ? 'bundled prose' : v.text.name}`;
      what.textContent = alone ? `tokens of ${v.text.name === 'bundled' ? 'bundled prose' : v.text.name}, read by ${v.variants} variants and once more for the noise floor` : v.items === null ? `answers: all items of each task × ${v.variants} variants` : `answers: ${count(v.items)} items × ${v.variants} variants${v.sample ? '; a sample, not the benchmark’s score' : ''}`;
      const extra = [!alone && v.text && `divergence on ${text}`, v.speed && 'speed'].filter(Boolean);
      const table = el('table', 'ev-sees'), names = el('tr'), body = el('tbody'), top = el('thead');
      for (const words of ['task', 'n', 'sees drops of']) { const th = el('th', '', words); th.scope = 'col'; names.append(th); }
      names.lastChild.classList.add('tipped'); names.lastChild.tabIndex = 0;
      names.lastChild.dataset.tip = `The smallest loss that so many paired items show in 80 of 100 evaluations, at the 5% level, when ${Math.round(100 * v.discordance)}% of the answers change. What is smaller reads “not distinguishable”.`;
      top.append(names);
      for (const t of v.tasks) {
        const line = el('tr'), name = el('th', '', t.name), last_ = el('td', 'sees');
        name.scope = 'row';
        last_.append(...(t.smallest_drop === null ? [el('span', 'quiet', '–')] : [el('b', '', E.points(t.smallest_drop)), el('span', 'quiet', ' points or more')]));
        line.append(name, el('td', '', t.n === null ? 'all' : count(t.n)), last_); body.append(line);
      }
      table.append(top, body);
      const note = alone ? el('p', 'ratio ev-alone', 'Without tasks: how far each distribution moved, which ranks variants and says nothing of a score. Speed alone is on the Speed page.') : null;
      shown.replaceChildren(title, big, what, ...(extra.length ? [el('p', 'ratio', `and ${extra.join(' and ')} of each`)] : []), time(v.time), ...(alone ? [note] : [table]));
      complain(); button();
      if (v.time.measures && !E.refusal && paced !== v.serial) { paced = v.serial; clearTimeout(waiting); waiting = setTimeout(() => { if (v.serial === E.asked && E.here()) E.pace(); }, 700); }
    };
    shown.replaceChildren(el('h3', '', 'What it takes and can show'), el('p', 'big none', '–'), el('p', 'ratio', 'Reading the model…'));
    watch('value', draw); draw();
  };
})();
