// One evaluation: the answer in words, what makes it doubtful, the table, the plots, the items. A function of the run's
// view alone, so that any page can show any run: `P.evaluation(mount, view, page)`, where page(question) asks for items.
(() => {
  const P = window.Playground;
  const { el } = P;
  const E = P.evaluate;

  const verdict = (view) => {
    const box = el('section', 'ev-verdict');
    box.setAttribute('aria-label', 'Verdict');
    for (const one of view.verdict) {
      const line = el('div', `ev-said ${one.kind}`);
      const words = el('p', '', one.text);
      if (one.rest) words.append(el('span', 'rest', ` ${one.rest}`));
      line.append(words, ...(one.note ? [el('span', 'note', one.note)] : []));
      box.append(line);
    }
    if (!view.verdict.length) box.append(el('div', 'ev-said same', 'Only the reference was measured: there is nothing to compare.'));
    return box;
  };
  const warnings = (view) => {
    const box = el('section', 'ev-warnings');
    box.setAttribute('aria-label', 'Warnings');
    for (const one of view.warnings) {
      const card = el('div', `ev-warning ${one.withholds ? 'withholds' : ''}`);
      const where = [one.variants.length < view.variants.length ? one.variants.join(', ') : '', one.tasks.join(', ')].filter(Boolean).join(' on ');
      card.append(el('b', '', one.withholds ? 'No verdict' : 'Mind'), el('span', 'where', where), el('span', 'said', one.texts[0]));
      if (one.texts.length > 1) {
        const rest = el('details'), list = el('ul');
        list.append(...one.texts.slice(1).map((text) => el('li', '', text)));
        rest.append(el('summary', '', `${one.texts.length - 1} more like it`), list);
        card.append(rest);
      }
      box.append(card);
    }
    return box;
  };
  const facts = (view) => {
    const box = el('details', 'ev-how'), summary = el('summary', '', 'How it was measured'), said = el('span', 'quiet', ` · ${view.conditions.join(' · ')}`), list = el('dl');
    summary.append(said);
    const put = (name, words) => { if (words) list.append(el('dt', '', name), el('dd', '', words)); };
    put('Conditions', view.conditions.join(' · '));
    put('Machine', view.device.join(' · '));
    const { total, ...stages } = view.seconds, expected = view.estimate?.seconds;
    put('Time', [Number.isFinite(total) && `${P.span(total)} in all`, expected && `expected ${view.estimate.missing.length ? 'at least ' : ''}${P.between(expected)}${view.estimate.resumed ? ', for the whole: it went on from an interrupted job' : ''}`].filter(Boolean).join(' · '));
    put('of which', Object.entries(stages).filter(([, s]) => Number.isFinite(s)).map(([name, s]) => `${name} ${P.span(s)}`).join(' · '));
    for (const v of view.variants) put(v.label, [v.id, v.engine, v.dtype, v.kernel, v.loaded_bytes && `${P.bytes(v.loaded_bytes)} loaded`, v.content_hash && `weights ${v.content_hash.slice(0, 12)}`, v.template_hash && `template ${v.template_hash.slice(0, 12)}`].filter(Boolean).join(' · '));
    box.append(summary, list);
    return box;
  };
  const part = (title, note, ...parts) => {
    const box = el('section', 'ev-card'), head = el('div', 'ev-card-head');
    box.setAttribute('aria-label', title);
    head.append(el('h3', '', title), el('span', 'quiet', note || ''));
    box.append(head, ...parts);
    return box;
  };
  E.part = part;

  // `bare`: without the head and without how it was measured, where the page around it says both.
  P.evaluation = (mount, view, page, bare = false) => {
    const head = el('div', 'ui-section');
    const labels = view.variants.map((v) => v.label);
    head.append(el('h3', '', labels.length > 1 ? `${labels.slice(1).join(', ')} against ${labels[0]}` : labels[0] || view.title), el('span', 'quiet', `${view.model} · ${P.when(view.created)}`));
    const plots = el('div', 'ev-plots'), draws = [];
    const plot = (title, note, draw, ...before) => { const area = el('div', 'area'); plots.append(part(title, note, ...before, area)); draws.push(() => draw(area)); return area; };
    if (view.variants.length > 1 && E.axes(view).length) E.tradeoff(view, plot);
    if (view.divergence.length) plot('How far single tokens moved', 'share of tokens by their KLD, nats', (area) => E.spread(area, view));
    if (view.divergence.length > 1) plot('By how sure the reference was', 'its probability of its most probable token', (area) => E.confidence(area, view)).closest('.ev-card').classList.add('wide');
    if (view.rows.length) plot('Scores', view.tasks.some((t) => t.chance !== null) ? '± 1.96 standard errors; grey line: the reference, dotted: chance' : '± 1.96 standard errors; the grey line is the reference', (area) => E.scores(area, view)).closest('.ev-card').classList.add('wide');
    if (!bare) head.append(P.linkButton(view.id));
    const parts = [...(bare ? [] : [head]), verdict(view), ...(view.warnings.length ? [warnings(view)] : []), ...(view.rows.length ? [E.table(view)] : []), ...(view.divergence.length > 1 ? [E.diverged(view)] : []), plots];
    const items = view.rows.length ? E.items(view, page) : null;
    if (items) parts.push(items.box);
    if (!bare) parts.push(facts(view));
    mount.replaceChildren(...parts);
    const redraw = () => draws.forEach((draw) => draw());
    redraw();
    let width = plots.clientWidth;
    new ResizeObserver(() => { if (Math.abs(plots.clientWidth - width) > 2) { width = plots.clientWidth; redraw(); } }).observe(plots);
    return { items: (v) => items?.take(v) };
  };

  // ---- the page's own: whichever run is open
  P.evaluateRun = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount'), box = (E.box = el('section', 'ev-run'));
    box.setAttribute('aria-label', 'Evaluation'); box.setAttribute('aria-live', 'polite');
    mount.replaceChildren(box);
    let drawn = null;
    const empty = () => {
      const hint = el('div', 'ui-empty');
      hint.append(el('b', '', 'Nothing evaluated yet.'), el('span', '', ' A finished evaluation appears here: first what was lost in plain words, then each score with its uncertainty, and every item that changed. The bundled facts and cloze tasks take a minute or two on a small model: a good first one.'));
      box.replaceChildren(hint);
    };
    E.opened = undefined;
    E.open = (id) => {
      if (E.opened === id) return;
      E.opened = id; E.view = null; drawn = null;
      if (!id) { empty(); return; }
      box.classList.add('loading');
      if (!box.childElementCount || box.querySelector('.ui-empty')) box.replaceChildren(el('div', 'ui-empty', 'Reading the run…'));
      E.drawRuns?.();
      trigger('open', { id });
    };
    const draw = () => {
      const v = P.json(props.value, null);
      if (!v || v.id !== E.opened) return;
      box.classList.remove('loading');
      if (v.error) { box.replaceChildren(P.refused(v.error)); return; }
      if (drawn === v.id) return; // a run never changes: whoever reads it keeps the place
      drawn = v.id; E.view = v;
      E.shown = P.evaluation(box, v, (question) => E.page(question));
    };
    watch('value', draw); draw();
  };
  P.evaluateItems = (element, props, watch, trigger) => {
    let serial = 0;
    E.page = (question) => { serial += 1; trigger('browse', { ...question, serial }); };
    watch('value', () => { const v = P.json(props.value, null); if (v && v.serial === serial && v.id === E.opened) E.shown?.items(v); });
  };
})();
