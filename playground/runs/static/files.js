// The files of a run, for anyone who has its link: plain links, which can be saved, copied and sent.
import { html } from '../web/vendor/lit-html.js';

const FORMS = [
  ['html', 'HTML', 'One page that opens without a network.'],
  ['json', 'JSON', 'Everything that is stored, with a schema.'],
  ['csv', 'CSV', 'One tidy table.'],
  ['png', 'PNG', 'A picture of the result, for a chat.'],
  ['md', 'Card', 'A section of a model card, with metadata for the hub.'],
];
export const files = (id) => html`
  <span class="run-files" role="group" aria-label="Download">${FORMS.map(([ending, words, tip]) => html`<a class="ui-small" href="run/${encodeURIComponent(id)}.${ending}" download data-tip=${tip}>${words}</a>`)}</span>`;
