// What came of the Quantize form: the jobs while they work, and a card for each variant. Plots: quantize_plots.js.
(() => {
  const P = window.Playground;
  const { el } = P;
  const Q = P.quantize;
  const LOOK_MS = 600, IDLE_MS = 4000, LOST_MS = 10_000;

  Q.copy = async (text, node) => {
    try { await navigator.clipboard.writeText(text); } catch {
      const area = el('textarea'); area.value = text; area.className = 'qz-clip'; document.body.append(area); area.select(); document.execCommand('copy'); area.remove();
    }
    const words = node.textContent; node.textContent = 'Copied'; setTimeout(() => { node.textContent = words; }, 1400);
  };
  Q.download = (name, text, kind) => {
    const link = el('a'), url = URL.createObjectURL(new Blob([text], { type: kind }));
    link.href = url; link.download = name; link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
  // A button that asks once, in its own place.
  const asks = (words, question, yes, no, act, name) => {
    const box = el('span', 'qz-asks');
    const calm = () => { box.replaceChildren(first); box.classList.remove('asking'); if (Q.keep === back) Q.keep = null; };
    const back = () => { calm(); first.focus(); };
    const first = P.button('qz-quiet', words, () => {
      Q.keep?.();
      const sure = P.button('qz-bad', yes, () => { calm(); act(); });
      box.replaceChildren(el('span', '', question), sure, P.button('qz-quiet', no, back));
      box.classList.add('asking'); Q.keep = back; sure.focus();
    }, name);
    box.append(first);
    return box;
  };
  const when = (s) => new Date(s * 1e3).toLocaleString([], { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
  const left = (s) => (s === null ? '' : s < 2 ? 'nearly done' : `about ${Q.span(s)} left`);
  const WORDS = { queued: 'queued', running: 'running', done: 'done', failed: 'failed', cancelled: 'stopped', interrupted: 'interrupted' };

  P.quantizeBoard = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount');
    const trouble = el('div', 'qz-trouble'), jobs = el('section', 'qz-jobs'), made = el('section', 'qz-made');
    const jobsHead = el('div', 'qz-section'), jobsList = el('div', 'qz-list'), madeHead = el('div', 'qz-section'), madeList = el('div', 'qz-list');
    jobs.setAttribute('aria-label', 'Jobs'); made.setAttribute('aria-label', 'Variants made here'); trouble.setAttribute('aria-live', 'assertive');
    jobs.append(jobsHead, jobsList); made.append(madeHead, madeList);
    mount.replaceChildren(trouble, jobs, made);

    const logs = new Set(), cards = new Set(), details = new Map(), jobNodes = new Map(), cardNodes = new Map();
    let serial = 0, answered = 0, asked = 0, state = null, begun = 0, touched = false;
    const send = (action, more) => { if (action !== 'look') trouble.replaceChildren(); serial += 1; asked = performance.now(); trigger(action, { ...more, serial, logs: [...logs], cards: [...cards] }); return serial; };
    const look = () => send('look');
    Q.queue = () => { serial += 1; asked = performance.now(); begun = serial; Q.send(serial, [...logs], [...cards]); };
    const tick = () => {
      const now = performance.now(), waiting = answered < serial && now - asked < LOST_MS;
      if (!Q.here() || document.hidden || waiting || (begun && answered < begun && now - asked < 60_000)) return;
      if (now - asked >= (state?.active ? LOOK_MS : IDLE_MS) || !state) look();
    };
    setInterval(tick, 300);
    document.addEventListener('pg-page', () => { if (Q.here()) setTimeout(tick); });
    document.addEventListener('visibilitychange', tick);

    // ---- jobs. The nodes of a job stay: whoever reads its log or a tooltip keeps the place.
    const jobNode = (job) => {
      const box = el('article', 'qz-job'), head = el('div', 'top'), title = el('div', 'title'), right = el('div', 'acts'), body = el('div', 'qz-doing'), foot = el('details', 'qz-log'), pre = el('pre');
      title.append(el('b', '', job.title), el('span', 'model', job.model), el('span', 'quiet', job.words));
      foot.append(el('summary', '', 'Log'), pre);
      foot.addEventListener('toggle', () => { if (foot.open) logs.add(job.id); else logs.delete(job.id); if (foot.open) look(); });
      head.append(title, right); box.append(head, body, foot);
      box.dataset.id = job.id;
      return { box, right, body, foot, pre, sign: '', live: null };
    };
    const live = () => {
      const box = el('div', 'qz-live'), words = el('p', 'qz-stage'), bar = el('div', 'bar'), fill = el('i'), much = el('p', 'qz-much'), plots = el('div', 'plots');
      bar.setAttribute('role', 'progressbar'); bar.setAttribute('aria-label', 'Progress of this stage'); bar.append(fill);
      box.append(words, bar, much, plots);
      return { box, words, bar, fill, much, plots, areas: new Map() };
    };
    const plot = (one, key, title, value, draw, sign) => {
      let area = one.areas.get(key);
      if (!area) {
        const card = el('div', 'mini'), top = el('p', 'qz-mini-head'), canvas = el('div', 'area');
        top.append(el('span', '', title), el('b', ''));
        card.append(top, canvas); one.plots.append(card);
        area = { canvas, value: top.lastChild, sign: '' };
        one.areas.set(key, area);
      }
      area.value.textContent = value;
      return () => { const now = `${sign} ${area.canvas.clientWidth}`; if (area.sign !== now) { area.sign = now; draw(area.canvas); } };
    };
    const working = (found, job) => {
      const one = found.live || (found.live = live());
      if (!one.box.parentNode) found.body.replaceChildren(one.box);
      const stage = job.stage, known = stage && stage[2] > 0;
      const name = job.stopping ? 'Stopping' : stage ? stage[0] : 'Starting the worker';
      one.words.textContent = name.charAt(0).toUpperCase() + name.slice(1);
      one.bar.classList.toggle('unknown', !known);
      one.fill.style.width = known ? `${Math.min(100, (100 * stage[1]) / stage[2])}%` : '';
      one.bar.setAttribute('aria-valuemax', known ? stage[2] : 1);
      if (known) one.bar.setAttribute('aria-valuenow', stage[1]); else one.bar.removeAttribute('aria-valuenow');
      const unit = stage && /^(B|bytes)$/.test(stage[3]) ? 'bytes' : stage?.[3];
      const far = !known ? '' : unit === 'bytes' ? `${Q.bytes(stage[1])} of ${Q.bytes(stage[2])}` : unit === 'layers' ? `layer ${Math.min(stage[2], Math.floor(stage[1]) + 1)} of ${stage[2]}` : `${Math.floor(stage[1])} of ${stage[2]} ${unit || ''}`;
      one.much.textContent = [far, known && left(job.left_s), `${Q.span(Math.round(job.elapsed_s))} so far`].filter(Boolean).join(' · ');
      const draws = [];
      if (job.memory.length > 1) draws.push(plot(one, 'memory', 'Memory', `${Q.bytes(job.memory.at(-1)[1])}, peak ${Q.bytes(job.peak)}`, (area) => Q.memory(area, job.memory), String(job.memory.at(-1)[0])));
      for (const [what, found_] of job.layers) {
        const relative = /relative/.test(what), format = relative ? Q.share : Q.small;
        draws.push(plot(one, what, what.charAt(0).toUpperCase() + what.slice(1), `${found_.length} so far`, (area) => Q.errors(area, found_, format), String(found_.length)));
      }
      for (const draw of draws) draw(); // once all are there: they share the width
    };
    const ended = (found, job) => {
      found.live = null;
      found.body.replaceChildren();
      if (job.error) {
        const note = Q.notice(job.error);
        found.body.append(note);
      } else if (job.state === 'cancelled') found.body.append(el('p', 'quiet', `Stopped${job.elapsed_s === null ? ' before it began' : ` after ${Q.span(job.elapsed_s)}`}. Nothing half-made is left.`));
      else if (job.state === 'done') found.body.append(el('p', 'quiet', 'Done. The variant has been deleted or replaced since.'));
      if (job.state === 'failed' && job.stage) found.body.append(el('p', 'quiet', `Failed while ${job.stage[0]}${job.elapsed_s === null ? '' : `, after ${Q.span(job.elapsed_s)}`}.`));
    };
    const update = (found, job) => {
      const sign = [job.state, job.stopping, job.ahead].join();
      if (sign !== found.sign) {
        found.sign = sign;
        found.box.dataset.state = job.state;
        found.right.replaceChildren(el('span', `qz-state ${job.state}`, job.stopping && job.state === 'running' ? 'stopping' : WORDS[job.state]));
        if (job.state === 'queued') found.body.replaceChildren(el('p', 'quiet', job.ahead ? `Waits for ${job.ahead} job${job.ahead === 1 ? '' : 's'} before it: one runs at a time on this device.` : 'Starts in a moment.'));
        if (job.state === 'queued') found.right.append(asks('Remove', 'Take it out of the queue?', 'Remove', 'Keep', () => send('cancel', { id: job.id }), `Remove ${job.title} from the queue`));
        if (job.state === 'running' && !job.stopping) found.right.append(asks('Stop', 'Stop this job?', 'Stop it', 'Keep going', () => send('cancel', { id: job.id }), `Stop ${job.title}`));
        if (!['queued', 'running'].includes(job.state)) { found.right.append(el('span', 'quiet', when(job.created)), P.button('qz-quiet', 'Run again', () => send('again', { id: job.id }), `Run ${job.title} again`)); ended(found, job); }
      }
      if (job.state === 'running') working(found, job);
      found.foot.hidden = job.state === 'queued';
      if (job.log !== null && found.pre.textContent !== job.log) {
        const low = found.pre.scrollHeight - found.pre.scrollTop - found.pre.clientHeight < 30;
        found.pre.textContent = job.log;
        if (low) found.pre.scrollTop = found.pre.scrollHeight;
      }
      if (found.foot.open && !found.pre.textContent) found.pre.textContent = 'Nothing was printed yet.';
    };
    // Keeps the nodes that are there, in the order of the list.
    const arrange = (list, nodes, rows, make, refresh) => {
      const keep = new Set(rows.map((row) => row.id));
      for (const [id, found] of nodes) if (!keep.has(id)) { found.box.remove(); nodes.delete(id); }
      rows.forEach((row, index) => {
        if (!nodes.has(row.id)) nodes.set(row.id, make(row));
        const found = nodes.get(row.id);
        if (list.children[index] !== found.box) list.insertBefore(found.box, list.children[index] || null);
        refresh(found, row);
      });
    };

    // ---- variants
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
    const cardNode = (row) => {
      const box = el('article', 'qz-card'), head = el('button', 'qz-line'), body = el('div', 'qz-body');
      head.type = 'button'; head.setAttribute('aria-expanded', 'false'); body.hidden = true;
      const who = el('span', 'who'), sizes = el('span', 'sizes'), bits = el('span', 'bits'), time = el('span', 'time');
      who.append(el('b', '', row.label), el('span', 'id', row.id));
      sizes.append(el('span', 'from', row.before ? `${Q.bytes(row.before)} → ` : ''), el('b', '', Q.bytes(row.after)));
      bits.textContent = `${row.bits.toFixed(1)} bits per weight`;
      time.textContent = row.seconds ? `made in ${Q.span(row.seconds)}` : '';
      head.append(who, sizes, bits, time, el('i', 'chevron'));
      head.addEventListener('click', () => { touched = true; toggle(row.id); });
      box.append(head, body); box.dataset.id = row.id;
      return { box, head, body, sign: '' };
    };
    const toggle = (id) => { if (!cards.delete(id)) cards.add(id); if (cards.size > 10) cards.delete(cards.values().next().value); look(); paint(); };
    const off = (actual, guess) => { const share = (actual - guess) / guess; return Math.abs(share) < 0.0005 ? 'as estimated' : `${share > 0 ? '+' : '−'}${Math.abs(100 * share).toFixed(Math.abs(share) < 0.1 ? 1 : 0)}% against the estimate`; };
    const within = (actual, [low, high], words) => (actual < low ? `below the estimate of ${words}` : actual > high ? `above the estimate of ${words}` : `within the estimate of ${words}`);
    const fill = (found, row, card) => {
      const guess = card.estimate, nums = el('div', 'qz-nums');
      const ratio = row.before ? row.before / row.after : null;
      nums.append(big('on disk, weights', Q.bytes(row.after), [row.before && `from ${Q.bytes(row.before)}`, guess && off(row.after, guess.after)].filter(Boolean).join(' · '), 'All tensors of the checkpoint.', 'first'));
      if (ratio) nums.append(big(ratio >= 1 ? 'smaller' : 'larger', `${(ratio >= 1 ? ratio : 1 / ratio).toFixed(2)}×`, 'compression ratio'));
      nums.append(big('bits per weight', row.bits.toFixed(2), row.bits_before ? `from ${row.bits_before.toFixed(1)}` : '', 'All tensors in bits over the parameters: what stays in 16 bits counts too.'));
      if (row.seconds) nums.append(big('to make', Q.span(row.seconds), guess?.seconds ? within(row.seconds, guess.seconds, Q.range(guess.seconds)) : '', Object.entries(card.stages).map(([k, v]) => `${k} ${Q.span(v)}`).join(', ')));
      if (row.peak) nums.append(big('peak memory', Q.bytes(row.peak), guess ? within(row.peak, guess.peak, guess.peak.map((n) => Q.bytes(n)).join('–')) : ''));
      const acts = el('div', 'qz-acts'), size = Q.bytes(row.on_disk || row.after);
      acts.append(P.button('qz-main', 'Compare with the original', () => { trigger('compare', { id: row.id }); location.hash = '#compare'; }));
      const tar = el('a', 'qz-quiet', `Download, ${size}`); tar.href = `./quantize/files?variant=${encodeURIComponent(row.id)}`; tar.setAttribute('download', ''); tar.dataset.tip = 'All files of the variant as one .tar.';
      acts.append(tar, asks('Delete', `Delete ${size}? The recipe goes too.`, 'Delete', 'Keep', () => send('remove', { id: row.id }), `Delete ${row.id}`));
      const parts = [nums, acts];
      if (card.layers.length) {
        const where = el('section', 'qz-where'), top = el('div', 'qz-text-head'), area = el('div', 'area');
        top.append(el('h4', '', 'Where did it hurt?'), Q.heatLegend(card.layers));
        where.append(top, el('p', 'quiet', card.hurt), area);
        parts.push(where);
        found.draw = () => Q.heat(area, card.layers);
      } else found.draw = null;
      const r = row.reload, checks = el('section', 'qz-checks');
      checks.append(el('h4', '', 'Loaded again in a fresh process'));
      if (r) {
        const list = el('div', 'qz-nums small');
        if (r.top1_agreement !== undefined) list.append(big('same top token', `${(100 * r.top1_agreement).toFixed(r.top1_agreement === 1 ? 0 : 1)}%`, '', 'Of the fixed prompts: saved checkpoint against the model that was in memory.'));
        if (r.kld_mean !== undefined) list.append(big('mean KLD, nats', Q.small(r.kld_mean), '', 'Divergence of the saved checkpoint from the model that was in memory: 0 is what it should be.'));
        if (r.max_abs_logit_difference !== undefined) list.append(big('largest logit difference', Q.small(r.max_abs_logit_difference)));
        checks.append(list);
      } else checks.append(el('p', 'quiet', 'Not compared: this format is read by other engines. Compare shows what it answers.'));
      const notes = [card.calibration && `Calibrated on ${card.calibration}.`, ...card.notes].filter(Boolean);
      if (notes.length) { const list = el('ul', 'qz-notes'); list.append(...notes.map((words) => el('li', '', words))); checks.append(list); }
      const paths = el('div', 'qz-path'), copyPath = P.button('qz-small', 'Copy', () => Q.copy(row.path, copyPath), 'Copy the folder');
      paths.append(el('span', 'quiet', 'Folder'), el('code', '', row.path), copyPath);
      const copyRun = P.button('qz-small', 'Copy', () => Q.copy(card.command, copyRun), 'Copy the command');
      const copyRecipe = P.button('qz-small', 'Copy', () => Q.copy(card.recipe, copyRecipe), 'Copy the recipe');
      const file = row.name.replace(/[^\w.-]+/g, '-');
      const run = text('The same on the command line', card.command, copyRun);
      if (card.pasted) run.append(el('p', 'quiet', 'The calibration text was pasted: save it to a file and name that instead of “pasted”.'));
      const recipe = text('Recipe', card.recipe, copyRecipe, P.button('qz-small', 'recipe.yaml', () => Q.download(`${file}-recipe.yaml`, card.recipe, 'application/yaml'), 'Download the recipe'), P.button('qz-small', 'card.json', () => Q.download(`${file}-card.json`, card.json, 'application/json'), 'Download all numbers'));
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
    };
    const paint = () => {
      arrange(jobsList, jobNodes, state.jobs, jobNode, update);
      arrange(madeList, cardNodes, state.variants, cardNode, refresh);
    };
    const heads = () => {
      const running = state.jobs.filter((j) => j.state === 'running').length, queued = state.jobs.filter((j) => j.state === 'queued').length;
      const said = [running && `${running} running`, queued && `${queued} queued`].filter(Boolean).join(' · ');
      jobsHead.replaceChildren(el('h3', '', 'Jobs'), el('span', 'quiet', said || (state.jobs.length ? 'nothing runs' : '')));
      if (state.older) jobsHead.append(el('span', 'quiet', `${state.older} older: python -m playground jobs list`));
      jobs.hidden = !state.jobs.length;
      const n = state.variants.length;
      madeHead.replaceChildren(el('h3', '', 'Made here'), el('span', 'quiet', n ? `${n} variant${n === 1 ? '' : 's'} · ${Q.bytes(state.disk.used)} on the disk, ${Q.bytes(state.disk.free)} free` : `${Q.bytes(state.disk.free)} free on the disk`));
      if (!n) {
        const empty = el('div', 'qz-empty');
        empty.append(el('b', '', 'Nothing made yet.'), el('span', '', ' A finished variant appears here with what it gained and where it lost, and in Compare beside its original. RTN needs no text and takes seconds on a small model: a good first one.'));
        madeHead.append(empty);
      }
    };
    const draw = () => {
      const v = P.json(props.value, null);
      if (!v) return;
      answered = Math.max(answered, v.serial);
      if (begun && v.serial >= begun) {
        begun = 0;
        Q.begun?.(v.error);
        if (!v.error) setTimeout(() => jobs.scrollIntoView({ block: 'nearest', behavior: P.quiet ? 'auto' : 'smooth' }), 700);
      } else if (v.error) trouble.replaceChildren(Q.notice(v.error));
      if (v.broken) { trouble.replaceChildren(Q.notice(v.broken)); return; }
      const before = new Set((state?.variants || []).map((row) => row.id));
      const fresh = v.variants.find((row) => state && !before.has(row.id));
      const first = !state;
      state = v;
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
