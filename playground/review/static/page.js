// The Reviews page: what people shall vote on, who they are, and what so many votes can show.
(() => {
  const P = window.Playground;
  const { el } = P;
  const R = (P.reviews = { asked: 0 });
  const LOST_MS = 8000, MAX_FILE = 2 ** 20;
  R.here = () => P.page() === 'reviews';
  R.count = (n, what) => `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`;
  R.percent = (share) => `${Math.round(100 * share)} %`;

  document.addEventListener('keydown', (e) => {
    if (!R.here()) return;
    if (e.key === 'Escape') { e.stopImmediatePropagation(); P.untip(); P.keep?.(); }
    else if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); e.stopImmediatePropagation(); R.begin?.(); }
  }, true);

  const tick = (name, small, on, change, why, tip) => {
    const line = el('label', 'rv-tick'), box = el('input'), words = el('span', 'words');
    box.type = 'checkbox'; box.checked = on; box.disabled = Boolean(why);
    box.addEventListener('change', () => change(box.checked));
    words.append(el('b', '', name), el('small', '', why || small || ''));
    if (tip) line.dataset.tip = tip;
    line.append(box, words);
    return line;
  };
  const part = (name, ...nodes) => { const box = el('div', 'rv-part'); box.setAttribute('role', 'group'); box.setAttribute('aria-label', name); box.append(el('span', 'legend', name), ...nodes); return box; };

  P.reviewForm = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount');
    const card = el('section', 'rv-form'), head = el('div', 'ui-head'), body = el('div', 'rv-body'), trouble = el('div', 'ui-trouble');
    card.setAttribute('aria-label', 'What is to be reviewed');
    head.append(el('h2', '', 'Do people notice?'), el('p', 'quiet', 'A blind review: people see two answers and vote, without knowing which variant gave which. They need a link, no account.'));
    card.append(head, trouble, body);
    mount.replaceChildren(card);

    let state = null, timer = 0, file = '';
    const chosen = new Set(), runs = new Set();
    const values = { source: 'prompts', prompts: 'bundled', pairs: 'reference', reveal: 'end' };
    const models = el('datalist'); models.id = 'rv-models';
    const model = P.input(''); model.setAttribute('list', 'rv-models'); model.setAttribute('aria-label', 'Model to review');
    const origin = el('span', 'rv-origin quiet'), reference = P.select([]), variantList = el('div', 'rv-ticks'), runList = el('div', 'rv-ticks runs');
    reference.setAttribute('aria-label', 'Reference');
    const count = P.input('', 'numeric'), own = P.area(5, 'One prompt a line, or parted by empty lines'), pick = el('input'), picked = el('span', 'quiet');
    own.setAttribute('aria-label', 'Your own prompts');
    pick.type = 'file'; pick.accept = '.jsonl,.txt'; pick.className = 'ui-clip'; pick.setAttribute('aria-label', 'File of prompts');
    const title = P.input(''), names = P.area(3, 'Anna\nBen'), common = el('input'), places = P.input('', 'numeric');
    names.setAttribute('aria-label', 'Names of reviewers');
    const pairs = P.select([['reference', 'each variant against the reference'], ['all', 'each against each']]);
    const reveal = P.select([['end', 'after their last vote'], ['never', 'never'], ['item', 'after each vote (two variants, invited reviewers)']]);
    const tokens = P.input('', 'numeric'), temperature = P.input('0', 'decimal'), seed = P.input('0', 'numeric');

    const data = () => ({
      source: values.source, prompts: values.prompts, model: model.value.trim(), reference: reference.value, variants: [...chosen], runs: [...runs], count: count.value, text: values.prompts === 'own' ? own.value : '', file,
      title: title.value, invitations: names.value, common: common.checked, places: places.value, pairs: pairs.value, reveal: reveal.value, max_tokens: tokens.value, temperature: temperature.value, seed: seed.value,
    });
    const ask = (now) => {
      clearTimeout(timer);
      R.asked += 1; R.stale?.();
      const serial = R.asked;
      timer = setTimeout(() => trigger('plan', { ...data(), serial }), now ? 0 : 300);
    };
    R.ask = ask;
    R.send = (serial, logs) => trigger('begin', { ...data(), serial, logs });

    const fromPrompts = el('div'), fromRuns = el('div');
    const source = P.radios('Where the answers come from', [['prompts', 'Prompts'], ['runs', 'Stored comparisons']], (value) => { values.source = value; show(); ask(); });
    const set = P.radios('Which prompts', [['bundled', 'Bundled'], ['own', 'Your own']], (value) => { values.prompts = value; show(); ask(); });
    const pickButton = P.button('ui-quiet', 'Open a file…', () => pick.click());
    const bundledFields = el('div', 'rv-fields'), ownBox = el('div'), ownFoot = el('div', 'rv-file');
    bundledFields.append(P.field('How many', count, 'empty: all of them', 'Short questions of eight kinds, written for this project; they are neither calibration nor evaluation text.'));
    ownFoot.append(pickButton, pick, picked); ownBox.append(own, ownFoot);
    const setRow = el('div', 'rv-set'); setRow.append(set, bundledFields, ownBox);
    const pickModel = el('div', 'rv-model'), against = el('label', 'rv-against'); pickModel.append(model, origin, models);
    against.append(el('span', '', 'against'), reference);
    const variantPart = part('Variants', against, variantList);
    fromPrompts.append(pickModel, variantPart, part('Prompts', setRow));
    fromRuns.append(part('Comparisons', runList));
    const sampling = el('details', 'ui-more'), said = el('span', 'ui-said quiet'), summary = el('summary', '', 'How they answer'), grid = el('div', 'rv-fields three');
    summary.append(said); grid.append(P.field('Longest answer', tokens, 'tokens'), P.field('Temperature', temperature, '0 is greedy'), P.field('Seed', seed));
    sampling.append(summary, grid); fromPrompts.append(sampling);
    const commonLine = el('div', 'rv-common'), commonLabel = el('label', 'rv-tick'), commonWords = el('span', 'words');
    common.type = 'checkbox'; commonWords.append(el('b', '', 'A common link as well'), el('small', '', 'whoever has it can vote once in a browser; names are then shown when you close the review'));
    places.setAttribute('aria-label', 'Places of the common link'); commonLabel.append(common, commonWords);
    const placesBox = el('span', 'rv-places'); placesBox.append(places, el('span', 'quiet', 'people at most'));
    commonLine.append(commonLabel, placesBox);
    const people = part('Reviewers', names, commonLine);
    names.insertAdjacentElement('beforebegin', el('p', 'quiet rv-hint', 'One name a line; each gets a link of their own. Only you see the names.'));
    const terms = el('div', 'rv-fields'); 
    terms.append(P.field('Title', title, 'reviewers read it: no names of variants'), P.field('Pairs', pairs), P.field('Reviewers learn the names', reveal));
    body.append(source, fromPrompts, fromRuns, people, terms);

    const show = () => {
      fromPrompts.hidden = values.source !== 'prompts'; fromRuns.hidden = values.source !== 'runs';
      bundledFields.hidden = values.prompts !== 'bundled'; ownBox.hidden = values.prompts !== 'own';
      placesBox.hidden = !common.checked;
      said.textContent = ` · ${Number(temperature.value) ? `temperature ${temperature.value}` : 'greedy'} · ${tokens.value} tokens · seed ${seed.value}`;
    };
    const drawVariants = () => {
      const others = state.variants.filter((v) => v.id !== reference.value);
      variantList.replaceChildren(...others.map((v) => tick(v.label, [v.size, v.bits && `${v.bits.toFixed(1)} bits per weight`].filter(Boolean).join(' · '), chosen.has(v.id), (on) => { if (on) chosen.add(v.id); else chosen.delete(v.id); ask(); }, v.why, `${v.id}\n${v.source}`)));
      if (!others.length) variantList.append(el('p', 'quiet', 'No other variant of this model can be loaded here.'));
    };
    const drawRuns = () => {
      runList.replaceChildren(...state.runs.map((run) => tick(run.title, `${run.labels.join(', ')} · ${P.when(run.created)}`, runs.has(run.id), (on) => { if (on) runs.add(run.id); else runs.delete(run.id); ask(); })));
      if (!state.runs.length) runList.append(el('p', 'quiet', 'No comparison is stored yet: ask something on the Compare page.'));
    };
    const draw = () => {
      const next = P.json(props.value, null);
      if (!next) return;
      R.refusal = next.refusal;
      trouble.replaceChildren(...(next.refusal || next.error ? [P.refused(next.refusal || next.error)] : []));
      body.hidden = Boolean(next.refusal);
      document.getElementById('pg-reviews').classList.toggle('refused', Boolean(next.refusal));
      if (next.refusal) { state = next; return; }
      const first = !state || !state.variants, changed = state?.model !== next.model;
      state = next;
      model.value = state.model; origin.textContent = state.origin;
      models.replaceChildren(...state.models.map((name) => { const o = el('option'); o.value = name; return o; }));
      if (first) {
        title.value = state.default.title; tokens.value = state.default.max_tokens; places.value = state.default.places; count.placeholder = String(state.bundled);
      }
      if (changed || first) {
        chosen.clear();
        reference.replaceChildren(...state.variants.map((v) => { const o = el('option', '', v.label); o.value = v.id; return o; }));
        reference.value = state.variants.find((v) => v.reference)?.id || state.variants[0]?.id || '';
        for (const v of state.variants.filter((one) => !one.reference && !one.why && /nf4/i.test(one.label)).slice(0, 1)) chosen.add(v.id);
      }
      drawVariants(); drawRuns(); show(); ask(true);
    };
    R.offerRuns = () => { if (state && !state.refusal) trigger('model', { name: state.model }); };
    reference.addEventListener('change', () => { chosen.delete(reference.value); drawVariants(); ask(); });
    model.addEventListener('change', () => { if (model.value.trim()) trigger('model', { name: model.value.trim() }); });
    for (const node of [count, title, names, places, tokens, temperature, seed]) node.addEventListener('input', () => { show(); ask(); });
    own.addEventListener('input', () => { file = ''; picked.textContent = ''; ask(); });
    for (const node of [pairs, reveal, common]) node.addEventListener('change', () => { show(); ask(); });
    pick.addEventListener('change', async () => {
      const found = pick.files[0];
      pick.value = '';
      if (!found) return;
      if (found.size > MAX_FILE) { picked.textContent = `${found.name} has ${(found.size / MAX_FILE).toFixed(1)} MiB; 1 MiB is the limit.`; return; }
      own.value = await found.text(); file = found.name; picked.textContent = found.name; ask();
    });
    watch('value', draw); draw(); show();

    // Asked again where an answer does not come: the first question may be sent before anybody listens.
    let opened = -Infinity;
    const open = () => { if (R.here() && !state && performance.now() - opened > LOST_MS) { opened = performance.now(); trigger('model', { name: '' }); } };
    document.addEventListener('pg-page', open);
    setTimeout(open); setInterval(open, 1000);
  };

  P.reviewPlan = (element, props, watch) => {
    const mount = element.querySelector('.pg-mount');
    const card = el('section', 'rv-plan'), shown = el('div', 'shown'), trouble = el('div', 'ui-trouble');
    card.setAttribute('aria-label', 'What it takes and what it can show');
    shown.setAttribute('aria-live', 'polite'); trouble.setAttribute('aria-live', 'assertive');
    const go = P.button('ui-go', 'Make the review', () => R.begin());
    const under = el('p', 'ui-under quiet', '');
    card.append(shown, trouble, go, under);
    mount.replaceChildren(card);
    let last = null, busy = false, refused = null;
    const complain = () => { const error = refused || (last && last.serial === R.asked ? last.error : null); trouble.replaceChildren(...(error && !R.refusal ? [P.refused(error)] : [])); };
    const button = () => {
      const stale = !last || last.serial !== R.asked, no = R.refusal || last?.error;
      go.disabled = busy || stale || Boolean(no);
      go.textContent = busy ? 'One moment…' : no && !stale ? 'Cannot begin: see why above' : last?.button || 'Make the review';
      under.textContent = last?.answers === null ? 'The texts stay as they are stored.' : 'It runs in a process of its own: closing this page does not stop it.';
    };
    R.stale = () => { card.classList.add('stale'); refused = null; complain(); button(); };
    R.begin = () => { if (go.disabled) return; busy = true; refused = null; complain(); button(); R.queue(); };
    R.begun = (error) => { busy = false; refused = error; complain(); button(); };
    const draw = () => {
      const v = P.json(props.value, null);
      if (!v || v.serial < R.asked) { button(); return; }
      last = v;
      card.classList.remove('stale');
      const heading = el('h3', '', 'What it takes and can show');
      if (v.error) { shown.replaceChildren(heading, el('p', 'big none', '–')); complain(); button(); return; }
      const facts = el('div', 'facts');
      const fact = (k, value, unit) => { const node = el('div', 'ui-fact'); node.append(el('span', 'k', k), el('span', 'v', value), el('span', 'u', unit)); facts.append(node); };
      fact('A reviewer’s votes', v.items.toLocaleString('en'), `about ${v.minutes} min of reading`);
      if (v.answers !== null) fact('Answers to make', v.answers.toLocaleString('en'), `${R.count(v.prompts, 'prompt')} × ${v.variants} variants`);
      fact('Links', String(v.reviewers + (v.places ? 1 : 0)), [v.reviewers && R.count(v.reviewers, 'invitation'), v.places && `a common one for ${v.places}`].filter(Boolean).join(', '));
      const sees = el('p', 'rv-sees'); sees.append('The votes of one reviewer on ', el('b', '', R.count(v.prompts, 'prompt')), ' show a preference in ', el('b', '', v.sees > 0.995 ? 'every vote' : `${R.percent(v.sees)} or more`), '. What is weaker reads “could not tell”.');
      shown.replaceChildren(heading, facts, sees);
      complain(); button();
    };
    shown.replaceChildren(el('h3', '', 'What it takes and can show'), el('p', 'big none', '–'));
    watch('value', draw); draw();
  };
})();
