// What came of the Quantize form: the jobs while they work, and a card for each variant. Plots: plots.js.
(() => {
  const P = window.Playground;
  const { el } = P;
  const Q = P.quantize;

  const big = (words, value, small, tip, cls) => {
    const box = el('div', `qz-num ${cls || ''}`);
    box.append(el('b', '', value), el('span', '', words));
    box.append(el('small', '', small || ''));
    if (tip) { box.dataset.tip = tip; box.tabIndex = 0; }
    return box;
  };
  const text = (title, body, ...acts) => {
    const box = el('div', 'qz-text'), top = el('div', 'qz-text-head'), pre = el('pre', '', body);
    top.append(el('h4', '', title), ...acts); box.append(top, pre);
    return box;
  };
  const off = (actual, guess) => { const share = (actual - guess) / guess; return Math.abs(share) < 0.0005 ? 'as estimated' : `${share > 0 ? '+' : '−'}${Math.abs(100 * share).toFixed(Math.abs(share) < 0.1 ? 1 : 0)}% against the estimate`; };
  const within = (actual, [low, high], words) => (actual < low ? `below the estimate of ${words}` : actual > high ? `above the estimate of ${words}` : `within the estimate of ${words}`);
  // What a variant gained and where it hurt, from its row and its card alone: the numbers first, the checks last.
  Q.card = (row, card) => {
    let draw = () => {};
    const guess = card.estimate, nums = el('div', 'qz-nums');
    const ratio = row.before ? row.before / row.after : null;
    nums.append(big('on disk, weights', P.bytes(row.after), [row.before && `from ${P.bytes(row.before)}`, guess && off(row.after, guess.after)].filter(Boolean).join(' · '), 'All tensors of the checkpoint.', 'first'));
    if (ratio) nums.append(big(ratio >= 1 ? 'smaller' : 'larger', `${(ratio >= 1 ? ratio : 1 / ratio).toFixed(2)}×`, 'compression ratio'));
    nums.append(big('bits per weight', row.bits.toFixed(2), row.bits_before ? `from ${row.bits_before.toFixed(1)}` : '', 'All tensors in bits over the parameters: what stays in 16 bits counts too.'));
    if (row.seconds) nums.append(big('to make', P.span(row.seconds), guess?.seconds ? within(row.seconds, guess.seconds, P.between(guess.seconds)) : '', Object.entries(card.stages).map(([k, v]) => `${k} ${P.span(v)}`).join(', ')));
    if (row.peak) nums.append(big('peak memory', P.bytes(row.peak), guess ? within(row.peak, guess.peak, guess.peak.map((n) => P.bytes(n)).join('–')) : ''));
    const parts = [nums];
    if (card.layers.length) {
      const where = el('section', 'qz-where'), top = el('div', 'qz-text-head'), area = el('div', 'area');
      top.append(el('h4', '', 'Where did it hurt?'), Q.heatLegend(card.layers));
      where.append(top, el('p', 'quiet', card.hurt), area);
      parts.push(where);
      draw = () => Q.heat(area, card.layers);
    }
    const r = row.reload, checks = el('section', 'qz-checks');
    checks.append(el('h4', '', 'Loaded again in a fresh process'));
    if (r) {
      const list = el('div', 'qz-nums small');
      if (r.top1_agreement !== undefined) list.append(big('same top token', `${(100 * r.top1_agreement).toFixed(r.top1_agreement === 1 ? 0 : 1)}%`, '', 'Of the fixed prompts: saved checkpoint against the model that was in memory.'));
      if (r.kld_mean !== undefined) list.append(big('mean KLD, nats', P.small(r.kld_mean), '', 'Divergence of the saved checkpoint from the model that was in memory: 0 is what it should be.'));
      if (r.max_abs_logit_difference !== undefined) list.append(big('largest logit difference', P.small(r.max_abs_logit_difference)));
      checks.append(list);
    } else {
      checks.firstChild.textContent = 'Read back from the file';
      checks.append(el('p', 'quiet', card.layers.length ? `${card.layers.length} quantized tensors were read back from the finished file and held against the original: the errors above. Compare shows what it answers.` : 'No tensor was compared: it holds 16-bit values, or was made before this was measured. Compare shows what it answers.'));
    }
    const notes = [card.calibration && `Calibrated on ${card.calibration}.`, ...card.notes].filter(Boolean);
    if (notes.length) { const list = el('ul', 'qz-notes'); list.append(...notes.map((words) => el('li', '', words))); checks.append(list); }
    parts.push(checks);
    return { parts, draw };
  };

  P.quantizeBoard = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount');
    const trouble = el('div', 'ui-trouble'), made = el('section', 'qz-made'), madeHead = el('div', 'ui-section'), madeList = el('div', 'ui-list');
    made.setAttribute('aria-label', 'Variants made here'); trouble.setAttribute('aria-live', 'assertive');
    made.append(madeHead, madeList);

    const logs = new Set(), cards = new Set(), details = new Map(), cardNodes = new Map();
    let state = null, begun = 0, touched = false;
    const news = P.follow('quantize', trigger, () => ({ logs: [...logs], cards: [...cards] }));
    const send = (action, more) => { trouble.replaceChildren(); news.send(action, more); };
    const look = () => news.look();
    const jobCards = P.jobCards({ logs, look, send, gone: 'Done. The variant has been deleted or replaced since.', left: 'Nothing half-made is left.' });
    mount.replaceChildren(trouble, jobCards.box, made);
    Q.queue = () => news.later(() => { begun = news.number(60_000); Q.send(begun, [...logs], [...cards]); });

    // ---- variants
    const cardNode = (row) => {
      const box = el('article', 'qz-card'), head = el('button', 'qz-line'), body = el('div', 'qz-body');
      head.type = 'button'; head.setAttribute('aria-expanded', 'false'); body.hidden = true;
      const who = el('span', 'who'), sizes = el('span', 'sizes'), bits = el('span', 'bits'), time = el('span', 'time');
      who.append(el('b', '', row.label), el('span', 'id', row.id));
      sizes.append(el('span', 'from', row.before ? `${P.bytes(row.before)} → ` : ''), el('b', '', P.bytes(row.after)));
      bits.textContent = `${row.bits.toFixed(1)} bits per weight`;
      time.textContent = row.seconds ? `made in ${P.span(row.seconds)}` : '';
      head.append(who, sizes, bits, time, el('i', 'chevron'));
      head.addEventListener('click', () => { touched = true; toggle(row.id); });
      box.append(head, body); box.dataset.id = row.id;
      return { box, head, body, sign: '' };
    };
    const toggle = (id) => { if (!cards.delete(id)) cards.add(id); if (cards.size > 10) cards.delete(cards.values().next().value); look(); paint(); };
    const fill = (found, row, card) => {
      const shown = Q.card(row, card);
      const acts = el('div', 'qz-acts'), size = P.bytes(row.on_disk || row.after);
      acts.append(P.button('qz-main', 'Compare with the original', () => { trigger('compare', { id: row.id }); location.hash = '#compare'; }));
      const tar = el('a', 'ui-quiet', `Download, ${size}`); tar.href = `./quantize/files?variant=${encodeURIComponent(row.id)}`; tar.setAttribute('download', ''); tar.dataset.tip = 'All files of the variant as one .tar.';
      acts.append(tar, P.asks('Delete', `Delete ${size}? The recipe goes too.`, 'Delete', 'Keep', () => send('remove', { id: row.id }), `Delete ${row.id}`));
      const [nums, ...rest] = shown.parts, checks = rest.at(-1), parts = [nums, acts];
      // The form outlives a card that is drawn again (its estimate has come): half a token may stand in it.
      if (!state.pushes || found.created !== row.created) found.push = state.pushes && Q.push(row, trigger, look);
      found.created = row.created;
      if (found.push) { acts.lastChild.before(found.push.button); parts.push(found.push.box); }
      parts.push(...rest.slice(0, -1));
      found.draw = shown.draw;
      if (card.run) acts.lastChild.before(P.linkButton(card.run));
      const paths = el('div', 'qz-path'), copyPath = P.button('ui-small', 'Copy', () => P.copy(row.path, copyPath), 'Copy the folder');
      paths.append(el('span', 'quiet', 'Folder'), el('code', '', row.path), copyPath);
      const copyRun = P.button('ui-small', 'Copy', () => P.copy(card.command, copyRun), 'Copy the command');
      const copyRecipe = P.button('ui-small', 'Copy', () => P.copy(card.recipe, copyRecipe), 'Copy the recipe');
      const file = row.name.replace(/[^\w.-]+/g, '-');
      const run = text('The same on the command line', card.command, copyRun);
      if (card.pasted) run.append(el('p', 'quiet', 'The calibration text was pasted: save it to a file and name that instead of “pasted”.'));
      const recipe = text('Recipe', card.recipe, copyRecipe, P.button('ui-small', 'recipe.yaml', () => P.download(`${file}-recipe.yaml`, card.recipe, 'application/yaml'), 'Download the recipe'), P.button('ui-small', 'card.json', () => P.download(`${file}-card.json`, card.json, 'application/json'), 'Download all numbers'));
      const grid = el('div', 'qz-grid'), right = el('div');
      right.append(run, ...(row.path ? [paths] : [])); grid.append(checks, right); parts.push(grid, recipe);
      found.body.replaceChildren(...parts);
      found.draw?.();
    };
    const refresh = (found, row) => {
      const open = cards.has(row.id), card = state.cards[row.id] || details.get(row.id);
      if (card) details.set(row.id, card);
      found.head.setAttribute('aria-expanded', open);
      found.body.hidden = !open;
      if (!open) return;
      if (!card) { if (!found.sign) found.body.replaceChildren(el('p', 'quiet', 'Reading…')); return; }
      const sign = JSON.stringify([row.created, card.estimate, row.on_disk]);
      if (sign !== found.sign) { found.sign = sign; fill(found, row, card); }
      found.push?.update(state.pushes?.[row.id]);
    };
    const paint = () => {
      jobCards.draw(state);
      P.arrange(madeList, cardNodes, state.variants, cardNode, refresh);
    };
    const heads = () => {
      const n = state.variants.length;
      madeHead.replaceChildren(el('h3', '', 'Made here'), el('span', 'quiet', n ? `${n} variant${n === 1 ? '' : 's'} · ${P.bytes(state.disk.used)} on the disk, ${P.bytes(state.disk.free)} free` : `${P.bytes(state.disk.free)} free on the disk`));
      if (!n) {
        const empty = el('div', 'ui-empty');
        empty.append(el('b', '', 'Nothing made yet.'), el('span', '', ' A finished variant appears here with what it gained and where it lost, and in Compare beside its original. RTN needs no text and takes seconds on a small model: a good first one.'));
        madeHead.append(empty);
      }
    };
    const draw = () => {
      const v = P.json(props.value, null);
      if (!v) return;
      news.answer(v.serial);
      if (begun && v.serial >= begun) {
        begun = 0;
        Q.begun?.(v.error);
        if (!v.error) setTimeout(() => jobCards.box.scrollIntoView({ block: 'nearest', behavior: P.quiet ? 'auto' : 'smooth' }), 700);
      } else if (v.error) trouble.replaceChildren(P.refused(v.error));
      if (v.broken) { trouble.replaceChildren(P.refused(v.broken)); return; }
      const before = new Set((state?.variants || []).map((row) => row.id));
      const fresh = v.variants.find((row) => state && !before.has(row.id));
      const first = !state;
      state = v;
      Object.assign(news, { known: true, active: v.active });
      if (fresh) { cards.add(fresh.id); trouble.replaceChildren(); look(); } else if (first && v.variants.length && !touched) { cards.add(v.variants[0].id); look(); }
      for (const id of [...cards]) if (!v.variants.some((row) => row.id === id)) { cards.delete(id); details.delete(id); }
      heads(); paint();
    };
    let width = 0;
    new ResizeObserver(() => {
      if (Math.abs(mount.clientWidth - width) <= 2) return;
      width = mount.clientWidth;
      for (const found of cardNodes.values()) if (!found.body.hidden) found.draw?.();
      if (state) paint();
    }).observe(mount);
    watch('value', draw); draw();
  };
})();
