// Samples: one item at a time, both answers side by side, those that changed first. Items come a page at a time.
(() => {
  const P = window.Playground;
  const { el } = P;
  const E = P.evaluate;
  const SHOWS = [['flips', 'Flips', 'Answers whose score changed.'], ['lost', 'Lost', 'The reference was right, or better, and the variant is not.'], ['won', 'Won', 'The variant is right, or better, where the reference was not.'], ['all', 'All', 'Every item.']];

  E.items = (view, page) => {
    const task = P.select(view.tasks.map((t) => [t.name, t.name])), variant = P.select(view.variants.slice(1).map((v, index) => [String(index + 1), v.label]));
    task.setAttribute('aria-label', 'Task'); variant.setAttribute('aria-label', 'Variant');
    const counts = new Map(), body = el('div', 'ev-browse'), list = el('div', 'ev-index'), one = el('div', 'ev-item'), pager = el('div', 'ev-pager'), side = el('div');
    let show = 'flips', offset = 0, chosen = 0, state = null, asked = false, last = false;
    const shows = P.radios('Which items', SHOWS.map(([key, words]) => [key, words]), (value) => { show = value; ask(0); });
    SHOWS.forEach(([key, , tip], index) => { const node = shows.children[index], n = el('small', '', ''); node.append(n); node.dataset.tip = tip; counts.set(key, n); });
    const bar = el('div', 'ev-bar'); bar.append(variant, task, shows);
    list.setAttribute('role', 'listbox'); list.setAttribute('aria-label', 'Items'); one.setAttribute('aria-live', 'polite');
    side.append(list, pager); body.append(side, one);
    const label = () => view.variants[Number(variant.value) || 0]?.label || '';
    const ask = (at, end) => {
      offset = at; last = Boolean(end); body.classList.add('loading');
      page({ id: view.id, task: task.value, variant: Number(variant.value), show, offset });
    };
    const mark = (item, index) => { const s = item.sides[Math.min(index, item.sides.length - 1)].score, node = el('i', `dot ${s >= 1 ? 'right' : s > 0 ? 'part' : 'wrong'}`); return node; };
    const lastLine = (text) => { const lines = text.trim().split('\n').filter((line) => line.trim()); return (lines.length > 1 && /^(answer|a)\s*:?$/i.test(lines.at(-1).trim()) ? lines.at(-2) : lines.at(-1))?.replace(/^(question|q)\s*:\s*/i, '') || '(empty)'; };
    const choose = (index, focus) => {
      chosen = Math.max(0, Math.min(index, state.items.length - 1));
      [...list.children].forEach((node, at) => { const on = at === chosen; node.setAttribute('aria-selected', on); node.tabIndex = on ? 0 : -1; if (on && focus) node.focus(); });
      draw(state.items[chosen]);
    };
    const turn = (by, focus) => {
      const next = chosen + by, total = state.counts[state.show];
      if (next < 0) { if (state.offset > 0) { keep = focus; ask(state.offset - state.size, true); } return; }
      if (next >= state.items.length) { if (state.offset + state.size < total) { keep = focus; ask(state.offset + state.size); } return; }
      choose(next, focus);
    };
    let keep = false;
    list.addEventListener('keydown', (e) => {
      const by = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (!by || !state) return;
      e.preventDefault(); turn(by, true);
    });
    const answer = (item, at) => {
      const found = item.sides[Math.min(at, item.sides.length - 1)], box = el('div', `answer ${found.score >= 1 ? 'right' : found.score > 0 ? 'part' : 'wrong'}`), head = el('div', 'head');
      head.append(el('b', '', at ? label() : view.variants[0].label), el('span', 'score', found.score >= 1 ? 'right' : found.score > 0 ? `scored ${+found.score.toFixed(2)}` : 'wrong'));
      if (found.truncated) { const tag = el('i', 'tag', 'cut off'); tag.dataset.tip = 'The token budget ended this answer.'; tag.tabIndex = 0; head.append(tag); }
      box.append(head, el('pre', '', found.answer === '' ? '(empty)' : found.answer));
      const foot = el('div', 'foot');
      foot.append(el('span', '', 'extracted '), el('code', '', found.extracted === '' ? '(nothing)' : found.extracted));
      box.append(foot);
      if (found.loglikelihoods) {
        const best = Math.max(...found.loglikelihoods), line = el('div', 'choices');
        line.append(el('span', 'name', 'log-likelihoods, nats'), ...found.loglikelihoods.map((v) => el('span', v === best ? 'best' : '', String(v).replace('-', '−'))));
        box.append(line);
      }
      return box;
    };
    const draw = (item) => {
      if (!item) { one.replaceChildren(); return; }
      const head = el('div', 'top'), prompt = el('pre', 'prompt', item.prompt), gold = el('div', 'gold'), sides = el('div', 'sides');
      const n = state.offset + chosen + 1;
      head.append(el('h4', '', `Item ${item.doc + 1}`), el('span', 'quiet', `${n.toLocaleString('en')} of ${state.counts[state.show].toLocaleString('en')} shown · ${state.task}`), el('span', `ev-flip ${item.moved}`, { lost: 'lost', won: 'won', same: 'no change' }[item.moved]));
      gold.append(el('span', '', 'gold answer '), el('code', '', item.gold === '' ? '(empty)' : item.gold));
      sides.append(answer(item, 0), ...(view.variants.length > 1 ? [answer(item, 1)] : []));
      const parts = [head, prompt];
      if (item.other_prompt !== null) { const other = el('pre', 'prompt', item.other_prompt); parts.push(el('p', 'ev-differs', `${label()} was given another prompt:`), other); }
      one.replaceChildren(...parts, gold, sides);
      for (const node of one.querySelectorAll('.prompt')) node.scrollTop = node.scrollHeight;
    };
    const take = (v) => {
      body.classList.remove('loading');
      if (v.error) { state = null; list.replaceChildren(); pager.replaceChildren(); one.replaceChildren(P.refused(v.error)); return; }
      state = v;
      for (const [key, node] of counts) node.textContent = ` ${v.counts[key].toLocaleString('en')}`;
      list.replaceChildren(...v.items.map((item, index) => {
        const row = P.button('row', '', () => choose(index)), words = el('span', 'words', lastLine(item.prompt));
        row.setAttribute('role', 'option');
        row.setAttribute('aria-label', `Item ${item.doc + 1}, ${item.moved === 'same' ? 'no change' : item.moved}: ${lastLine(item.prompt)}`);
        row.append(el('span', 'number', String(item.doc + 1)), words, mark(item, 0), mark(item, 1));
        return row;
      }));
      const total = v.counts[v.show], to = Math.min(total, v.offset + v.items.length);
      const back = P.button('ui-small', 'Back', () => ask(v.offset - v.size), 'Earlier items'), on = P.button('ui-small', 'Next', () => ask(v.offset + v.size), 'Later items');
      back.disabled = v.offset <= 0; on.disabled = to >= total;
      pager.replaceChildren(back, el('span', 'quiet', total ? `${(v.offset + 1).toLocaleString('en')}–${to.toLocaleString('en')} of ${total.toLocaleString('en')}` : '0'), on);
      pager.hidden = total <= v.size;
      if (!v.items.length) { one.replaceChildren(el('p', 'quiet ev-none', v.show === 'all' ? 'No items were kept.' : `No item of ${v.task} ${{ flips: 'changed its score', lost: 'was lost', won: 'was won' }[v.show]}.`)); return; }
      choose(last ? v.items.length - 1 : 0, keep); keep = false; last = false;
    };
    task.addEventListener('change', () => ask(0)); variant.addEventListener('change', () => ask(0));
    const box = E.part('Every answer', 'the reference’s beside the variant’s; dots: right, partly, wrong', bar, body);
    if (!view.items) { bar.hidden = true; one.replaceChildren(P.refused(['The items of this run are gone from the disk.', 'Its numbers stay; evaluate again to browse items.'])); return { box, take: () => {} }; }
    if (view.variants.length < 2) variant.hidden = true;
    // Nothing is asked for before somebody comes near it.
    const near = new IntersectionObserver((entries) => { if (!asked && entries.some((entry) => entry.isIntersecting)) { asked = true; near.disconnect(); ask(0); } }, { rootMargin: '400px' });
    near.observe(box);
    one.replaceChildren(el('p', 'quiet ev-none', 'Reading the items…'));
    return { box, take };
  };
})();
