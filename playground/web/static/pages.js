// The pages: the address decides which one is shown, so that a link and the back button work; none is unloaded.
// `?run=ID` (and `with=ID`) opens a stored run; a page of the bar takes it out of the address again.
(() => {
  const P = window.Playground;
  const NAMES = [['compare', 'Compare'], ['quantize', 'Quantize'], ['evaluate', 'Evaluate'], ['speed', 'Speed'], ['runs', 'Runs'], ['reviews', 'Reviews']];
  const root = document.documentElement;
  const named = () => NAMES.some(([id]) => location.hash === `#${id}`);
  P.opened = () => { const asked = new URLSearchParams(location.search); return { run: asked.get('run') || '', other: asked.get('with') || '' }; };
  P.page = () => (named() ? location.hash.slice(1) : P.opened().run ? 'run' : 'compare');
  const tidy = () => {
    const asked = new URLSearchParams(location.search);
    if (!named() || !asked.has('run')) return;
    asked.delete('run'); asked.delete('with');
    const rest = asked.toString();
    history.replaceState(history.state, '', `${location.pathname}${rest ? `?${rest}` : ''}${location.hash}`);
  };
  // The address of a run within the app; a click stays in the page that is there already.
  P.runAddress = (id, other) => `${location.pathname}?run=${encodeURIComponent(id)}${other ? `&with=${encodeURIComponent(other)}` : ''}`;
  P.open = (address) => { history.pushState(null, '', address); document.dispatchEvent(new CustomEvent('pg-go')); };
  P.runLink = (cls, words, id, other) => {
    const a = P.el('a', cls, words);
    a.href = P.runAddress(id, other);
    a.addEventListener('click', (e) => { if (e.metaKey || e.ctrlKey || e.shiftKey || e.button) return; e.preventDefault(); P.open(a.href); });
    return a;
  };
  P.pages = (element) => {
    const nav = P.el('nav', 'pages');
    nav.setAttribute('aria-label', 'Pages');
    const links = NAMES.map(([id, words]) => { const a = P.el('a', '', words); a.href = `#${id}`; nav.append(a); return a; });
    const show = () => {
      tidy();
      root.dataset.page = P.page();
      for (const a of links) { if (a.hash === `#${P.page()}`) a.setAttribute('aria-current', 'page'); else a.removeAttribute('aria-current'); }
      P.untip();
      document.dispatchEvent(new CustomEvent('pg-page'));
    };
    addEventListener('hashchange', () => { show(); scrollTo(0, 0); });
    addEventListener('popstate', show);
    document.addEventListener('pg-go', () => { show(); scrollTo(0, 0); });
    element.querySelector('.pg-mount').replaceChildren(nav);
    show();
  };
  root.dataset.page = P.page();
})();
