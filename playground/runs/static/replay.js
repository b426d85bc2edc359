// A stored comparison, played in the browser from the times that were measured. One fetch brought everything.
(() => {
  const P = window.Playground;
  const { el } = P;
  const SPEEDS = [['1', '1×'], ['4', '4×'], ['0', 'at once']];
  const STEP_S = 1; // of the arrow keys
  const clock = (s) => (s < 60 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${(s % 60).toFixed(1).padStart(4, '0')} s`);

  // A value as gradio would keep it, for the parts that Compare has too.
  const held = (value) => {
    const props = { value }, seen = [];
    return { props, watch: (_, run) => seen.push(run), set: (next) => { props.value = next; for (const run of seen) run(); } };
  };
  const mounted = (cls) => { const box = el('div', cls), mount = el('div', 'pg-mount'); box.append(mount); return box; };

  // One pane: its lines as one text, and where each line ends in it.
  const track = (pane) => {
    let at = 0;
    const ends = pane.lines.map(([, line]) => (at += line.length));
    return { text: pane.lines.map(([, line]) => line).join(''), ends, times: pane.lines.map(([time]) => time), shown: -1 };
  };
  const until = (times, t) => { // how many lines are there at t
    let low = 0, high = times.length;
    while (low < high) { const mid = (low + high) >> 1; if (times[mid] <= t + 1e-9) low = mid + 1; else high = mid; }
    return low;
  };

  let plot = null, legend = null; // made once: they listen to the whole page

  // `{ close }`. Opens at the end, with everything there.
  P.replay = (mount, replay) => {
    const tracks = replay.panes.map(track), values = tracks.map(() => held('')), panes = [];
    const total = Math.max(0, ...replay.panes.map((pane) => pane.end));
    const fresh = !plot;
    if (fresh) { plot = mounted('rp-plot'); legend = mounted('rp-legend'); }
    let now = total, speed = 1, playing = false, frame = 0, before = 0;

    const verdict = mounted('rp-verdict'), stage = el('section', 'rp-stage'), bar = el('div', 'rp-bar'), row = el('div', 'rp-panes');
    stage.setAttribute('aria-label', 'Replay');
    const play = P.button('rp-play', 'Replay', () => (playing ? pause() : start()));
    const again = P.button('rp-again', 'Restart', () => { go(0); start(); });
    const slider = el('input', 'rp-slider'), time = el('output', 'rp-time');
    slider.type = 'range'; slider.min = 0; slider.max = total.toFixed(3); slider.step = 'any'; slider.setAttribute('aria-label', 'Time of the replay');
    const speeds = P.radios('Speed of the replay', SPEEDS, (value) => { speed = Number(value); if (!speed) { pause(); go(total); } else if (playing) before = performance.now(); });
    bar.append(play, again, speeds, slider, time, legend);
    play.dataset.tip = 'Space plays and pauses, ← and → go a second back and on, Home restarts.';
    const note = el('p', 'rp-note quiet', 'Original timings of each pane’s own clock, from the moment its engine took the request; what a pane waited for others is left out. Nothing is computed for this.');
    stage.append(bar, row, note);

    const draw = () => {
      tracks.forEach((one, index) => {
        const count = now >= total ? one.times.length : until(one.times, now);
        if (count === one.shown) return;
        one.shown = count;
        values[index].set(one.text.slice(0, count ? one.ends[count - 1] : 0));
      });
      slider.value = now;
      slider.style.setProperty('--done', `${total ? (100 * now) / total : 100}%`);
      slider.setAttribute('aria-valuetext', `${clock(now)} of ${clock(total)}`);
      time.textContent = `${clock(now)} of ${clock(total)}`;
      play.textContent = playing ? 'Pause' : now >= total ? 'Replay' : 'Play';
      stage.dataset.playing = playing;
    };
    const tick = () => {
      if (!playing) return;
      const at = performance.now();
      now = Math.min(total, now + (Math.max(0, at - before) / 1e3) * speed); before = at;
      if (now >= total) { playing = false; P.rescale(true); } else frame = requestAnimationFrame(tick);
      draw();
    };
    const start = () => {
      if (!speed) speeds.firstElementChild.click();
      if (now >= total) now = 0;
      playing = total > 0; before = performance.now();
      cancelAnimationFrame(frame); frame = requestAnimationFrame(tick);
      draw();
    };
    const pause = () => { playing = false; cancelAnimationFrame(frame); draw(); };
    const go = (t) => { now = Math.max(0, Math.min(total, t)); before = performance.now(); draw(); };
    slider.addEventListener('input', () => { if (playing) pause(); go(Number(slider.value)); });

    const keys = (e) => {
      if (P.page() !== 'run' || e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.target instanceof Element && e.target.closest('input, textarea, select, button, a, summary, [role="radio"], .pane .body')) return;
      const act = { ' ': () => (playing ? pause() : start()), ArrowLeft: () => go(now - STEP_S), ArrowRight: () => go(now + STEP_S), Home: () => go(0), End: () => go(total) }[e.key];
      if (!act) return;
      e.preventDefault(); act();
    };
    document.addEventListener('keydown', keys);

    mount.append(verdict, stage, plot);
    P.verdict(verdict, { value: JSON.stringify(replay.verdict) }, () => {});
    replay.panes.forEach((pane, index) => {
      const slot = mounted('pg-slot');
      row.append(slot);
      const me = P.pane(slot, values[index].props, values[index].watch, () => {}, true);
      me.allSteps = pane.steps; // the scale of the whole answer from the first token on
      panes.push(me);
    });
    row.dataset.panes = panes.length;
    if (fresh) { P.legend(legend); P.plot(plot); }
    draw();
    for (const pane of panes) { const body = pane.root.querySelector('.body'); pane.stick = false; body.scrollTop = 0; }
    P.rescale(true);
    return { close: () => { pause(); document.removeEventListener('keydown', keys); for (const pane of panes) pane.close(); } };
  };
})();
