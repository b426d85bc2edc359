// Figures in words. One rounding for the page: the server sends figures unrounded.
export const fig = (value) => {
  if (value === null || value === undefined) return '–';
  if (value >= 99.95) return Math.round(value).toLocaleString('en');
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
};
export const percent = (p) => (p === null || p === undefined ? '–' : p > 0.995 && p < 1 ? '> 99%' : p < 0.01 ? '< 1%' : `${Math.round(p * 100)}%`);
export const share = (v) => (v >= 0.00995 ? `${(100 * v).toFixed(1)}%` : `${(100 * v).toPrecision(2)}%`);
export const small = (v) => (v === 0 ? '0' : Math.abs(v) >= 0.01 && Math.abs(v) < 1000 ? String(+v.toPrecision(3)) : v.toExponential(1));
export const visible = (piece) => (piece === '' ? '(nothing yet)' : piece.replace(/\n/g, '↵').replace(/\t/g, '⇥'));
export const count = (n, unit) => (unit === 'bytes' ? bytes(n) : `${Math.round(n).toLocaleString('en')}${unit ? ` ${unit}` : ''}`);
export const plural = (n, word) => `${n.toLocaleString('en')} ${word}${n === 1 ? '' : 's'}`;
export const bytes = (n) => (n === null || n === undefined ? '–' : n >= 9.995e8 ? `${(n / 1e9).toFixed(n >= 1e10 ? 1 : 2)} GB` : n >= 1e6 ? `${Math.round(n / 1e6)} MB` : `${Math.max(1, Math.round(n / 1e3))} kB`);
export const seconds = (s) => {
  if (s === null || s === undefined) return '–';
  if (s < 100) return `${s < 10 ? +s.toFixed(1) : Math.round(s)} s`;
  return s < 5400 ? `${+(s / 60).toFixed(s < 600 ? 1 : 0)} min` : `${(s / 3600).toFixed(1)} h`;
};
// A range of seconds: "3–5 min", "40 s to 2 min".
export const between = ([low, high]) => {
  const parts = [low, high].map((s) => {
    const [n, unit] = s < 100 ? [s, 's'] : s < 5400 ? [s / 60, 'min'] : [s / 3600, 'h'];
    return [n >= 3 ? String(Math.round(n)) : String(+n.toFixed(1)), unit];
  });
  const [from, to] = parts.map((part) => part.join(' '));
  return from === to ? to : parts[0][1] === parts[1][1] ? `${parts[0][0]}–${to}` : `${from} to ${to}`;
};
export const when = (s) => new Date(s * 1e3).toLocaleString([], { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
// For buttons and headings: a line never breaks between a number and its unit, nor within a range.
export const unbroken = (words) => words.replaceAll(' ', '\u00a0').replaceAll('–', '\u2060–\u2060');
