// Nodes made by hand, where a template would be slower or longer. Text is always text: nothing here parses HTML.
export const el = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
};
export const svg = (tag, attributes) => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  return node;
};
export const button = (cls, text, run, name) => {
  const node = el('button', cls, text);
  node.type = 'button';
  if (name) node.setAttribute('aria-label', name);
  node.addEventListener('click', run);
  return node;
};
