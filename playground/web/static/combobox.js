// <pg-combobox label="Model" free .options=${[…]} .value=${…} @pg-choose=${(e) => e.detail}>: a field with a list, after
// ARIA's combobox pattern with list autocomplete. An option is { value, label?, line?, group?, disabled? }: `line` stands
// under the label, `disabled` is the reason why it cannot be chosen. Options of a group follow each other.
// Typing filters; arrows move, Enter chooses, Esc restores, Tab closes. With `free` any text is a value: Enter or leaving
// the field takes it. Without it a text that is no option is restored. Where the page may refuse a choice: `.value=${live(…)}`.
import { html, live, nothing, render, repeat } from './vendor/lit-html.js';

let number = 0;

class Combobox extends HTMLElement {
  static observedAttributes = ['label', 'placeholder', 'disabled', 'free'];

  #options = []; #value = ''; #typed = null; // what was typed since the value was last set; null: nothing
  #open = false; #active = -1; #id = `pg-combobox-${(number += 1)}`;

  // A list that is renewed while it is open keeps its place.
  set options(options) {
    const active = this.#shown[this.#active]?.value;
    this.#options = options;
    if (active !== undefined) this.#active = this.#shown.findIndex((o) => o.value === active);
    this.#draw();
  }

  get options() { return this.#options; }

  set value(value) {
    if (value === this.#value) return;
    this.#value = value; this.#typed = null;
    this.#draw();
  }

  get value() { return this.#value; }

  attributeChangedCallback() { this.#draw(); }

  connectedCallback() {
    this.classList.add('pg-combobox');
    this.#draw();
  }

  disconnectedCallback() {
    this.#open = false;
    removeEventListener('scroll', this.#placed, true); removeEventListener('resize', this.#placed);
  }

  focus() { this.querySelector('input').focus(); }

  get #shown() {
    const words = (this.#typed ?? '').toLowerCase().split(/\s+/).filter(Boolean);
    const text = (o) => `${o.label ?? ''} ${o.value} ${o.line ?? ''} ${o.group ?? ''}`.toLowerCase();
    return words.length ? this.#options.filter((o) => words.every((word) => text(o).includes(word))) : this.#options;
  }

  get #words() { return this.#options.find((o) => o.value === this.#value)?.label ?? this.#value; }

  #show(active) {
    if (this.hasAttribute('disabled')) return;
    const shown = this.#shown;
    this.#active = active ?? shown.findIndex((o) => o.value === this.#value);
    if (!this.#open) {
      this.#open = true;
      addEventListener('scroll', this.#placed, true); addEventListener('resize', this.#placed);
    }
    this.#draw();
  }

  #hide() {
    this.#open = false; this.#active = -1;
    removeEventListener('scroll', this.#placed, true); removeEventListener('resize', this.#placed);
    this.#draw();
  }

  #take(value) {
    this.#typed = null;
    this.#hide();
    if (value === this.#value) return;
    // The page answers with the new value; what was chosen is shown until then.
    this.#value = value;
    this.#draw();
    this.dispatchEvent(new CustomEvent('pg-choose', { detail: value, bubbles: true }));
  }

  // The typed text becomes the value: that of the option it names, or itself where any text may stand.
  #settle() {
    const typed = this.#typed?.trim();
    const named = this.#options.find((o) => o.value === typed || o.label === typed);
    if (typed && named && !named.disabled) return this.#take(named.value);
    if (typed && !named && this.hasAttribute('free')) return this.#take(typed);
    this.#typed = null;
    return this.#hide();
  }

  #move(step) {
    const shown = this.#shown;
    if (!this.#open) {
      const now = shown.findIndex((o) => o.value === this.#value);
      return this.#show(now >= 0 ? now : step > 0 ? 0 : shown.length - 1);
    }
    // One place more than options: there none is active and the text is what was typed.
    const places = shown.length + 1;
    return this.#show(((this.#active + 1 + step + places) % places) - 1);
  }

  #key(e) {
    if (e.isComposing) return;
    const active = this.#open ? this.#shown[this.#active] : undefined;
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') { e.preventDefault(); this.#move(e.key === 'ArrowDown' ? 1 : -1); }
    else if (e.key === 'Enter' && !e.ctrlKey && !e.metaKey && (this.#open || this.#typed !== null)) {
      e.preventDefault(); e.stopPropagation();
      if (active) { if (!active.disabled) this.#take(active.value); } else this.#settle();
    } else if (e.key === 'Escape' && (this.#open || this.#typed !== null)) {
      e.preventDefault(); e.stopPropagation();
      this.#typed = null;
      this.#hide();
    }
  }

  #press(e) {
    const node = e.target.closest('[role=option]');
    const option = node && this.#shown[Number(node.dataset.at)];
    if (option && !option.disabled) this.#take(option.value);
  }

  #toggle(e) {
    e.preventDefault();
    this.focus();
    if (this.#open) this.#hide(); else { this.#typed = null; this.#show(); }
  }

  // Below the field, or above it where there is more room; as wide as the longest name, and never outside the window.
  #placed = () => {
    const list = this.querySelector('.pg-options');
    if (!this.#open || !list) return;
    const at = this.querySelector('.pg-combobox-field').getBoundingClientRect();
    const below = innerHeight - at.bottom - 12, above = at.top - 12, up = below < 220 && above > below;
    const set = (name, px) => list.style.setProperty(name, `${px}px`);
    set('min-width', Math.min(at.width, innerWidth - 24)); set('max-width', innerWidth - 24); set('max-height', Math.min(440, up ? above : below));
    const box = list.getBoundingClientRect();
    set('left', Math.max(12, Math.min(at.left, innerWidth - box.width - 12)));
    set('top', up ? at.top - box.height - 4 : at.bottom + 4);
  };

  #option(o, at) {
    return html`<div role="option" id="${this.#id}-${at}" data-at=${at} class=${at === this.#active ? 'active' : ''}
      aria-selected=${o.value === this.#value} aria-disabled=${o.disabled ? 'true' : nothing}>
      <span class="name">${o.label ?? o.value}</span>${o.disabled || o.line ? html`<span class="line">${o.disabled || o.line}</span>` : nothing}</div>`;
  }

  get #none() { return this.hasAttribute('free') && this.#typed?.trim() ? `Enter takes “${this.#typed.trim()}”.` : 'Nothing matches.'; }

  #list(shown) {
    const groups = [];
    shown.forEach((o, at) => {
      if (!groups.length || groups.at(-1).name !== (o.group ?? '')) groups.push({ name: o.group ?? '', items: [] });
      groups.at(-1).items.push([o, at]);
    });
    return groups.map(({ name, items }, g) => {
      const rows = repeat(items, ([o]) => o.value, ([o, at]) => this.#option(o, at));
      return name ? html`<div role="group" aria-labelledby="${this.#id}-group-${g}"><div class="group" id="${this.#id}-group-${g}" role="presentation">${name}</div>${rows}</div>` : rows;
    });
  }

  #draw() {
    if (!this.isConnected) return;
    const label = this.getAttribute('label'), shown = this.#open ? this.#shown : [], list = `${this.#id}-list`;
    render(html`<div class="pg-combobox-field">
      <input type="text" role="combobox" aria-label=${label} aria-autocomplete="list" aria-expanded=${this.#open} aria-controls=${list}
        aria-activedescendant=${this.#active >= 0 ? `${this.#id}-${this.#active}` : nothing} autocomplete="off" autocapitalize="off" spellcheck="false"
        placeholder=${this.getAttribute('placeholder') ?? ''} ?disabled=${this.hasAttribute('disabled')} .value=${live(this.#typed ?? this.#words)}
        @input=${(e) => { this.#typed = e.target.value; this.#show(-1); }} @keydown=${(e) => this.#key(e)} @focus=${(e) => e.target.select()}
        @click=${() => { if (!this.#open) this.#show(); }} @blur=${() => this.#settle()}>
      <button type="button" tabindex="-1" aria-hidden="true" ?disabled=${this.hasAttribute('disabled')} @pointerdown=${(e) => this.#toggle(e)}></button></div>
      <div class="pg-options" popover="manual" @mousedown=${(e) => e.preventDefault()} @click=${(e) => this.#press(e)}>
        <div id=${list} role="listbox" aria-label=${label}>${this.#list(shown)}</div>
        <p class="none" role="status">${this.#open && !shown.length ? this.#none : nothing}</p></div>`, this);
    const node = this.querySelector('.pg-options');
    if (this.#open !== node.matches(':popover-open')) node.togglePopover(this.#open);
    if (!this.#open) return;
    this.#placed();
    node.querySelector('.active')?.scrollIntoView({ block: 'nearest' });
  }
}
customElements.define('pg-combobox', Combobox);
