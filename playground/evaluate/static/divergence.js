// Divergence in full: every measure of every variant with the noise floor among them, and by how sure the reference was.
(() => {
  const P = window.Playground;
  const { el } = P;
  const E = P.evaluate;
  const { put, canvas } = P;
  const known = (v) => v !== null && v !== undefined;
  const percent = (v, digits = 1) => `${(100 * v).toFixed(digits)}%`;
  const signed = (v) => `${v > 0 ? '+' : v < 0 ? '−' : '±'}${Math.abs(100 * v).toFixed(2)}%`;

  const COLUMNS = [
    ['Perplexity', '', 'exp of the mean surprise at the words that came.', (r) => +r.ppl.toPrecision(4)],
    ['ratio', 'to the reference', 'Perplexity over the reference’s: 1 is the same.', (r) => r.ppl_ratio.toFixed(4)],
    ['KLD', 'mean ± SE, nats', 'How far the distribution of the next token moved, mean over the text; the standard error is clustered by document.', (r) => E.nats(r.kld_mean), (r) => (known(r.kld_stderr) && r.kld_mean ? `± ${E.nats(r.kld_stderr)}` : '')],
    ['median', 'nats', 'Half of the tokens moved less.', (r) => E.nats(r.kld_median)],
    ['p90', 'nats', 'Nine of ten tokens moved less.', (r) => E.nats(r.kld_p90)],
    ['p99', 'nats', '99 of 100 tokens moved less.', (r) => E.nats(r.kld_p99)],
    ['p99.9', 'nats', '999 of 1,000 tokens moved less.', (r) => E.nats(r.kld_p999)],
    ['max', 'nats', 'The token that moved most.', (r) => E.nats(r.kld_max)],
    ['Same top', 'of all tokens', 'How often both find the same token most probable.', (r) => percent(r.top1_agreement)],
    ['Δp', 'mean', 'Change of the probability of the word that came. Below 0: less sure of the text.', (r) => signed(r.dp_mean)],
    ['Δp', 'RMS', 'Root mean square of that change.', (r) => percent(r.dp_rms, 2)],
  ];

  E.diverged = (view) => {
    const label = (row) => view.variants.find((v) => v.id === row.variant)?.label || row.variant;
    const wrap = el('div', 'ev-wrap'), table = el('table', 'ev-moved'), top = el('thead'), names = el('tr'), body = el('tbody');
    const first = el('th', 'who', 'Variant'); first.scope = 'col'; names.append(first);
    for (const [words, small, tip] of COLUMNS) {
      const th = el('th'), name = el('span', 'tipped', words);
      th.scope = 'col'; name.dataset.tip = tip; name.tabIndex = 0;
      th.append(name, el('small', '', small)); names.append(th);
    }
    const line = (row, words, cls) => {
      const tr = el('tr', cls), who = el('th', 'who');
      who.scope = 'row'; who.append(el('b', '', words));
      if (cls === 'reference') who.append(el('i', 'role', 'reference'));
      if (cls === 'noise') { who.dataset.tip = 'The reference against itself, computed in another type. What moved no more than this cannot be told from rounding.'; who.tabIndex = 0; who.classList.add('tipped'); }
      tr.append(who);
      for (const [words_, small_, , value, more] of COLUMNS) {
        const td = el('td'); td.dataset.name = `${words_}${small_ && small_ !== 'nats' ? `, ${small_}` : ''}`;
        const own = cls === 'reference' && words_ !== 'Perplexity';
        td.append(el('span', own ? 'none' : '', own ? '–' : String(value(row))));
        if (more && !own && more(row)) td.append(el('small', '', more(row)));
        tr.append(td);
      }
      return tr;
    };
    const [reference, ...others] = view.divergence;
    body.append(line(reference, label(reference), 'reference'));
    if (view.floor) body.append(line(view.floor, 'Noise floor', 'noise'));
    for (const row of others) body.append(line(row, label(row), view.floor && row.kld_mean <= view.floor.kld_mean ? 'within' : ''));
    top.append(names); table.append(top, body); wrap.append(table);
    wrap.tabIndex = 0; wrap.setAttribute('role', 'region'); wrap.setAttribute('aria-label', 'Divergence table');
    return E.part('Divergence', `${reference.tokens.toLocaleString('en')} tokens of ${reference.documents} document${reference.documents === 1 ? '' : 's'}, the whole vocabulary; no verdict: how far, not how much worse`, wrap);
  };

  // A group of columns for each range of confidence: where the reference was sure, a large KLD is a changed mind.
  E.confidence = (area, view) => {
    const rows = view.divergence.filter((row) => row.kld_mean > 0 && row.buckets);
    if (!rows.length) { area.replaceChildren(el('p', 'quiet', 'Nothing diverged.')); return; }
    const every = [...rows, ...(view.floor?.buckets ? [view.floor] : [])];
    const label = (row) => (row === view.floor ? 'noise floor' : view.variants.find((v) => v.id === row.variant)?.label || row.variant);
    const edges = rows[0].buckets.map((b) => b.confidence);
    const means = every.flatMap((row) => row.buckets.map((b) => b.kld_mean)).filter((v) => v > 0);
    const y0 = 10 ** Math.floor(Math.log10(Math.min(...means))), y1 = Math.max(...means) * 1.3;
    const H = 312, L = 46, R = 10, T = 22, B = 52;
    const [svg, W] = canvas(area, H, 'Mean KLD by how sure the reference was, logarithmic');
    svg.setAttribute('role', 'group');
    const y = (v) => T + (H - T - B) * (1 - Math.log(Math.max(v, y0) / y0) / Math.log(y1 / y0));
    for (let v = y0; v <= y1; v *= 10) { put(svg, 'line', { x1: L, x2: W - R, y1: y(v), y2: y(v), class: 'grid' }); put(svg, 'text', { x: L - 8, y: y(v) + 4, 'text-anchor': 'end' }, v < 0.01 ? v.toExponential(0) : String(+v.toPrecision(2))); }
    const wide = (W - L - R) / edges.length, gap = Math.min(26, wide * 0.22), step = (wide - gap) / rows.length;
    edges.forEach(([low, high], at) => {
      const left = L + at * wide + gap / 2, mid = left + (wide - gap) / 2;
      put(svg, 'text', { x: mid, y: H - B + 17, 'text-anchor': 'middle', class: 'name' }, low === 0 ? `< ${100 * high}%` : high === 1 ? `≥ ${100 * low}%` : `${100 * low}–${100 * high}%`);
      put(svg, 'text', { x: mid, y: H - B + 32, 'text-anchor': 'middle' }, `${percent(rows[0].buckets[at].tokens / rows[0].tokens, 0)}${wide < 100 ? '' : ' of tokens'}`);
      rows.forEach((row, index) => {
        const b = row.buckets[at], x = left + index * step;
        if (!known(b.kld_mean)) return;
        const lines = [`${label(row)}, reference ${percent(low, 0)} to ${percent(high, 0)} sure`, `mean KLD ${E.nats(b.kld_mean)} nats over ${b.tokens.toLocaleString('en')} tokens`, `the same top token in ${percent(b.top1_agreement)}`, ...(view.floor ? [`noise floor: ${E.nats(view.floor.buckets[at].kld_mean)} nats`] : [])];
        const g = E.point(svg, lines, 'bucket');
        put(g, 'rect', { x, y: T, width: step, height: H - T - B, class: 'hit' });
        put(g, 'rect', { x: x + 0.75, y: y(b.kld_mean), width: Math.max(1.5, step - 1.5), height: Math.max(1, y(y0) - y(b.kld_mean)), rx: 2, class: 'col', style: `--p:${(0.28 + (0.72 * (index + 1)) / rows.length).toFixed(3)}` });
      });
      const noise = view.floor?.buckets?.[at]?.kld_mean;
      if (noise) put(svg, 'line', { x1: left - 2, x2: left + wide - gap + 2, y1: y(noise), y2: y(noise), class: 'noiseline' });
    });
    put(svg, 'line', { x1: L, x2: W - R, y1: H - B, y2: H - B, class: 'edge' });
    put(svg, 'text', { x: W - R, y: H - 3, 'text-anchor': 'end' }, `${wide < 100 ? 'below: of all tokens' : 'how sure the reference was'}${view.floor ? ' · grey line: the noise floor' : ''}`);
    put(svg, 'text', { x: 0, y: 11, class: 'name' }, 'mean KLD, nats');
    const key = el('p', 'ev-key');
    rows.forEach((row, index) => { const one = el('span'), dot = el('i'); dot.style.setProperty('--p', (0.28 + (0.72 * (index + 1)) / rows.length).toFixed(3)); one.append(dot, document.createTextNode(label(row))); key.append(one); });
    area.append(key);
  };
})();
