// The pages: the address decides which one is shown, so that a link and the back button work; none is unloaded.
(() => {
  const P = window.Playground;
  const NAMES = [['compare', 'Compare'], ['quantize', 'Quantize'], ['evaluate', 'Evaluate'], ['speed', 'Speed'], ['reviews', 'Reviews']];
  const root = document.documentElement;
  P.page = () => (NAMES.some(([id]) => location.hash === `#${id}`) ? location.hash.slice(1) : 'compare');
  P.pages = (element) => {
    const nav = P.el('nav', 'pages');
    nav.setAttribute('aria-label', 'Pages');
    const links = NAMES.map(([id, words]) => { const a = P.el('a', '', words); a.href = `#${id}`; nav.append(a); return a; });
    const show = () => {
      root.dataset.page = P.page();
      for (const a of links) { if (a.hash === `#${P.page()}`) a.setAttribute('aria-current', 'page'); else a.removeAttribute('aria-current'); }
      P.untip();
      document.dispatchEvent(new CustomEvent('pg-page'));
    };
    addEventListener('hashchange', () => { show(); scrollTo(0, 0); });
    element.querySelector('.pg-mount').replaceChildren(nav);
    show();
  };
  root.dataset.page = P.page();
})();
