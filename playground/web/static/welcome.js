// What a visitor sees at first who may only look: what this page is, and that links work.
import { html, nothing, render } from './vendor/lit-html.js';
import { me } from './app.js';

export const mount = (root) => render(html`<section class="welcome" aria-label="About this page">
  <h2>Quantization Playground</h2>
  <p>Here language models are quantized, and their answers, speed and quality are compared with the original.</p>
  <p><b>Did someone send you a link?</b> Links to results and to reviews open without a login.</p>
  <p class="quiet">Running models and the list of all results are available to the owner only.</p>
  ${me.login || me.hub ? html`<button type="button" class="welcome-login" @click=${() => document.dispatchEvent(new CustomEvent('pg-login'))}>Log in</button>` : nothing}
</section>`, root);
