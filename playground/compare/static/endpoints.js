// The endpoints panel: a list, a test of each, and a form. The key goes from its field to the server and never back.
(() => {
  const P = window.Playground;
  const { el } = P;
  let opened = null; // the panel that is open
  // Before the keys of the page, for which Esc means Stop.
  document.addEventListener('keydown', (e) => { if (opened && e.key === 'Escape') { e.preventDefault(); e.stopImmediatePropagation(); opened.close(true); } }, true);
  document.addEventListener('pointerdown', (e) => { if (opened && e.target instanceof Node && !opened.holds(e.target)) opened.close(); }, true);

  const card = (message, hint, kind) => {
    const node = el('div', `pg-notice ${kind}`);
    node.append(el('b', '', message));
    if (hint) node.append(el('span', '', ` ${hint}`));
    return node;
  };

  const row = (send) => {
    const root = el('li', 'ep-row');
    const head = el('div', 'ep-line'), name = el('b', 'ep-name'), host = el('span', 'ep-host'), key = el('span', 'ep-key');
    const facts = el('div', 'ep-facts'), tools = el('div', 'ep-tools'), found = el('div', 'ep-found');
    const test = P.button('ep-small', 'Test', () => { if (now.stage) return send('halt', { name: now.name }); test.disabled = true; send('ask', { name: now.name }); });
    const drop = P.button('ep-small', 'Remove', () => sure(true));
    const ask = el('div', 'ep-sure'), question = el('span');
    const yes = P.button('ep-small bad', 'Remove it', () => { yes.disabled = true; send('forget', { name: now.name }); }), no = P.button('ep-small', 'Keep it', () => { sure(false); drop.focus(); });
    const stage = el('p', 'ep-stage');
    stage.setAttribute('aria-live', 'polite');
    ask.append(question, yes, no);
    let now = {}, before = '';
    const sure = (on) => { ask.hidden = !on; tools.hidden = on; yes.disabled = false; if (on) no.focus(); };
    facts.append(name, host, key); tools.append(test, drop); head.append(facts, tools, ask); root.append(head, stage, found);
    ask.hidden = true;

    const model = (id) => {
      const line = el('li'), code = el('code', '', id), pair = el('span', 'ep-use');
      const use = (words, where) => P.button('ep-small', words, () => { send('use', { model: id, where }); opened?.close(true); }, `${words}: ${id}`);
      pair.append(use('Use as model', 'model'), use('Add as variant', 'pane'));
      line.append(code, pair);
      return line;
    };
    const results = () => {
      const parts = [];
      if (now.said) {
        const answer = el('p', 'ep-said', `Answers: ${now.said}.`);
        if (now.learned) answer.append(el('span', 'quiet', ` ${now.learned}`));
        parts.push(answer);
      }
      if (now.models?.length) {
        const list = el('ul', 'ep-models');
        list.append(...now.models.map(model));
        if (now.more) list.append(el('li', 'quiet', `and ${now.more.toLocaleString('en')} more`));
        parts.push(list);
      }
      if (now.error) parts.push(card(now.error[0], now.error[1], 'error'));
      return parts;
    };
    const show = (next, may) => {
      now = next;
      name.textContent = now.name; host.textContent = now.host + (now.model ? ` · ${now.model}` : '');
      host.dataset.tip = now.url;
      key.textContent = now.key ? 'key' : 'no key'; key.classList.toggle('has', now.key);
      if (now.caution) key.dataset.tip = now.caution; else delete key.dataset.tip;
      key.classList.toggle('warn', Boolean(now.caution));
      question.textContent = `Remove ${now.name}${now.key ? ' and its key' : ''}?`;
      test.textContent = now.stage ? 'Stop' : 'Test'; test.setAttribute('aria-label', `${test.textContent} ${now.name}`); test.disabled = false;
      drop.setAttribute('aria-label', `Remove ${now.name}`);
      if (!may) { tools.hidden = true; ask.hidden = true; }
      stage.textContent = now.stage ? `${now.stage[0]} · ${now.stage[1]} s` : '';
      stage.hidden = !now.stage;
      const drawn = JSON.stringify([now.said, now.learned, now.models, now.more, now.error]);
      if (drawn !== before) { before = drawn; found.replaceChildren(...results()); }
    };
    return { root, show };
  };

  const field = (name, words, attributes, note) => {
    const label = el('label', `ep-field ${name}`), input = el('input');
    input.name = name; input.type = 'text'; input.spellcheck = false; input.autocomplete = 'off'; input.autocapitalize = 'off';
    Object.assign(input, attributes);
    label.append(el('span', 'name', words), input);
    if (note) label.append(el('span', 'unit', note));
    return { label, input };
  };

  const form = (send) => {
    const root = el('div', 'ep-form');
    const name = field('name', 'Name', { placeholder: 'lab', maxLength: 32 });
    const url = field('url', 'Base URL', { placeholder: 'http://10.0.0.5:8000', inputMode: 'url' });
    const model = field('model', 'Model', { placeholder: 'optional' });
    const key = field('key', 'API key', { type: 'password', autocomplete: 'new-password', placeholder: 'optional' });
    const variable = field('key_env', 'Variable with the key', { placeholder: 'LAB_KEY' });
    const swap = P.button('ep-link', '', () => { either(variable.label.hidden); (variable.label.hidden ? key : variable).input.focus(); });
    const either = (named) => {
      key.label.hidden = named; variable.label.hidden = !named; key.input.value = ''; variable.input.value = '';
      swap.textContent = named ? 'type the key instead' : 'or take it from an environment variable';
    };
    const go = P.button('ep-go', 'Add endpoint', () => submit());
    const keys = el('div', 'ep-keys'), foot = el('div', 'ep-foot');
    const says = el('span', 'quiet', 'The key is stored on this machine for its owner alone, and is never shown again.');
    keys.append(key.label, variable.label, swap); foot.append(says, go);
    root.append(name.label, url.label, model.label, keys, foot);
    either(false);
    const all = [name, url, model, key, variable];
    let waits = 0;
    const busy = (on) => { clearTimeout(waits); go.disabled = on; go.textContent = on ? 'Adding…' : 'Add endpoint'; if (on) waits = setTimeout(() => busy(false), 30000); };
    const submit = () => {
      if (go.disabled) return;
      const empty = [name, url].find((one) => !one.input.value.trim());
      if (empty) return empty.input.focus();
      busy(true);
      send('enter', Object.fromEntries(all.map((one) => [one.input.name, one.input.value])));
    };
    root.addEventListener('keydown', (e) => { if (e.key === 'Enter' && e.target instanceof HTMLInputElement && !e.isComposing) { e.preventDefault(); e.stopPropagation(); submit(); } });
    return {
      root,
      first: () => name.input,
      forget: () => { key.input.value = ''; },
      answered: (good) => { busy(false); if (good) { for (const one of all) one.input.value = ''; } },
    };
  };

  P.endpoints = (element, props, watch, trigger) => {
    const mount = element.querySelector('.pg-mount');
    const panel = el('section', 'ep');
    panel.id = 'ep-panel'; panel.hidden = true;
    panel.setAttribute('role', 'dialog'); panel.setAttribute('aria-label', 'Endpoints');
    const button = P.button('ep-open', 'endpoints', () => (panel.hidden ? open() : close(true)), 'endpoints');
    button.setAttribute('aria-haspopup', 'dialog'); button.setAttribute('aria-expanded', 'false'); button.setAttribute('aria-controls', panel.id);
    button.dataset.tip = 'Models on other servers: add, test and remove OpenAI-compatible endpoints.';
    const tip = button.dataset.tip;
    const head = el('div', 'ep-head'), text = el('div');
    text.append(el('h2', '', 'Endpoints'), el('p', 'quiet', 'OpenAI-compatible servers: a vLLM cluster, llama-server, a hosted API. Their models are @NAME/MODEL.'));
    head.append(text, P.button('ep-close', '×', () => close(true), 'Close'));
    const trouble = el('div'), list = el('ul', 'ep-list'), none = el('p', 'ep-none quiet', 'None yet.'), why = el('div', 'ep-answer ep-why'), said = el('div', 'ep-answer');
    said.setAttribute('aria-live', 'polite');
    const send = (event, data) => { said.replaceChildren(); trigger(event, data); };
    const entry = form(send);
    panel.append(head, trouble, list, none, why, said, entry.root);
    mount.replaceChildren(button, panel);

    const rows = new Map();
    let heard = null;
    const self = { close: (back) => close(back), holds: (node) => mount.contains(node) };
    const open = () => {
      delete button.dataset.tip; P.untip();
      panel.hidden = false; opened = self; button.setAttribute('aria-expanded', 'true');
      said.replaceChildren();
      trigger('look');
      (entry.root.hidden ? panel.querySelector('.ep-close') : entry.first()).focus({ preventScroll: true });
    };
    const close = (back) => {
      panel.hidden = true; opened = null; button.dataset.tip = tip; button.setAttribute('aria-expanded', 'false');
      entry.forget();
      if (back) button.focus();
    };
    const draw = () => {
      const value = P.json(props.value, null);
      if (!value) return;
      const may = !value.refused;
      const names = value.rows.map((one) => one.name);
      for (const [name, one] of rows) if (!names.includes(name)) { one.root.remove(); rows.delete(name); }
      value.rows.forEach((one, at) => {
        if (!rows.has(one.name)) rows.set(one.name, row(send));
        const shown = rows.get(one.name);
        shown.show(one, may);
        if (list.children[at] !== shown.root) list.insertBefore(shown.root, list.children[at] || null);
      });
      none.hidden = names.length > 0 || Boolean(value.trouble) || !may;
      trouble.replaceChildren(...(value.trouble ? [card(value.trouble[0], value.trouble[1], 'error')] : []));
      entry.root.hidden = !may;
      const fresh = value.said && heard !== null && value.said[0] !== heard;
      heard = value.said ? value.said[0] : 0;
      why.replaceChildren(...(may ? [] : [card(value.refused[0], value.refused[1], '')]));
      if (fresh && may) {
        said.replaceChildren(card(value.said[2], value.said[3], value.said[1] ? 'good' : 'error'));
        entry.answered(value.said[1]);
        said.scrollIntoView({ block: 'nearest' });
      }
    };
    watch('value', draw); draw();
  };
})();
