// One review: what people preferred and how sure that is, who voted, and each pair of answers. Values are data only.
(() => {
  const P = window.Playground;
  const { el } = P;
  const R = P.reviews;
  const FIRST = 12; // pairs that are listed before somebody asks for all
  const LOOK_MS = 4000, LOST_MS = 12_000;
  const count = R.count, percent = R.percent;

  const link = (review, key) => {
    const address = `/?review=${review}&key=${key}`;
    return P.host ? `https://${P.host}${address}` : new URL(address, location.href).href;
  };
  const copy = (words, text, name) => { const node = P.button('ui-small', words, () => P.copy(text, node), name); return node; };
  const card = (title, ...nodes) => { const box = el('section', 'rv-card'), head = el('div', 'rv-card-head'); head.append(el('h3', '', title)); box.append(head, ...nodes); return { box, head }; };

  // Where between the two the votes lie: the middle is no preference, the bar what the votes leave open.
  const where = (labels, rate, ci, verdict) => {
    const box = el('div', `rv-where ${verdict === 'first' || verdict === 'second' ? 'sure' : ''}`), ends = el('div', 'ends');
    ends.append(el('span', '', `← ${labels[0]}`), el('span', 'middle', 'no preference'), el('span', '', `${labels[1]} →`));
    const svg = P.svg('svg', { viewBox: '0 0 1000 34', preserveAspectRatio: 'none', width: '100%', height: 34, role: 'img', 'aria-label': `${labels[1]} preferred in ${percent(rate)}, 95 % interval ${percent(ci[0])} to ${percent(ci[1])}` });
    P.put(svg, 'line', { x1: 0, x2: 1000, y1: 17, y2: 17, class: 'rail' });
    P.put(svg, 'line', { x1: 500, x2: 500, y1: 3, y2: 31, class: 'even' });
    P.put(svg, 'line', { x1: 1000 * ci[0], x2: 1000 * ci[1], y1: 17, y2: 17, class: 'span' });
    P.put(svg, 'line', { x1: 1000 * rate, x2: 1000 * rate, y1: 6, y2: 28, class: 'mean' });
    box.append(ends, svg);
    return box;
  };

  const verdict = (v) => {
    const box = el('section', 'rv-verdict');
    box.setAttribute('aria-label', 'Verdict');
    const several = v.pairs.length > 1;
    if (several) box.append(el('p', 'headline', v.sentence));
    for (const pair of v.pairs) {
      const row = el('div', 'rv-pair'), say = el('div', 'say'), rate = pair.win_rate;
      say.append(el('p', several ? 'sentence' : 'headline', pair.sentence));
      if (rate) {
        const more = el('ul');
        for (const words of pair.details) more.append(el('li', '', words));
        say.append(more);
        const side = el('div', 'much'), big = el('p', 'big', percent(rate.rate));
        side.append(big, el('p', 'unit', `${pair.labels[1]} preferred, ties half`), where(pair.labels, rate.rate, rate.ci95, rate.verdict));
        row.append(say, side);
      } else row.append(say);
      box.append(row);
    }
    return box;
  };

  const ranking = (v) => {
    const table = el('table', 'rv-table'), head = el('tr'), body = el('tbody'), top = el('thead');
    for (const words of ['variant', 'preferred to the reference', '95 % interval', 'Elo', 'votes']) { const th = el('th', '', words); th.scope = 'col'; head.append(th); }
    top.append(head);
    for (const row of v.ranking.rows) {
      const line = el('tr'), name = el('th', '', row.label), ci = row.ci95;
      name.scope = 'row';
      const reference = row.variant === 0;
      line.append(name, el('td', 'strong', row.rate === null ? '–' : reference ? 'reference' : percent(row.rate)), el('td', '', ci ? `${percent(ci[0]).replace(' %', '')}–${percent(ci[1])}` : '–'), el('td', '', row.rate === null ? '–' : `${row.elo >= 0 ? '+' : '−'}${Math.abs(Math.round(row.elo))}`), el('td', '', String(row.votes)));
      body.append(line);
    }
    table.append(top, body);
    const wrap = el('div', 'rv-wrap'); wrap.append(table);
    const note = el('p', 'quiet small', `Bradley-Terry over all pairs, intervals clustered by prompt.${v.ranking.bounded ? ' One variant won or lost everything: each pair was given one more tie, else there were no number.' : ''}`);
    return card('All variants in one order', wrap, note).box;
  };

  const trust = (v) => {
    const list = el('div', 'rv-trust'), asked = Math.max(1, v.counted);
    const row = (name, value, words) => { const node = el('div', 'row'); node.append(el('span', 'k', name), el('b', 'v', value), el('p', 'quiet', words)); list.append(node); };
    row('Side A', v.position ? percent(v.position.share_a) : '–', v.position ? v.position.sentence : 'No vote has preferred a side yet.');
    row('Agreement', v.agreement ? v.agreement.alpha.toFixed(2) : '–', v.agreement ? v.agreement.sentence : 'Two reviewers have to vote on the same pair before it can be said.');
    row('Ties', v.counted ? percent(v.ties / asked) : '–', 'of the votes that count: equally good.');
    row('Both bad', v.counted ? percent(v.bad / asked) : '–', 'of the votes that count. Many of them say that the prompts are too hard for this model.');
    return card('How far to trust it', list).box;
  };

  const people = (v, act) => {
    const list = el('div', 'rv-people'), review = v.review;
    for (const one of v.reviewers) {
      const row = el('div', one.excluded ? 'row out' : 'row'), who = el('div', 'who'), bar = el('span', 'track'), fill = el('i'), acts = el('span', 'acts');
      fill.style.width = `${(100 * one.done) / Math.max(1, one.total)}%`; bar.append(fill);
      const told = [`${one.done} of ${one.total}`, one.seconds_per_vote !== null && `${P.span(one.seconds_per_vote)} a vote`, one.excluded && 'not counted'].filter(Boolean).join(' · ');
      who.append(el('b', '', one.label), el('span', 'quiet', told));
      if (one.invited && !review.closed) acts.append(copy('Copy link', link(review.id, one.key), `Copy the link of ${one.label}`));
      if (one.done) acts.append(P.button('ui-small', one.excluded ? 'Count again' : 'Do not count', () => act('exclude', { reviewer: one.id, off: !one.excluded }), `${one.excluded ? 'Count' : 'Do not count'} the votes of ${one.label}`));
      row.append(who, bar, acts); list.append(row);
    }
    if (!v.reviewers.length) list.append(el('p', 'quiet', 'Nobody has come yet.'));
    const { box, head } = card('Who votes', list);
    if (!review.closed) {
      const more = el('form', 'rv-invite'), name = P.input('');
      name.placeholder = 'Name of one more reviewer'; name.setAttribute('aria-label', 'Name of one more reviewer'); name.maxLength = 100;
      const send = el('button', 'ui-small', 'Invite'); send.type = 'submit';
      more.append(name, send);
      more.addEventListener('submit', (e) => { e.preventDefault(); if (name.value.trim()) { act('invite', { label: name.value.trim() }); name.value = ''; } });
      const common = el('div', 'rv-commonlink');
      if (review.key) {
        const guests = v.reviewers.filter((one) => !one.invited).length;
        common.append(el('span', '', `Common link · ${guests} of ${count(review.places, 'place')} taken`), copy('Copy link', link(review.id, review.key), 'Copy the common link'),
          P.asks('Shut', 'Nobody new could begin.', 'Shut it', 'Keep', () => act('link', { places: 0 }), 'Shut the common link'));
      } else if (review.reveal !== 'item') common.append(el('span', 'quiet', 'No common link'), P.button('ui-small', 'Make one for 20 people', () => act('link', { places: 20 })));
      box.append(more, common);
    }
    head.append(el('span', 'quiet', count(v.review.votes, 'vote')));
    return box;
  };

  const items = (v, open) => {
    const list = el('div', 'rv-items'), labels = v.review.variants.map((one) => one.label);
    for (const item of open.all ? v.items : v.items.slice(0, FIRST)) {
      const box = el('details', 'rv-item'), summary = el('summary'), split = el('span', 'split'), total = item.wins[0] + item.wins[1] + item.ties + item.bad;
      box.open = open.has(item.number);
      box.addEventListener('toggle', () => { if (box.open) open.add(item.number); else open.delete(item.number); });
      for (const [cls, n, tip] of [['one', item.wins[0], labels[item.first]], ['none', item.ties, 'tie'], ['bad', item.bad, 'both bad'], ['two', item.wins[1], labels[item.second]]]) if (n) { const piece = el('i', cls); piece.style.flexGrow = n; piece.dataset.tip = `${tip}: ${n}`; split.append(piece); }
      const told = !total ? 'no vote' : [`${labels[item.first]} ${item.wins[0]}`, `${labels[item.second]} ${item.wins[1]}`, item.ties && `tie ${item.ties}`, item.bad && `both bad ${item.bad}`].filter(Boolean).join(' · ');
      summary.append(el('span', 'what', item.prompt), el('span', 'quiet told', `${told}${item.comments.length ? ` · ${count(item.comments.length, 'comment')}` : ''}`), split);
      const texts = el('div', 'texts');
      [item.first, item.second].forEach((at, n) => { const text = el('div', 'text'); text.append(el('b', '', labels[at]), el('p', '', item.texts[n])); texts.append(text); });
      box.append(summary, texts);
      for (const comment of item.comments) { const note = el('p', 'comment'); note.append(el('b', '', comment.reviewer || 'A guest'), ` ${comment.said < 0 ? '(neither)' : `(for ${labels[comment.said]})`}: `, el('span', '', comment.text)); box.append(note); }
      list.append(box);
    }
    const { box, head } = card('Every pair', list);
    if (!open.all && v.items.length > FIRST) { const more = P.button('ui-quiet rv-all', `Show all ${v.items.length}`, () => { open.all = true; box.replaceWith(items(v, open)); }); box.append(more); }
    head.append(el('span', 'quiet', count(v.items.length, 'pair')));
    return box;
  };

  P.reviewOpened = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount');
    const box = (R.box = el('div', 'rv-opened')), trouble = el('div', 'ui-trouble'), body = el('div', 'rv-results');
    trouble.setAttribute('aria-live', 'assertive');
    box.append(trouble, body);
    mount.replaceChildren(box);
    let serial = 0, answered = 0, sent = 0, sign = '', over = false;
    const open = new Set();
    const send = (action, more = {}) => { if (!R.opened) return; serial += 1; sent = performance.now(); trigger(action, { ...more, id: R.opened, serial }); };
    const act = (action, more) => { trouble.replaceChildren(); send(action, more); };
    const empty = () => {
      const note = el('p', 'ui-empty'); note.append(el('b', '', 'No review yet.'), ' Choose variants and prompts above, name your reviewers, and send each of them a link.');
      body.replaceChildren(note);
    };
    R.open = (id) => {
      if (id !== R.opened) { open.clear(); open.all = false; sign = ''; }
      R.opened = id; R.drawList?.();
      if (!id) { sign = ''; empty(); return; }
      send('open');
    };
    const draw = () => {
      const v = P.json(props.value, null);
      if (!v || v.id !== R.opened || v.serial < answered) return;
      answered = v.serial;
      if (v.gone) { over = true; sign = ''; body.replaceChildren(P.refused(v.gone)); return; }
      if (v.error) trouble.replaceChildren(P.refused(v.error));
      const { serial: _, error: __, ...shown } = v, now = JSON.stringify(shown);
      if (now === sign) return;
      const typing = document.activeElement?.closest?.('.rv-invite, .rv-people, .rv-commonlink');
      if (typing && sign && document.activeElement.value) return; // not while a name is typed
      sign = now; over = Boolean(v.review.closed);
      const head = el('div', 'ui-section'), first = v.review.settings;
      const from = first.source === 'runs' ? count(first.runs.length, 'stored comparison') : first.source === 'prompts' ? `${first.prompts} ${first.set} prompts` : count(first.prompts, 'prompt');
      head.append(el('h3', '', v.review.name), el('span', 'quiet', `${from} · ${P.when(v.review.created)}`), el('span', over ? 'ui-state' : 'ui-state running', over ? 'closed' : 'open'));
      if (!over) head.append(P.asks('Close for good', v.review.reveal === 'never' ? 'No vote is taken any more.' : 'No vote is taken any more, and reviewers see the names.', 'Close it', 'Keep open', () => act('close'), 'Close this review for good'));
      const grid = el('div', 'rv-grid');
      grid.append(people(v, act), trust(v));
      body.replaceChildren(head, verdict(v), ...(v.ranking ? [ranking(v)] : []), grid, items(v, open));
    };
    watch('value', draw); draw();
    setInterval(() => {
      if (!R.here() || document.hidden || !R.opened || over) return;
      const waited = performance.now() - sent;
      if (waited > (answered < serial ? LOST_MS : LOOK_MS)) send('open');
    }, 500);
  };
})();
