// What the colours of the tokens stand for, and what the figures mean.
import { html, nothing, render } from '../web/vendor/lit-html.js';
import { fig } from '../web/format.js';
import { arrows } from '../web/parts.js';
import { TERMS } from './pane.js';
import { nats } from './tokens.js';

const COLOURS = [
  ['time', 'time', 'Colour tokens by the time that each took.'],
  ['prob', 'probability', 'Colour tokens by how probable the variant itself found each.'],
  ['kld', 'divergence', 'Colour tokens by how far the variant’s distribution is from the reference’s there: KLD, in nats.'],
  ['off', 'off', 'No colours.'],
];
const WORDS = [
  ['time', 'The time that each token took. The strongest colour is a slow token: the slowest two in a hundred.'],
  ['probability', 'How probable the variant itself found the token that it wrote. The strongest colour is 5% or less.'],
  ['divergence', 'KLD: how far the variant’s distribution over the next token is from the reference’s, on the reference’s own answer, in nats. 0 is the same. Measured after a run.'],
  ['prefill, decode', 'Reading the prompt, which is computed at once, and writing the answer, token by token.'],
];

const scale = (board) => {
  if (board.colour === 'kld') return board.kldTop ? ['0', `${nats(board.kldTop)} nats or more`] : ['', 'measured after a run'];
  if (board.colour === 'prob') return ['100%', '5% or less'];
  return board.range ? [`${fig(board.range[0])} ms`, `${fig(board.range[1])} ms or more`] : ['fast', 'slow (ms per token)'];
};

// Draws it in `box` and keeps it up to date.
export const legend = (board, box, changed = () => {}) => {
  const id = `pg-words-${Math.random().toString(36).slice(2)}`;
  const draw = () => {
    const [from, to] = scale(board), { measured, against } = board;
    const set = (name) => { board.colour = name; changed(name); };
    render(html`<div class="pg-legend"><span class="what" id="${id}-what">Colour tokens by</span>
      <div class="seg" role="radiogroup" aria-labelledby="${id}-what" @keydown=${arrows}>
        ${COLOURS.map(([name, words, tip]) => html`<button type="button" role="radio" aria-checked=${name === board.colour} tabindex=${name === board.colour ? 0 : -1} data-mode=${name} data-tip=${tip} @click=${() => set(name)}>${words}</button>`)}
      </div>
      ${board.colour === 'kld' && measured.length > 1 ? html`<label class="against"><span>of</span><select aria-label="Colour the reference’s tokens by the divergence of" @change=${(e) => { board.against = measured[e.target.selectedIndex]; }}>
        ${measured.map((pane) => html`<option ?selected=${pane === against}>${pane.label}</option>`)}</select></label>` : nothing}
      <span class="scale ${board.colour === 'off' ? 'none' : ''}"><span>${from}</span><i class="ramp" aria-hidden="true"></i><span>${to}</span></span>
      <button type="button" class="pg-help" popovertarget=${id}>What do these mean?</button>
      <div class="pg-words" id=${id} popover role="note"><dl>${[...TERMS.map(([, name, words]) => [name, words]), ...WORDS].map(([name, words]) => html`<dt>${name}</dt><dd>${words}</dd>`)}</dl></div>
    </div>`, box);
  };
  const off = board.change((event) => { if (event !== 'panes') draw(); });
  draw();
  return off;
};
