// The Quantize page: what to make and what that takes (form.js, cost.js), and what came of it (board.js).
import { html, render } from '../web/vendor/lit-html.js';
import { me, shown } from '../web/app.js';
import { el } from '../web/dom.js';
import { board } from './board.js';
import { cost } from './cost.js';
import { form } from './form.js';

const calm = matchMedia('(prefers-reduced-motion: reduce)');
let fill = null;

export const mount = (root, state) => {
  const ask = el('div', ''), made = el('div', '');
  ask.id = 'pg-quantize-ask'; made.id = 'pg-quantize-board';
  root.append(ask, made);
  const news = board(made);
  if (me.role !== 'owner') {
    render(html`<section class="qz-visitor"><p><b>Quantizing is available to the owner only.</b> You can see what was made here.</p>
      <button type="button" class="ui-quiet" @click=${() => document.dispatchEvent(new CustomEvent('pg-login'))}>Log in</button></section>`, ask);
    return;
  }
  const draw = () => render(html`
    <section class="qz-form" aria-label="What to make">${fill.template(price.problem(), price.group)}</section>
    <div id="pg-quantize-estimate"><section class="qz-cost" aria-label="What it will cost">${price.template()}</section></div>`, ask);
  fill = form({ changed: () => price.changed(), redraw: () => draw() });
  const price = cost({
    form: fill, redraw: () => draw(),
    started: async () => {
      await news.look();
      made.querySelector('.ui-jobs')?.scrollIntoView({ block: 'nearest', behavior: calm.matches ? 'auto' : 'smooth' });
    },
  });
  document.addEventListener('keydown', (e) => { if (shown('quantize') && e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); price.start(); } });
  fill.show(state);
  draw();
  fill.load();
};
export const show = (state) => fill?.show(state);
