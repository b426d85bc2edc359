// Every shared part once, for test_vendor.py.
import '../static/web/combobox.js';
import '../static/web/confirm.js';
import { dialog } from '../static/web/dialog.js';
import { plot } from '../static/web/plot.js';
import '../static/web/tooltip.js';
import { html, live, ref, render, repeat } from '../static/web/vendor/lit-html.js';

const stopped = [];
document.addEventListener('keydown', (e) => { if (e.key === 'Escape' && !e.defaultPrevented) stopped.push(e.target.tagName); });
window.stopped = stopped;
if (new URLSearchParams(location.search).has('dark')) document.body.classList.add('dark');

const long = 'HuggingFaceTB/SmolLM2-135M-Instruct-with-a-name-that-is-longer-than-any-field-of-this-page-could-ever-show';
const models = [
  { value: 'smollm2', label: 'SmolLM2 135M Instruct', line: 'bundled', group: 'On this machine' },
  { value: long, line: 'hub cache, 269 MB', group: 'On this machine' },
  { value: 'lab/qwen', label: 'qwen at lab', line: 'remote endpoint', group: 'Endpoints' },
  { value: 'closed', label: 'gated model', disabled: 'Its licence was not accepted.', group: 'Endpoints' },
];
const variants = ['BF16', 'nf4', 'GGUF Q4_1'].map((value) => ({ value }));
let specs = [], model = 'smollm2', variant = 'nf4', rows = ['one', 'two', 'three'];
const chosen = [];
window.chosen = chosen;
const door = dialog('You are a visitor', { closed: () => { document.title = 'closed'; } });
render(html`<p>Log in to change things.</p><label>Token <input name="token" autofocus></label>
  <wa-select label="Role"><wa-option value="user">User</wa-option><wa-option value="owner">Owner</wa-option></wa-select>
  <button type="button" data-tip="A tip above a dialog">Go</button>`, door.body);

const draw = () => render(html`
  <h1>Parts</h1>
  <pg-combobox id="model" label="Model" free .options=${models} .value=${live(model)} @pg-choose=${(e) => {
    chosen.push(e.detail);
    if (e.detail !== 'refused') model = e.detail;
    draw();
  }}></pg-combobox>
  <div class="clips"><pg-combobox id="variant" label="Variant" .options=${variants} .value=${live(variant)} @pg-choose=${(e) => { variant = e.detail; draw(); }}></pg-combobox></div>
  <button type="button" id="opener" @click=${(e) => door.show(e.currentTarget)}>Log in</button>
  <span id="word" data-tip="Tokens per second, after the first.">tok/s</span>
  <label>Seed <span id="name" data-tip="Zero is greedy.">?</span> <input id="seed"></label>
  <div id="facts" role="group" aria-label="Facts" tabindex="0" data-tips><span data-tip="first fact">1</span> <span data-tip="second fact">2</span></div>
  <section><ul>${repeat(rows, (row) => row, (row) => html`<li>${row} <pg-confirm words="Delete" question=${`Delete ${row}?`} yes="Delete" no="Keep" name=${`Delete ${row}`}
    @pg-yes=${() => { rows = rows.filter((one) => one !== row); draw(); }}></pg-confirm></li>`)}</ul></section>
  <wa-tab-group><wa-tab panel="a">Scores</wa-tab><wa-tab panel="b">Answers</wa-tab>
    <wa-tab-panel name="a">Panel of scores</wa-tab-panel><wa-tab-panel name="b">Panel of answers</wa-tab-panel></wa-tab-group>
  <wa-dropdown><button slot="trigger" type="button" id="more">More</button><wa-dropdown-item value="csv">CSV</wa-dropdown-item><wa-dropdown-item value="json">JSON</wa-dropdown-item></wa-dropdown>
  <button type="button" id="about">About</button><wa-popover for="about">It runs here.</wa-popover>
  <button type="button" id="plain">Plain</button><wa-tooltip for="plain">A tooltip of Web Awesome</wa-tooltip>
  <div id="plots">${specs.map(({ spec, alt }, at) => html`<figure ${ref((node) => node && plot(node, spec, { alt, name: `plot-${at}` }))}></figure>`)}</div>`, document.querySelector('main'));
draw();
specs = await (await fetch('/plots.json')).json();
draw();
window.draw = draw;
document.body.dataset.ready = 'yes';
