// What a browser tab keeps over a reload: its session, the prompt, the settings. A duplicated tab gets a copy of the
// storage while the first one is still there; only what a closed page has released is taken up again.
const NAME = 'pg-compare';
const read = () => { try { return JSON.parse(sessionStorage.getItem(NAME)) ?? {}; } catch { return {}; } };
const write = (value) => { try { sessionStorage.setItem(NAME, JSON.stringify(value)); } catch { /* a browser without storage: until the reload */ } };

export const kept = read();
if (!kept.released) kept.session = '';
kept.released = false;
write(kept);
export const keepTab = (values) => { Object.assign(kept, values); write(kept); };
export const release = () => keepTab({ released: true });
export const claim = () => keepTab({ released: false });
