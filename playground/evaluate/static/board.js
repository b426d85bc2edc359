// What came of the Evaluate form: the jobs while they work, and the runs that they left, the newest of them open.
(() => {
  const P = window.Playground;
  const { el } = P;
  const E = P.evaluate;
  const count = (n) => n.toLocaleString('en');

  // The list of runs stands below the run that is open.
  P.evaluateRuns = (element) => {
    E.list = el('section', 'ev-runs');
    E.list.setAttribute('aria-label', 'Earlier evaluations');
    element.querySelector('.pg-mount').replaceChildren(E.list);
    E.drawRuns?.();
  };

  P.evaluateBoard = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount');
    const trouble = el('div', 'ui-trouble'), logs = new Set(), nodes = new Map(), list = el('div', 'ui-list'), head = el('div', 'ui-section');
    trouble.setAttribute('aria-live', 'assertive');
    let state = null, begun = 0;
    const news = P.follow('evaluate', trigger, () => ({ logs: [...logs] }));
    const send = (action, more) => { trouble.replaceChildren(); news.send(action, more); };
    const cards = P.jobCards({ logs, look: () => news.look(), send, gone: 'Done. Its run has been deleted since.', left: 'Every answer so far is kept: the same asked again goes on from there.' });
    mount.replaceChildren(trouble, cards.box);
    E.queue = () => news.later(() => { begun = news.number(60_000); E.send(begun, [...logs]); });

    const line = (run) => {
      const box = el('article', 'ev-line'), open = P.button('open', '', () => { E.open(run.id); E.box?.scrollIntoView({ block: 'start', behavior: P.quiet ? 'auto' : 'smooth' }); });
      const who = el('span', 'who'), what = el('span', 'what quiet', run.tasks.join(', ') || 'divergence alone'), acts = el('span', 'acts');
      who.append(el('b', '', run.labels.slice(1).join(', ') || run.labels[0]), el('span', 'quiet', `against ${run.labels[0]} · ${run.model}`));
      open.append(who, what, el('span', 'quiet much', run.tokens !== null ? (run.tokens ? `${count(run.tokens)} tokens` : 'all of the text') : run.limit === null ? 'all items' : `${count(run.limit)} items each`), el('span', 'quiet when', P.when(run.created)));
      box.append(open, acts); box.dataset.id = run.id;
      return { box, open, acts, sign: '' };
    };
    const refresh = (found, run) => {
      const sign = `${state.owner} ${E.opened === run.id}`;
      if (sign === found.sign) return;
      found.sign = sign;
      if (E.opened === run.id) found.open.setAttribute('aria-current', 'true'); else found.open.removeAttribute('aria-current');
      found.acts.replaceChildren(...(state.owner ? [P.asks('Delete', 'Delete the run and its items?', 'Delete', 'Keep', () => send('remove', { id: run.id }), `Delete the run of ${P.when(run.created)}`)] : []));
    };
    E.drawRuns = () => {
      if (!state || !E.list) return;
      const n = state.runs.length;
      head.replaceChildren(el('h3', '', 'Evaluations'), el('span', 'quiet', n ? `${n} kept, newest first` : ''));
      E.list.hidden = n < 1;
      E.list.replaceChildren(head, list);
      P.arrange(list, nodes, state.runs, line, refresh);
    };
    const draw = () => {
      const v = P.json(props.value, null);
      if (!v) return;
      news.answer(v.serial);
      if (begun && v.serial >= begun) {
        begun = 0;
        E.begun?.(v.error);
        if (!v.error) setTimeout(() => cards.box.scrollIntoView({ block: 'nearest', behavior: P.quiet ? 'auto' : 'smooth' }), 700);
      } else if (v.error) trouble.replaceChildren(P.refused(v.error));
      if (v.broken) { trouble.replaceChildren(P.refused(v.broken)); return; }
      const newest = v.runs[0]?.id || '', before = state?.runs[0]?.id || '';
      const gone = E.opened && !v.runs.some((run) => run.id === E.opened);
      state = v;
      Object.assign(news, { known: true, active: v.active });
      // Whoever reads an older run keeps it when a new one arrives.
      if (gone || E.opened === undefined || (newest !== before && E.opened === before)) E.open(newest);
      cards.draw(state);
      E.drawRuns();
    };
    watch('value', draw); draw();
  };
})();
