// What came of the Reviews form: jobs while they work, and the list of reviews, the newest of them open.
(() => {
  const P = window.Playground;
  const { el } = P;
  const R = P.reviews;

  P.reviewList = (element) => {
    R.list = el('section', 'rv-list');
    R.list.setAttribute('aria-label', 'All reviews');
    element.querySelector('.pg-mount').replaceChildren(R.list);
    R.drawList?.();
  };

  P.reviewBoard = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount');
    const trouble = el('div', 'ui-trouble'), logs = new Set(), nodes = new Map(), list = el('div', 'ui-list'), head = el('div', 'ui-section');
    trouble.setAttribute('aria-live', 'assertive');
    let state = null, begun = 0;
    const news = P.follow('reviews', trigger, () => ({ logs: [...logs] }));
    const send = (action, more) => { trouble.replaceChildren(); news.send(action, more); };
    const cards = P.jobCards({ logs, look: () => news.look(), send, gone: 'Done. Its review has been deleted since.', left: 'Every answer so far is kept: the same asked again goes on from there.' });
    mount.replaceChildren(trouble, cards.box);
    cards.box.hidden = true;
    R.queue = () => news.later(() => { begun = news.number(60_000); R.send(begun, [...logs]); });

    const line = (row) => {
      const box = el('article', 'rv-line'), open = P.button('open', '', () => { R.open(row.id); R.box?.scrollIntoView({ block: 'start', behavior: P.quiet ? 'auto' : 'smooth' }); });
      const who = el('span', 'who'), votes = el('span', 'quiet much'), acts = el('span', 'acts');
      who.append(el('b', '', row.name), el('span', 'quiet', `${R.count(row.items, 'pair')} · ${row.title}`));
      open.append(who, votes, el('span', 'quiet when', P.when(row.created)));
      acts.append(P.asks('Delete', 'With all its votes?', 'Delete', 'Keep', () => send('remove', { id: row.id }), `Delete the review ${row.name}`));
      box.append(open, acts); box.dataset.id = row.id;
      return { box, open, votes };
    };
    const refresh = (found, row) => {
      found.votes.textContent = `${R.count(row.votes, 'vote')}${row.closed ? ' · closed' : ''}`;
      if (R.opened === row.id) found.open.setAttribute('aria-current', 'true'); else found.open.removeAttribute('aria-current');
    };
    R.drawList = () => {
      if (!R.list || !state) return;
      head.replaceChildren(el('h3', '', 'Reviews'), el('span', 'quiet', R.count(state.reviews.length, 'review')));
      if (!list.parentNode) R.list.replaceChildren(head, list);
      R.list.hidden = !state.reviews.length;
      P.arrange(list, nodes, state.reviews, line, refresh);
    };
    const draw = () => {
      const v = P.json(props.value, null);
      if (!v) return;
      news.answer(v.serial);
      if (begun && v.serial >= begun) {
        begun = 0;
        R.begun?.(v.error);
        if (v.made) setTimeout(() => { R.open(v.made); R.box?.scrollIntoView({ block: 'start', behavior: P.quiet ? 'auto' : 'smooth' }); });
        else if (!v.error) setTimeout(() => cards.box.scrollIntoView({ block: 'nearest', behavior: P.quiet ? 'auto' : 'smooth' }), 700);
      } else if (v.error && v.owner !== false) trouble.replaceChildren(P.refused(v.error));
      if (v.broken) { trouble.replaceChildren(P.refused(v.broken)); return; }
      const newest = v.reviews[0]?.id || '', before = state?.reviews[0]?.id || '';
      const gone = R.opened && !v.reviews.some((row) => row.id === R.opened);
      state = v;
      Object.assign(news, { known: true, active: v.active });
      if (gone || R.opened === undefined || (newest !== before && R.opened === before)) R.open(newest);
      cards.draw(state);
      R.drawList();
    };
    watch('value', draw); draw();
  };
})();
