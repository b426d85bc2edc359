// The door: who one is on a page that others reach, and the owner's login. The token goes into one request's body.
(() => {
  const P = window.Playground;
  const { el } = P;
  const here = (path) => new URL(path, document.baseURI);
  const post = async (path, body) => {
    const answer = await fetch(here(path), { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body || {}) });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw said.error || ['The page did not answer.', 'Try again.'];
    return said;
  };
  const framed = () => { try { return window.top !== window; } catch { return true; } };
  const list = (names) => (names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`);

  const may = (me) => {
    if (me.role === 'owner') return [`You are logged in ${me.how === 'hub' ? `as ${me.name}, with your Hugging Face account` : 'with the owner’s token'}. Everything on this page is yours to change.`];
    if (me.role === 'user') {
      const { tokens, chars, rate } = me.limits;
      return [`You can open links and compare variants of ${list(me.models)}: up to ${tokens.toLocaleString('en')} tokens an answer, ${chars.toLocaleString('en')} characters a conversation, ${rate}.`, 'Other models, quantizing, evaluating, measuring and deleting are for the owner.'];
    }
    return ['You can open links to stored results and replay them.', 'Generating, loading models, quantizing, evaluating and deleting are for the owner.'];
  };

  const form = (failed) => {
    const box = el('form', 'door-form'), label = el('label', 'door-field'), input = el('input'), go = el('button', 'door-go', 'Log in');
    input.type = 'password'; input.name = 'token'; input.autocomplete = 'current-password'; input.required = true; input.spellcheck = false; input.maxLength = 1000;
    label.append(el('span', 'name', 'Owner’s token'), input);
    go.type = 'submit';
    box.append(label, go);
    box.addEventListener('submit', async (e) => {
      e.preventDefault();
      const token = input.value.trim();
      if (!token) return input.focus();
      go.disabled = true; go.textContent = 'Logging in…'; failed(null);
      try { await post('access/login', { token }); location.reload(); } catch (error) {
        failed(Array.isArray(error) ? error : ['The page cannot be reached.', 'Is it still running?']);
        go.disabled = false; go.textContent = 'Log in'; input.select(); input.focus();
      }
    });
    return box;
  };

  const draw = (mount, me) => {
    const owner = me.role === 'owner';
    const open = P.button(`door-open${owner ? ' is-owner' : ''}`, owner ? 'Owner' : me.token || me.hub ? 'Log in' : 'Visitor', () => { P.untip(); dialog.showModal(); });
    open.setAttribute('aria-haspopup', 'dialog');
    open.dataset.tip = owner ? 'You own this page.' : 'You are a visitor of this page.';
    const dialog = el('dialog', 'door'), head = el('div', 'door-head'), title = el('h2', '', owner ? 'You are the owner' : 'You are a visitor');
    title.id = 'pg-door-title'; dialog.setAttribute('aria-labelledby', title.id);
    head.append(title, P.button('door-close', '×', () => dialog.close(), 'Close'));
    dialog.append(head, ...may(me).map((words, at) => el('p', at ? 'quiet' : '', words)));
    const trouble = el('div', 'door-trouble');
    trouble.setAttribute('aria-live', 'assertive');
    if (owner) {
      const out = el('div', 'door-out');
      if (me.how === 'hub') { const link = el('a', 'door-quiet', 'Sign out'); link.href = here('logout').href; out.append(link); } else out.append(P.button('door-quiet', 'Log out', async () => { try { await post('access/logout'); } finally { location.reload(); } }));
      dialog.append(out);
    } else {
      const ways = el('div', 'door-ways');
      if (me.hub) {
        const link = el('a', 'door-hub', 'Sign in with Hugging Face');
        link.href = here('login/huggingface').href;
        if (framed()) { link.target = '_blank'; link.rel = 'noopener'; }
        ways.append(link);
        if (me.name) ways.append(el('p', 'quiet', `You are signed in as ${me.name}, who does not own this page.`));
      }
      if (me.token && framed()) {
        const link = el('a', 'door-quiet', 'Open this page in a tab of its own');
        link.href = location.href; link.target = '_blank'; link.rel = 'noopener';
        ways.append(el('p', 'quiet', 'The owner’s token is not taken inside another page.'), link);
      } else if (me.token) {
        ways.append(form((error) => trouble.replaceChildren(...(error ? [P.refused(error)] : []))));
      } else if (!me.hub) ways.append(el('p', 'quiet', 'Nobody can log in here: the owner set no token. On the machine itself the command line does everything.'));
      dialog.append(ways, trouble);
    }
    dialog.addEventListener('keydown', (e) => { if (e.key === 'Escape') e.stopPropagation(); });
    dialog.addEventListener('click', (e) => { if (e.target === dialog) dialog.close(); });
    dialog.addEventListener('close', () => { for (const input of dialog.querySelectorAll('input')) input.value = ''; trouble.replaceChildren(); });
    mount.replaceChildren(open);
    document.body.append(dialog);
  };

  P.door = (element) => {
    const mount = element.querySelector('.pg-mount');
    fetch(here('access/me')).then((answer) => (answer.ok ? answer.json() : null)).then((me) => {
      if (!me) return;
      document.documentElement.dataset.role = me.role;
      if (me.how !== 'local') draw(mount, me);
    }).catch(() => {});
  };
})();
