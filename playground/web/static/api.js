// The page's only way to the server: JSON to /api/..., and the server-sent rows of /stream/....
export const address = (path) => new URL(path, document.baseURI);
// A refusal of the server: what happened, what to do about it, and which field it concerns.
export class Refusal extends Error {
  constructor({ code = 'error', message = 'The page did not answer.', hint = 'Try again.', field = '' } = {}, status = 0) {
    super(message);
    Object.assign(this, { code, hint, field, status });
  }
}
export const UNREACHABLE = { code: 'unreachable', message: 'The page cannot be reached.', hint: 'Is it still running? What was done is kept.' };

const ask = async (path, options) => {
  let response;
  try { response = await fetch(address(path), options); } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refusal(UNREACHABLE);
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refusal(body?.error, response.status);
  return body;
};
export const get = (path, signal) => ask(path, { signal });
// What the page has to know before it is drawn, its token among it. `path` is relative to the document.
let token = '', page = '';
export const enter = async (path = 'api/page') => {
  page = path;
  const facts = await get(path);
  ({ token } = facts);
  return facts;
};
// A server that was started again has another token: it is fetched, and the request sent once more.
const post = async (path, type, body, signal) => {
  const once = () => ask(path, { method: 'POST', signal, headers: { 'Content-Type': type, 'X-Playground-Page': token }, body });
  try { return await once(); } catch (error) {
    if (error.code !== 'stale_page') throw error;
    await enter(page);
    return once();
  }
};
export const call = (path, body = {}, signal) => post(path, 'application/json', JSON.stringify(body), signal);
// Sends bytes as they are, such as a piece of a file.
export const send = (path, bytes, signal) => post(path, 'application/octet-stream', bytes, signal);
// For a page that is being closed: no answer is read. A beacon has no headers, so the token is in its body.
export const beacon = (path, body) => navigator.sendBeacon(address(path), new Blob([JSON.stringify({ ...body, token })], { type: 'application/json' }));

// Rows of a stream from `after` on; reconnects where it broke off, so that no row is lost or doubled. `page` names the reader.
// row(data, id) for each; ended() once the server has ended it; trouble(n) after the nth attempt in a row that failed.
// The returned function closes it.
export const stream = (id, after, { page = '', row, ended = () => {}, trouble = () => {} }) => {
  let last = after, source = null, timer = 0, waits = 250, failed = 0, over = false;
  const close = () => { over = true; clearTimeout(timer); source?.close(); };
  const open = () => {
    source = new EventSource(address(`stream/${encodeURIComponent(id)}?after=${last}&page=${encodeURIComponent(page)}`));
    source.onmessage = (event) => {
      waits = 250; failed = 0;
      const number = Number(event.lastEventId);
      if (number <= last) return;
      last = number;
      row(JSON.parse(event.data), number);
    };
    source.addEventListener('end', () => { close(); ended(); });
    source.onerror = () => {
      source.close();
      if (over) return;
      failed += 1;
      trouble(failed);
      timer = setTimeout(open, waits);
      waits = Math.min(4000, waits * 2);
    };
  };
  open();
  return close;
};
