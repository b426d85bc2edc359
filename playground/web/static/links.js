// Links to stored runs: absolute, from the address that this browser has; on a Space from the Space's own host, because
// the page around it shows another one.
(() => {
  const P = window.Playground;
  const { el } = P;

  P.link = (id, other) => {
    const address = P.runAddress(id, other);
    return P.host ? `https://${P.host}${address}` : new URL(address, location.href).href;
  };

  // Copies; where the browser does not allow that, the link stands there selected, to be copied by hand.
  P.linkButton = (id, other) => {
    const box = el('span', 'ui-link'), said = el('span', 'said');
    said.setAttribute('role', 'status');
    const copy = P.button('ui-copy', 'Copy link', async () => {
      const link = P.link(id, other);
      try {
        await navigator.clipboard.writeText(link);
        said.textContent = 'Copied';
        setTimeout(() => { said.textContent = ''; }, 1600);
      } catch {
        const field = el('input', 'ui-input');
        field.value = link; field.readOnly = true; field.setAttribute('aria-label', 'Link to this run');
        field.addEventListener('focus', () => field.select());
        box.replaceChildren(field, said);
        field.focus(); field.select();
        said.textContent = /Mac|iP/.test(navigator.platform) ? 'Press ⌘C' : 'Press Ctrl+C';
      }
    });
    box.append(copy, said);
    return box;
  };
})();
