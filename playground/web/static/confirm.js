// <pg-confirm words="Delete" question="Delete the run?" yes="Delete" no="Keep" name="Delete the run of May 3" @pg-yes=…>:
// a button that asks once, in its own place. Esc is no. Only one asks at a time. `name` is what a screen reader says.
import { html, render } from './vendor/lit-html.js';

let asking = null;

class Confirm extends HTMLElement {
  static observedAttributes = ['words', 'question', 'yes', 'no', 'name', 'disabled'];

  connectedCallback() {
    this.neighbours = null;
    this.draw();
  }

  attributeChangedCallback() { if (this.isConnected) this.draw(); }

  // Where it vanishes with what it deleted, the keyboard goes on at the next one, or at the section that they stood in.
  disconnectedCallback() {
    if (asking === this) asking = null;
    const { neighbours, home } = this;
    if (!neighbours) return;
    queueMicrotask(() => {
      if (document.activeElement !== document.body) return;
      const near = neighbours.find((one) => one.isConnected && one.checkVisibility());
      if (near) near.querySelector('button').focus();
      else if (home) { home.tabIndex = -1; home.focus(); }
    });
  }

  ask() {
    asking?.calm();
    asking = this;
    this.draw();
    this.querySelector('.ui-bad').focus();
  }

  // Back to the plain button.
  calm() {
    if (asking === this) asking = null;
    this.draw();
  }

  refuse() {
    this.calm();
    this.querySelector('button').focus();
  }

  accept() {
    const all = [...document.querySelectorAll('pg-confirm')], here = all.indexOf(this);
    this.neighbours = [...all.slice(here + 1), ...all.slice(0, here).reverse()];
    this.home = this.closest('section, main');
    this.refuse();
    this.dispatchEvent(new CustomEvent('pg-yes', { bubbles: true }));
  }

  draw() {
    const text = (name) => this.getAttribute(name) ?? '';
    this.classList.add('ui-asks');
    this.classList.toggle('asking', asking === this);
    render(asking === this ? html`<span>${text('question')}</span>
      <button type="button" class="ui-bad" @click=${() => this.accept()} @keydown=${(e) => this.escape(e)}>${text('yes')}</button>
      <button type="button" class="ui-quiet" @click=${() => this.refuse()} @keydown=${(e) => this.escape(e)}>${text('no')}</button>`
      : html`<button type="button" class="ui-quiet" aria-label=${text('name') || text('words')} ?disabled=${this.hasAttribute('disabled')} @click=${() => this.ask()}>${text('words')}</button>`, this);
  }

  escape(e) {
    if (e.key !== 'Escape') return;
    e.preventDefault(); e.stopPropagation();
    this.refuse();
  }
}
customElements.define('pg-confirm', Confirm);
