// One pane. Its value only grows; what is new is appended, anything else redraws.
(() => {
  const P = window.Playground;
  const { el } = P;
  const TERMS = {
    decode: ['tok/s decode', 'Decode speed: tokens written per second once the first one is out. Higher is better.'],
    ttft: ['ms TTFT', 'Time to first token: from the moment the engine took the request until the first token. Lower is better.'],
    prefill: ['tok/s prefill', 'How fast the prompt was read: prompt tokens per second. Higher is better.'],
    tpot: ['ms TPOT', 'Time per output token: the mean gap between tokens after the first. Lower is better.'],
    tokens: ['tokens', 'Tokens written in this answer so far.'],
    memory: ['MB memory', 'Peak memory of this variant while it answered, as the engine measured it.'],
  };
  const small = (key) => {
    const cell = el('div', `num ${key === 'decode' ? 'big' : ''}`);
    const value = el('span', 'v', '–');
    const unit = el('span', 'u', TERMS[key][0]);
    unit.dataset.tip = TERMS[key][1];
    unit.tabIndex = 0;
    cell.append(value, unit);
    return { cell, value, unit };
  };

  // `replay`: a stored answer, played again; nothing can be asked of an engine.
  P.pane = (element, props, watch, trigger, replay = false) => {
    const mount = element.querySelector('.pg-mount');
    const root = el('section', 'pane');
    const label = el('h2', 'label'), notes = el('p', 'notes'), role = el('span', 'role', 'reference'), source = el('p', 'source'), made = el('span', 'made');
    const title = el('div', 'title');
    const engines = P.enginePicker((engine) => trigger('engine', { engine }));
    title.append(label, role, engines.root);
    const path = el('p', 'path');
    path.tabIndex = 0;
    const header = el('header');
    header.append(title, made, source, path, notes, engines.menu);
    const nums = el('div', 'nums'), cells = {};
    for (const key of Object.keys(TERMS)) { cells[key] = small(key); nums.append(cells[key].cell); }
    const spark = el('div', 'spark');
    const sparkSvg = P.svg('svg', { viewBox: '0 0 100 28', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    const sparkLine = P.svg('polyline', { fill: 'none', 'stroke-width': '1.4', 'vector-effect': 'non-scaling-stroke' });
    sparkSvg.append(sparkLine);
    const sparkText = el('span', 'u', 'ms a token');
    sparkText.dataset.tip = 'Inter-token latency: the gap before each token. p50 is the median, p99 is exceeded by one gap in a hundred.';
    sparkText.tabIndex = 0;
    spark.append(sparkSvg, sparkText);
    nums.append(spark);
    const body = el('div', 'body');
    body.tabIndex = 0;
    body.setAttribute('role', 'group');
    const why = el('div', 'why');
    const status = el('span', 'status');
    status.setAttribute('role', 'status');
    const stop = P.button('act', 'Stop', () => trigger('halt'));
    const again = P.button('act', 'Regenerate', () => trigger('again'));
    const copy = P.button('act', 'Copy', async () => {
      try { await navigator.clipboard.writeText(me.text); copy.textContent = 'Copied'; } catch { copy.textContent = 'Not allowed'; }
      setTimeout(() => { copy.textContent = 'Copy'; }, 1500);
    });
    const acts = el('div', 'acts');
    acts.append(...(replay ? [copy] : [stop, again, copy]));
    const footer = el('footer');
    footer.append(status, acts);
    root.append(header, nums, body, why, footer);
    mount.replaceChildren(root);

    const me = { root, board: P.boardOf(element), steps: [], gaps: [], text: '', label: '', reference: false, state: 'empty', again, turns: new Map() };
    const forced = P.forced(me, trigger);
    P.panes.set(root, me);
    const slot = element.closest('.pg-slot'), picker = slot.id && document.getElementById(slot.id.replace('slot', 'pick'));
    let used = 0, prev = '', toks = [], box = null, stage = null, timer = 0, since = 0, empty = null, cursor = -1;

    const setState = (name) => {
      me.state = root.dataset.state = name;
      if (!['waiting', 'loading', 'ready', 'reading'].includes(name)) { stage?.remove(); stage = null; clearInterval(timer); timer = 0; }
      P.busy();
    };
    const reset = () => {
      forced.reset(); me.turns = new Map();
      me.unusable = false; used = 0; toks = []; box = null; cursor = -1; me.steps = []; me.gaps = []; me.text = '';
      body.replaceChildren(); why.replaceChildren(); made.textContent = ''; path.replaceChildren(); delete path.dataset.tip;
      numbers({}); status.textContent = '';
      empty = el('div', 'hint', me.reference || !P.anyTurn() ? 'Type a prompt below and press Run: the answer streams in here.' : 'This pane has not answered yet. Run a new prompt, or the last one:');
      body.append(empty);
      setState('empty');
    };
    const numbers = (n) => {
      for (const key of Object.keys(TERMS)) {
        let value = n[key], text = P.fig(value);
        if (key === 'tokens' && value) text = String(value);
        if (key === 'memory' && value) {
          const gb = value >= 1e9;
          text = gb ? (value / 1e9).toFixed(2) : String(Math.round(value / 1e6));
          cells.memory.unit.textContent = gb ? 'GB memory' : 'MB memory';
        }
        cells[key].value.textContent = value === null || value === undefined ? '–' : text;
      }
      sparkText.textContent = n.p50 ? `p50 ${P.fig(n.p50)} · p99 ${P.fig(n.p99)} ms` : 'ms a token';
      drawSpark();
    };
    const drawSpark = () => {
      const gaps = me.gaps, top = Math.max(...P.live(me.board).flatMap((p) => p.gaps.slice(-400)), 0.001);
      const some = gaps.slice(-400);
      sparkLine.setAttribute('points', some.map((g, i) => `${((i * 100) / Math.max(1, some.length - 1)).toFixed(2)},${(27 - (26 * g) / top).toFixed(2)}`).join(' '));
    };
    const showStage = (words, done, total, unit, quiet) => {
      if (!stage) {
        stage = el('div', 'stage');
        stage.append(el('div', 'words'), el('div', 'bar'), el('div', 'much'));
        stage.children[1].append(el('i'));
      }
      body.append(stage);
      const [text, bar, much] = stage.children;
      if (text.textContent !== words) since = performance.now();
      text.textContent = words;
      bar.classList.toggle('unknown', !total && !quiet);
      bar.style.visibility = quiet ? 'hidden' : 'visible';
      bar.firstChild.style.width = total ? `${Math.min(100, (100 * done) / total)}%` : '';
      const amount = total ? `${P.unit(done, unit === 'bytes' ? 'bytes' : '')} of ${P.unit(total, unit)} · ${Math.floor((100 * done) / total)}%` : '';
      const tick = () => {
        const seconds = Math.floor((performance.now() - since) / 1000);
        much.textContent = [amount, seconds > 0 && !replay ? `${seconds} s` : ''].filter(Boolean).join(' · ');
      };
      clearInterval(timer); timer = setInterval(tick, 1000); tick();
      status.textContent = words;
      follow();
    };
    // All panes scroll in one frame: one layout for all of them.
    let following = 0;
    const follow = () => {
      if (!me.stick || following) return;
      following = requestAnimationFrame(() => { following = 0; if (me.stick) body.scrollTop = body.scrollHeight; });
    };
    me.stick = true;
    body.addEventListener('scroll', () => { me.stick = body.scrollHeight - body.scrollTop - body.clientHeight < 40; });
    const tokenTip = (t, index, span) => () => {
      const [text, piece, ms, gap, p, top] = t, both = P.forcedTip(span, piece, index);
      if (both) return both;
      const first = el('div', 'first');
      first.append(el('b', '', `“${P.shown(piece)}”`), el('span', '', ` token ${index + 1}`));
      const lines = [first, el('div', '', `${P.fig(ms)} ms${gap === null ? ', reading the prompt included' : ''}${p === null ? '' : ` · probability ${P.pct(p)}`}`)];
      if (top && top.length) {
        const list = el('div', 'top');
        for (const [word, share] of top) {
          const row = el('div', 'alt');
          const bar = el('i');
          bar.style.width = `${Math.max(1, 100 * (share || 0))}%`;
          row.append(el('span', 'w', P.shown(word)), el('span', 'm'), el('span', 's', P.pct(share)));
          row.children[1].append(bar);
          list.append(row);
        }
        lines.push(list);
      }
      return lines;
    };
    const on = {
      head: (h) => {
        me.label = h.label; me.reference = h.role === 'reference';
        label.textContent = h.label;
        label.dataset.tip = h.id;
        role.hidden = !me.reference;
        root.classList.toggle('is-reference', me.reference);
        root.setAttribute('aria-label', `Pane ${h.label}`);
        body.setAttribute('aria-label', `Answer of ${h.label}; arrow keys walk through its tokens`);
        source.replaceChildren();
        const add = (node) => { if (source.childNodes.length) source.append(' · '); source.append(node); };
        for (const [text, tip] of h.facts) { const node = el('span', 'fact', text); node.dataset.tip = tip; node.tabIndex = 0; add(node); }
        if (h.source) { const node = el('span', '', h.source); node.dataset.tip = h.source; add(node); }
        notes.textContent = h.notes.join(' ');
        engines.show(h.engine, h.engines);
      },
      user: (text, key) => {
        empty?.remove(); empty = null;
        body.append(el('div', 'user', text));
        box = el('div', 'toks'); body.append(box);
        toks = []; me.turns.set(key, toks); forced.turn(); me.gaps = []; me.text = ''; cursor = -1; me.stick = true;
        why.replaceChildren(); numbers({});
      },
      made: (text, where, kernel) => {
        made.textContent = text;
        if (!where) return;
        path.replaceChildren(el('span', '', where), ...(kernel ? [' · ', el('span', '', kernel)] : []));
        path.dataset.tip = `What computed this answer: ${where}. ${kernel || 'The engine does not say which kernel it uses.'}`;
      },
      state: (name, words, done, total, unit) => {
        setState(name);
        if (name === 'waiting') showStage(words || 'Waiting for its turn', done || 0, total || 0, unit || '', !words);
        else if (name === 'loading') showStage(words || 'Loading', done, total, unit);
        else if (name === 'ready') showStage('Loaded; the other panes are getting ready', 0, 0, '', true);
        else if (name === 'reading') showStage(`Reading the prompt, ${P.unit(done, unit)}`, 0, 0, '');
      },
      tok: (...t) => {
        if (me.state !== 'running') { setState('running'); status.textContent = 'Writing'; }
        const [text, piece, ms, gap, p] = t;
        const span = el('span', 'tk', text);
        if (gap === null) span.classList.add('first'); else { span.style.setProperty('--ms', ms); me.steps.push(ms); me.gaps.push(gap); }
        if (p === null) span.classList.add('nop'); else span.style.setProperty('--p', p);
        span.pgTip = tokenTip(t, toks.length, span);
        toks.push(span); box.append(span); me.text += text;
      },
      num: numbers,
      part: (index, sentence, name) => {
        const span = toks[index];
        if (span) { span.classList.add('div'); if (/^\s*$/.test(span.textContent)) span.dataset.mark = span.textContent.includes('\n') ? '↵' : '␣'; }
        else { const gone = el('span', 'tk div ended'); gone.dataset.mark = 'end'; gone.dataset.tip = 'This text ends here; the other goes on.'; box.append(gone); }
        const note = P.button('note', '', () => { const at = toks[index] || box.lastChild; at.scrollIntoView({ block: 'nearest' }); P.tip(at); });
        note.addEventListener('click', (e) => e.stopPropagation());
        note.append(el('span', '', sentence));
        why.append(note);
        note.title = `${name ? `Against ${name}. ` : ''}Margin: how much more probable the variant found its own word than the reference’s.`;
      },
      measure: (...of) => forced.measure(toks, ...of),
      forced: forced.add,
      measured: (state, words) => forced.say(why, state, words),
      end: (name, words, reported) => {
        setState(name);
        status.textContent = words[0].toUpperCase() + words.slice(1);
        if (reported) {
          const own = el('span', 'own', reported);
          own.dataset.tip = 'What the engine itself says of this answer, from its own clock; the numbers above are measured apart from it.'; own.tabIndex = 0;
          status.append(own);
        }
        P.rescale(true); drawSpark();
      },
      fail: (message, hint, log) => {
        empty?.remove(); empty = null;
        setState('failed');
        me.unusable = !box;
        status.textContent = me.text ? 'Failed; what it wrote is kept' : me.unusable ? 'Choose another variant above' : 'Failed';
        const card = el('div', 'fail');
        card.setAttribute('role', 'alert');
        card.append(el('b', '', message));
        if (hint) card.append(el('p', '', hint));
        if (log) { const more = el('details'); more.append(el('summary', '', 'Last lines of the log'), el('pre', '', log)); card.append(more); }
        if (box && !replay) card.append(P.button('retry', 'Try again', () => trigger('again')));
        body.append(card);
      },
    };
    const draw = () => {
      const value = props.value || '';
      me.shown = value !== '';
      slot.hidden = !me.shown;
      if (picker) picker.hidden = !me.shown;
      if (!value.startsWith(prev) || value === '') reset();
      const end = value.lastIndexOf('\n') + 1;
      for (const raw of value.slice(used, end).split('\n')) {
        if (!raw) continue;
        const [kind, ...rest] = JSON.parse(raw);
        on[kind]?.(...rest);
      }
      used = end; prev = value;
      again.textContent = me.state === 'empty' ? 'Run last prompt' : 'Regenerate';
      if (me.state === 'running') P.soon();
      follow(); P.busy();
    };
    body.addEventListener('keydown', (e) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (!step || !toks.length) return;
      e.preventDefault();
      toks[cursor]?.classList.remove('at');
      cursor = Math.max(0, Math.min(toks.length - 1, cursor + step));
      toks[cursor].classList.add('at');
      toks[cursor].scrollIntoView({ block: 'nearest' });
      requestAnimationFrame(() => P.tip(toks[cursor]));
    });
    body.addEventListener('blur', () => toks[cursor]?.classList.remove('at'));
    me.drawSpark = drawSpark;
    me.buttons = { stop, again, copy };
    me.close = () => { clearInterval(timer); P.panes.delete(root); };
    me.engines = engines;
    watch('value', draw); draw();
    return me;
  };

  const BUSY = ['waiting', 'loading', 'ready', 'reading', 'running'];
  P.live = (board = P.board()) => [...P.panes.values()].filter((pane) => pane.shown && pane.board === board);
  P.anyTurn = () => P.live('compare').some((pane) => pane.state !== 'empty' && !pane.unusable);
  P.busy = () => {
    for (const pane of P.live('run')) if (pane.buttons) pane.buttons.copy.hidden = !pane.text;
    const panes = P.live('compare');
    const any = panes.some((pane) => BUSY.includes(pane.state));
    document.documentElement.toggleAttribute('data-began', P.anyTurn());
    document.documentElement.dataset.panes = panes.length;
    for (const pane of panes) {
      if (!pane.buttons) continue;
      pane.buttons.stop.hidden = !BUSY.includes(pane.state);
      pane.buttons.again.hidden = BUSY.includes(pane.state) || (pane.state === 'empty' && !P.anyTurn()) || pane.unusable;
      pane.buttons.again.disabled = any;
      pane.buttons.copy.hidden = !pane.text;
      pane.engines?.lock(any);
      pane.root.querySelector('.retry')?.toggleAttribute('disabled', any);
    }
    return any;
  };
})();
