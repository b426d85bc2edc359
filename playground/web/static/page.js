// Keys, the settings panel and the light/dark switch.
(() => {
  const P = window.Playground;
  const button = (id) => document.querySelector(`#${id} button, button#${id}`);
  const press = (id) => { const node = button(id); if (node && !node.disabled) { node.click(); return true; } return false; };
  let lastPrompt = '';

  const fill = (area, text) => {
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set.call(area, text);
    area.dispatchEvent(new Event('input', { bubbles: true }));
  };
  P.example = (text) => { setTimeout(() => document.querySelector('#pg-prompt textarea').focus()); return text; };
  P.settings = (open) => {
    const panel = document.getElementById('pg-settings'), line = button('pg-line');
    const show = open ?? !panel.classList.contains('open');
    panel.classList.toggle('open', show);
    line?.setAttribute('aria-expanded', show);
    if (show) panel.querySelector('input, textarea')?.focus();
    else if (panel.contains(document.activeElement)) line?.focus();
  };
  document.addEventListener('keydown', (e) => {
    const area = e.target instanceof Element && e.target.closest('#pg-prompt textarea');
    if (P.page() !== 'compare') { if (e.key === 'Escape') P.untip(); return; }
    if (e.key === 'Escape') {
      P.untip();
      if (document.getElementById('pg-settings')?.classList.contains('open')) return P.settings(false);
      if (e.target instanceof Element && e.target.closest('#pg-bar')) return;
      if (!press('pg-stop')) document.querySelector('.measured[data-state="measuring"] .stop')?.click();
    } else if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) {
      e.preventDefault(); e.stopPropagation();
      if (area) lastPrompt = area.value;
      press('pg-run');
    } else if (e.key === 'Enter' && area && e.shiftKey) {
      e.stopPropagation(); // the text area's own new line
    } else if (e.key === 'Enter' && area && !e.isComposing) {
      e.preventDefault(); e.stopPropagation();
      lastPrompt = area.value;
      press('pg-run');
    } else if (e.key === 'ArrowUp' && area && !area.value && lastPrompt) {
      e.preventDefault(); fill(area, lastPrompt);
    }
  }, true);

  // The page leaves exactly the room that the composer takes, however many lines the prompt has.
  const measure = () => {
    const composer = document.getElementById('pg-composer');
    if (!composer) return requestAnimationFrame(measure);
    new ResizeObserver(() => document.documentElement.style.setProperty('--composer', `${composer.offsetHeight}px`)).observe(composer);
  };
  measure();

  const dark = (on) => { document.body.classList.toggle('dark', on); document.documentElement.style.colorScheme = on ? 'dark' : 'light'; };
  P.theme = (element) => {
    const mount = element.querySelector('.pg-mount');
    const node = P.button('theme', '', () => { dark(!document.body.classList.contains('dark')); say(); });
    const say = () => {
      const on = document.body.classList.contains('dark');
      node.textContent = on ? 'Light' : 'Dark';
      node.setAttribute('aria-label', `Switch to ${on ? 'light' : 'dark'} colours`);
    };
    mount.replaceChildren(node); say();
    new MutationObserver(say).observe(document.body, { attributes: true, attributeFilter: ['class'] });
  };
})();
