// What a measurement found: headline, table, levels of concurrency, plots. Also drawn on the page of a stored run.
import { html, nothing, render } from '../web/vendor/lit-html.js';
import { bytes, fig } from '../web/format.js';
import { download, linkButton } from '../web/parts.js';
import { plots } from '../web/plots.js';

const ms = (s) => (s === null ? '–' : fig(s * 1e3));
const TESTS = { pp: 'Prefill', tg: 'Decode' };
const kind = (test) => TESTS[test.slice(0, 2)] ?? test;
// "tg64 @ d512" → "64 tokens after 512"
const words = (test) => {
  const [, count, , depth] = test.match(/^\D+(\d+)( @ d(\d+))?/) ?? [];
  return count ? `${Number(count).toLocaleString('en')} tokens${depth ? ` after ${Number(depth).toLocaleString('en')}` : ''}` : test;
};
const tag = (text, tip) => html`<i class="tag" data-tip=${tip}>${text}</i>`;
const speed = (row) => html`<span class="v"><b>${fig(row.tok_s_mean)}</b>${row.tok_s_sd === null ? nothing : html`<small> ± ${fig(row.tok_s_sd)}</small>`}
  ${row.clock === 'client' ? tag('client', 'Timed at arrival: the engine does not report its own times, so the connection is part of the figure.') : nothing}
  ${row.contended ? tag('contended', 'The device was busy with other work meanwhile.') : nothing}</span>`;
const utilisation = (row) => {
  if (row.mbu === null) return html`<span class="mbu" data-tip=${row.mbu_missing || 'Not measured.'}><b>–</b></span>`;
  return html`<span class="mbu" data-tip=${`Memory bandwidth utilisation: decoding reads ${bytes(row.bytes_per_token * row.tok_s_mean)} per second of the ${bytes(row.bandwidth)} that this memory delivers.`}><b>${Math.round(100 * row.mbu)}%</b><i class="bar"><i .style=${`width: ${Math.min(100, 100 * row.mbu)}%`}></i></i></span>`;
};
const grouped = (rows) => {
  const by = new Map();
  for (const row of rows) by.set(row.address, [...(by.get(row.address) ?? []), row]);
  return [...by.values()];
};
const table = (rows) => {
  const tests = [...new Set(rows.filter((r) => !r.error).map((r) => r.test))];
  const line = (own) => {
    const [first] = own, kernel = own.find((r) => r.kernel)?.kernel, weights = own.find((r) => r.weight_bytes)?.weight_bytes;
    const decode = own.find((r) => r.test.startsWith('tg') && !r.error);
    const cells = tests.map((test) => {
      const row = own.find((r) => r.test === test && !r.error);
      return html`<td data-name="${kind(test)}, tok/s (${test})">${row ? speed(row) : html`<span class="v none">–</span>`}</td>`;
    });
    return html`
      ${own.some((r) => !r.error) ? html`<tr>
        <th class="words" scope="row"><b data-tip=${first.address}>${first.label}</b>${first.reference ? html`<i class="role">reference</i>` : nothing}<span class="on">${first.title || 'engine not chosen'}</span>${kernel ? html`<span class="kernel">${kernel}</span>` : nothing}</th>
        <td data-name="Weights"><span class="v">${bytes(weights)}</span></td>${cells}
        <td data-name="MBU">${decode ? utilisation(decode) : html`<span class="v none">–</span>`}</td></tr>` : nothing}
      ${own.filter((r) => r.error).map((r) => html`<tr class="bad"><td colspan=${tests.length + 3}><div><b>${r.label}${r.title ? ` in ${r.title}` : ''}${r.test === 'load' ? '' : `, ${r.test}`}</b><span> ${r.error}</span>${r.hint ? html`<span class="hint"> ${r.hint}</span>` : nothing}</div></td></tr>`)}`;
  };
  return html`<div class="sp-scroll"><table class="sp-table">
    <thead><tr><th class="words" scope="col">Variant<small>on engine</small></th><th scope="col">Weights</th>
      ${tests.map((test) => html`<th scope="col" data-tip=${test.startsWith('pp') ? 'Prefill: prompt tokens read per second.' : 'Decode: tokens generated per second, one request at a time.'}>${kind(test)}<small>tok/s · ${words(test)}</small></th>`)}
      <th scope="col" data-tip="Memory bandwidth utilisation: the share of the measured bandwidth that decoding uses.">MBU<small>of the bandwidth</small></th></tr></thead>
    <tbody>${grouped(rows).map(line)}</tbody></table></div>`;
};
const HEADS = [['Concurrent', ''], ['Generated', 'tok/s'], ['Read + generated', 'tok/s'], ['TTFT', 'ms, p50 · p99'], ['TPOT', 'ms, p50 · p99']];
const levels = (rows) => html`<div class="sp-scroll"><table class="sp-table levels">
  <thead><tr>${HEADS.map(([name, unit]) => html`<th scope="col">${name}${unit ? html`<small>${unit}</small>` : nothing}</th>`)}</tr></thead>
  <tbody>${grouped(rows).map((own) => html`
    <tr class="who"><th colspan="5" scope="rowgroup">${own[0].label} in ${own[0].title}</th></tr>
    ${own.map((r) => html`<tr><td>${r.concurrency}</td><td>${fig(r.tok_s_mean)}</td><td>${fig(r.total_tok_s)}</td><td>${ms(r.ttft_p50_s)} · ${ms(r.ttft_p99_s)}</td><td>${ms(r.tpot_p50_s)} · ${ms(r.tpot_p99_s)}</td></tr>`)}`)}</tbody></table></div>`;
const save = (name, type, text) => html`<button type="button" class="sp-save" aria-label="Download as ${name}" @click=${() => download(`speed.${name.toLowerCase()}`, text, type)}>${name}</button>`;

// { rows, headline, caveats, plots, files?, run? } of a measurement into `element`.
export const speedView = (element, value) => {
  const single = value.rows.filter((r) => r.concurrency === null || r.error), sweep = value.rows.filter((r) => !r.error && r.concurrency !== null);
  render(html`
    ${value.headline ? html`<div class="sp-answer" aria-live="polite"><div class="verdict"><p class="said">${value.headline}</p><p class="caveats">${value.caveats}</p></div></div>` : nothing}
    <section class="sp-card" aria-label="Measured"><div class="sp-card-head"><h3>Measured</h3><span class="quiet">mean ± standard deviation, tokens per second</span>
      <span class="sp-files">${value.run ? linkButton(value.run) : nothing}${value.files ? html`${save('CSV', 'text/csv', value.files.csv)}${save('JSON', 'application/json', value.files.json)}` : nothing}</span></div>${table(single)}</section>
    ${sweep.length ? html`<section class="sp-card" aria-label="Concurrent requests"><div class="sp-card-head"><h3>Concurrent requests</h3><span class="quiet">timed at the client, queueing included</span></div>${levels(sweep)}</section>` : nothing}
    <div class="sp-plots"></div>`, element);
  plots(element.querySelector('.sp-plots'), value.plots ?? []);
};
