// What the draft of the form would make, and the button that starts it. Asked for again after each change.
import { html, nothing } from '../web/vendor/lit-html.js';
import { call } from '../web/app.js';
import { between, bytes, unbroken } from '../web/format.js';
import { notice } from '../web/parts.js';

const WAIT_MS = 280;
const FIELDS = new Set(['group_size', 'scheme', 'kv_cache', 'samples', 'max_length', 'seed', 'upload', 'hub', 'text', 'ignore', 'keep', 'name']);

// form: of form.js; started(): the job is queued.
export const cost = ({ form, redraw, started }) => {
  let answer = null, stale = true, refused = null, busy = false, probed = false, timer = 0, control = null;
  const brief = () => { const draft = form.draft(); return { ...draft, calibration: { ...draft.calibration, text: draft.calibration.text?.slice(0, 80) ?? '' } }; };

  const ask = async (measure = false) => {
    control?.abort();
    const mine = (control = new AbortController());
    try { answer = await call('api/quantize/estimate', { ...brief(), measure }, mine.signal); refused = null; } catch (error) {
      if (mine.signal.aborted) return;
      answer = null; refused = error;
    }
    stale = false;
    redraw();
    if (answer && !answer.measured && !probed) measureOnce();
  };
  // Some ten seconds, once for this machine. Meanwhile the form may change: then the estimate is asked for again.
  const measureOnce = async () => {
    probed = true;
    const asked = JSON.stringify(brief());
    try {
      const measured = await call('api/quantize/estimate', { ...brief(), measure: true });
      if (form.ready && JSON.stringify(brief()) === asked && !stale) { answer = measured; redraw(); } else if (form.ready) ask();
    } catch (error) { console.warn(error); } // the estimate without a time stays
  };
  const changed = () => {
    control?.abort(); clearTimeout(timer);
    stale = true; refused = null;
    redraw();
    if (form.ready) timer = setTimeout(ask, WAIT_MS);
  };
  const problem = () => refused ?? (stale ? null : answer?.error ?? null);
  const able = () => form.ready && !busy && !stale && answer && !problem();
  const start = async () => {
    if (!able()) return;
    busy = true;
    redraw();
    try { await call('api/quantize/start', await form.complete()); started(); } catch (error) { refused = error; }
    busy = false;
    redraw();
  };

  const fact = (name, value, unit, tip, part) => html`<div class="ui-fact"><span class="k tipped" tabindex="0" data-tip=${tip}>${name}</span><b class="v">${value}</b><span class="u">${unit}</span>
    ${part === undefined ? nothing : html`<i class="bar"><i class=${part > 1 ? 'over' : ''} .style=${`width: ${Math.min(100, Math.max(1, 100 * part))}%`}></i></i>`}</div>`;
  const range = ([low, high]) => { const words = [bytes(low), bytes(high)], unit = / \w+$/.exec(words[1])[0]; return `${words[0].endsWith(unit) ? words[0].slice(0, -unit.length) : words[0]}–${words[1]}`; };
  const outcome = (v) => {
    const times = v.before / v.after;
    return html`<h3>What comes out</h3>
      <p class="sizes"><span>${bytes(v.before)}</span><i>→</i><b>${v.exact ? '' : '≈ '}${bytes(v.after)}</b></p>
      <p class="ratio">${times >= 1.005 ? `${times.toFixed(2)}× smaller` : times <= 0.995 ? `${(1 / times).toFixed(2)}× larger` : 'the same size'} · <span class="tipped" tabindex="0" data-tip="All tensors of the checkpoint in bits, divided by its parameters. It includes what keeps 16 bits, such as the embedding.">${v.bits_before.toFixed(1)} → ${v.bits.toFixed(1)} bits per weight</span></p>
      <p class="id">${v.name}</p>
      <div class="ui-facts">
        ${fact('Time', v.seconds ? between(v.seconds) : v.measured ? '–' : '…', v.seconds ? 'on this machine' : 'measuring this machine once, about 10 s', 'Computed from the measured speed of this machine and the work that the recipe takes.')}
        ${fact('Peak memory', range(v.memory), `of ${bytes(v.memory_free)} free`, 'Resident memory of the worker at its peak. A range, because some copies may or may not exist at the same time.', v.memory[1] / v.memory_free)}
        ${fact('Disk', bytes(v.disk), `of ${bytes(v.disk_free)} free`, 'The variant, its tokenizer, and the data for the save/reload check.', v.disk / v.disk_free)}
      </div>`;
  };

  const template = () => {
    const row = form.method(), wrong = problem(), placed = Boolean(wrong && FIELDS.has(wrong.field));
    const words = busy ? 'Queueing…' : wrong || form.broken ? 'Not possible with these settings' : row ? html`Quantize with ${unbroken(row.title)}${!stale && answer?.seconds ? html`, ${unbroken(between(answer.seconds))}` : nothing}` : 'Quantize';
    return html`<div class="shown ${stale ? 'stale' : ''}" aria-live="polite">${answer && !(refused && !answer.after) ? outcome(answer) : html`<h3>What comes out</h3><p class="sizes none">–</p><p class="ratio">${form.broken || wrong ? 'This cannot be made as it is.' : 'Reading the model…'}</p>`}</div>
      <div class="ui-trouble">${placed ? html`<p class="qz-see">See the marked field in the form.</p>` : notice(wrong)}</div>
      <button type="button" class="ui-go" ?disabled=${!able()} @click=${start}>${words}</button>
      <p class="ui-under quiet">The job runs in its own process: closing this page does not stop it.</p>
      <ul class="qz-notes">${(answer?.reasons ?? []).map((reason) => html`<li>${reason}</li>`)}</ul>`;
  };
  return { changed, start, template, problem, get group() { return answer?.group ?? ''; } };
};
