// Jobs as they work: one card each, with its stage, time left, memory, log, and a button that ends it.
(() => {
  const P = window.Playground;
  const { el } = P;
  const LOOK_MS = 600, IDLE_MS = 4000, LOST_MS = 10_000;
  const left = (s) => (s === null ? '' : s < 2 ? 'nearly done' : `about ${P.span(s)} left`);
  const WORDS = { queued: 'queued', running: 'running', done: 'done', failed: 'failed', cancelled: 'stopped', interrupted: 'interrupted' };

  // Keeps the nodes that are there, in the order of the list.
  P.arrange = (list, nodes, rows, make, refresh) => {
    const keep = new Set(rows.map((row) => row.id));
    for (const [id, found] of nodes) if (!keep.has(id)) { found.box.remove(); nodes.delete(id); }
    rows.forEach((row, index) => {
      if (!nodes.has(row.id)) nodes.set(row.id, make(row));
      const found = nodes.get(row.id);
      if (list.children[index] !== found.box) list.insertBefore(found.box, list.children[index] || null);
      refresh(found, row);
    });
  };

  // Asks for news while `page` is shown: often while a job works, rarely otherwise, never twice at once. `extra()` goes
  // with every question; `active` and `known` are for the page to set from what it gets.
  // One question at a time: of two answers that arrive within one frame of the browser only the later one is seen.
  P.follow = (page, trigger, extra) => {
    const news = { active: false, known: false }, waiting = [];
    let serial = 0, answered = 0, asked = 0, patience = LOST_MS;
    const open = () => answered < serial && performance.now() - asked < patience;
    const next = () => { if (waiting.length && !open()) waiting.shift()(); };
    news.number = (wait = LOST_MS) => { serial += 1; asked = performance.now(); patience = wait; return serial; };
    news.later = (act) => { waiting.push(act); next(); };
    news.send = (action, more) => news.later(() => trigger(action, { ...more, ...extra(), serial: news.number() }));
    news.look = () => news.send('look');
    news.answer = (number) => { answered = Math.max(answered, number); next(); };
    const tick = () => {
      next();
      if (P.page() !== page || document.hidden || open()) return;
      if (performance.now() - asked >= (news.active ? LOOK_MS : IDLE_MS) || !news.known) news.look();
    };
    setInterval(tick, 300);
    document.addEventListener('pg-page', () => { if (P.page() === page) setTimeout(tick); });
    document.addEventListener('visibilitychange', tick);
    return news;
  };

  // `{ box, draw(state) }`: the nodes of a job stay, so whoever reads its log or a tooltip keeps the place.
  // logs: a Set of the jobs whose log is open; look(): asks for news; gone, left: what is said of a job whose result was
  // deleted since, and of what a stopped one leaves.
  P.jobCards = ({ logs, look, send, gone, left: remains }) => {
    const nodes = new Map();
    const jobNode = (job) => {
      const box = el('article', 'ui-job'), head = el('div', 'top'), title = el('div', 'title'), right = el('div', 'acts'), body = el('div', 'ui-doing'), foot = el('details', 'ui-log'), pre = el('pre');
      title.append(el('b', '', job.title), el('span', 'model', job.model), el('span', 'quiet', job.words));
      foot.append(el('summary', '', 'Log'), pre);
      foot.addEventListener('toggle', () => { if (foot.open) logs.add(job.id); else logs.delete(job.id); if (foot.open) look(); });
      head.append(title, right); box.append(head, body, foot);
      box.dataset.id = job.id;
      return { box, right, body, foot, pre, sign: '', live: null };
    };
    const live = () => {
      const box = el('div', 'ui-live'), words = el('p', 'ui-stage'), bar = el('div', 'bar'), fill = el('i'), much = el('p', 'ui-much'), plots = el('div', 'plots');
      bar.setAttribute('role', 'progressbar'); bar.setAttribute('aria-label', 'Progress of this stage'); bar.append(fill);
      box.append(words, bar, much, plots);
      return { box, words, bar, fill, much, plots, areas: new Map() };
    };
    const plot = (one, key, title, value, draw, sign) => {
      let area = one.areas.get(key);
      if (!area) {
        const card = el('div', 'mini'), top = el('p', 'ui-mini-head'), canvas = el('div', 'area');
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
      one.words.textContent = /^[a-z]+\b(?![:.\d-])/.test(name) ? name.charAt(0).toUpperCase() + name.slice(1) : name; // not the name of a variant
      one.bar.classList.toggle('unknown', !known);
      one.fill.style.width = known ? `${Math.min(100, (100 * stage[1]) / stage[2])}%` : '';
      one.bar.setAttribute('aria-valuemax', known ? stage[2] : 1);
      if (known) one.bar.setAttribute('aria-valuenow', stage[1]); else one.bar.removeAttribute('aria-valuenow');
      const unit = stage && /^(B|bytes)$/.test(stage[3]) ? 'bytes' : stage?.[3];
      const far = !known ? '' : unit === 'bytes' ? `${P.bytes(stage[1])} of ${P.bytes(stage[2])}` : unit === 'layers' ? `layer ${Math.min(stage[2], Math.floor(stage[1]) + 1)} of ${stage[2]}` : `${Math.floor(stage[1])} of ${stage[2]} ${unit || ''}`;
      one.much.textContent = [far, known && left(job.left_s), `${P.span(Math.round(job.elapsed_s))} so far`].filter(Boolean).join(' · ');
      const draws = [];
      if (job.memory.length > 1) draws.push(plot(one, 'memory', 'Memory', `${P.bytes(job.memory.at(-1)[1])}, peak ${P.bytes(job.peak)}`, (area) => P.memory(area, job.memory), String(job.memory.at(-1)[0])));
      for (const [what, found_] of job.layers) {
        const relative = /relative/.test(what), format = relative ? P.share : P.small;
        draws.push(plot(one, what, what.charAt(0).toUpperCase() + what.slice(1), `${found_.length} so far`, (area) => P.errors(area, found_, format), String(found_.length)));
      }
      for (const draw of draws) draw(); // once all are there: they share the width
    };
    const ended = (found, job) => {
      found.live = null;
      found.body.replaceChildren();
      if (job.error) {
        const note = P.refused(job.error);
        found.body.append(note);
      } else if (job.state === 'cancelled') found.body.append(el('p', 'quiet', `Stopped${job.elapsed_s === null ? ' before it began' : ` after ${P.span(job.elapsed_s)}`}. ${remains}`));
      else if (job.state === 'done') found.body.append(el('p', 'quiet', gone));
      if (job.state === 'failed' && job.stage) found.body.append(el('p', 'quiet', `Failed while ${job.stage[0]}${job.elapsed_s === null ? '' : `, after ${P.span(job.elapsed_s)}`}.`));
    };
    const update = (found, job) => {
      const sign = [job.state, job.stopping, job.ahead].join();
      if (sign !== found.sign) {
        found.sign = sign;
        found.box.dataset.state = job.state;
        found.right.replaceChildren(el('span', `ui-state ${job.state}`, job.stopping && job.state === 'running' ? 'stopping' : WORDS[job.state]));
        if (job.state === 'queued') found.body.replaceChildren(el('p', 'quiet', job.ahead ? `Waits for ${job.ahead} job${job.ahead === 1 ? '' : 's'} before it: one runs at a time on this device.` : 'Starts in a moment.'));
        if (job.state === 'queued') found.right.append(P.asks('Remove', 'Take it out of the queue?', 'Remove', 'Keep', () => send('cancel', { id: job.id }), `Remove ${job.title} from the queue`));
        if (job.state === 'running' && !job.stopping) found.right.append(P.asks('Stop', 'Stop this job?', 'Stop it', 'Keep going', () => send('cancel', { id: job.id }), `Stop ${job.title}`));
        if (!['queued', 'running'].includes(job.state)) { found.right.append(el('span', 'quiet', P.when(job.created)), P.button('ui-quiet', 'Run again', () => send('again', { id: job.id }), `Run ${job.title} again`)); ended(found, job); }
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
    const box = el('section', 'ui-jobs'), head = el('div', 'ui-section'), list = el('div', 'ui-list');
    box.setAttribute('aria-label', 'Jobs');
    box.append(head, list);
    const draw = ({ jobs, older }) => {
      const count = (state) => jobs.filter((job) => job.state === state).length;
      const said = [count('running') && `${count('running')} running`, count('queued') && `${count('queued')} queued`].filter(Boolean).join(' · ');
      head.replaceChildren(el('h3', '', 'Jobs'), el('span', 'quiet', said || 'nothing runs'));
      if (older) head.append(el('span', 'quiet', `${older} older: python -m playground jobs list`));
      box.hidden = !jobs.length;
      P.arrange(list, nodes, jobs, jobNode, update);
    };
    return { box, draw };
  };
})();
