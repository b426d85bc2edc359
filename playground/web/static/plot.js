// plot(element, spec, { alt, name }): draws a Vega-Lite specification of report/plots.py in an element, once it comes into
// view and again when it gets another width.
// In a template: `<figure ${ref((node) => node && plot(node, spec, { alt, name }))}></figure>`. `alt` says what it shows, `name` is that of the file with its data.
// Colours are variables of the style sheet, so light and dark need no drawing of their own. Arrow keys walk through tips.
import { download } from './download.js';

const NONE = async () => { throw new Error('A plot loads nothing.'); };
const LOADER = { load: NONE, sanitize: NONE, http: NONE, file: NONE };
const drawn = new WeakMap(); // element: its specification, and what ends its picture
const waiting = new WeakMap(); // element: what draws it

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    waiting.get(target)?.();
  }
}, { rootMargin: '200px' });

let loaded;
// The library and the look, asked for with the first picture.
const load = () => (loaded ??= Promise.all([
  import('./vendor/vega-embed.js'),
  fetch(new URL('../report/plot.json', import.meta.url)).then((answer) => answer.json()),
]).catch((error) => { loaded = undefined; throw error; }));

const el = (tag, cls, text) => Object.assign(document.createElement(tag), { className: cls, textContent: text ?? '' });

async function draw(area, spec, alt, is) {
  const [{ default: embed }, look] = await load();
  if (!is()) return () => {};
  const width = Math.floor(area.clientWidth);
  const config = { ...look, font: getComputedStyle(area).fontFamily, params: [...look.params, { name: 'place', value: width }] };
  const { view } = await embed(area, { ...spec, description: alt, width }, {
    config, ast: true, defaultStyle: false, actions: false, tooltip: false, renderer: 'svg', loader: LOADER, logLevel: 1, // errors: warnings are of Vega-Lite's defaults
  });
  const tips = () => {
    for (const mark of area.querySelectorAll('.role-mark [aria-label]')) {
      const words = mark.getAttribute('aria-label');
      if (words) mark.dataset.tip = words; else mark.setAttribute('aria-hidden', 'true');
    }
    if (area.querySelector('[data-tip]')) area.tabIndex = 0; // else nothing is there to walk through
  };
  tips();
  let now = width;
  const resized = new ResizeObserver(() => {
    const next = Math.floor(area.clientWidth);
    if (!next || next === now) return; // 0: its page is hidden
    now = next;
    view.width(next).signal('place', next).runAsync().then(tips);
  });
  resized.observe(area);
  return () => { resized.disconnect(); view.finalize(); };
}

export function plot(element, spec, { alt = '', name = 'plot' } = {}) {
  if (drawn.get(element)?.spec === spec) return; // a template is rendered again, its plot is the same
  unplot(element);
  const area = el('div', 'pg-plot-area'), data = el('button', 'pg-plot-data', 'Data');
  area.dataset.tips = '';
  data.type = 'button';
  data.setAttribute('aria-label', `Data of this plot as JSON: ${alt}`);
  data.addEventListener('click', () => download(`${name}.json`, JSON.stringify(spec.data.values, null, 1), 'application/json'));
  element.classList.add('pg-plot');
  element.replaceChildren(area, data);
  if (typeof spec.height === 'number') area.style.setProperty('min-height', `${spec.height}px`);
  let ended = false;
  const picture = { spec, end: () => { ended = true; } };
  drawn.set(element, picture);
  waiting.set(element, async () => {
    try {
      const end = await draw(area, spec, alt, () => !ended);
      if (ended) end(); else picture.end = end;
    } catch (error) {
      console.error(error);
      area.replaceChildren(el('p', 'quiet', 'This plot could not be drawn. Its data are there.'));
    }
  });
  seen.observe(element);
}

// Ends the picture in an element that is drawn anew or taken away.
export function unplot(element) {
  seen.unobserve(element);
  drawn.get(element)?.end();
  drawn.delete(element); waiting.delete(element);
}
