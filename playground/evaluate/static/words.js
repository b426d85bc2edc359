// Figures of an evaluation in words.
export const known = (v) => v !== null && v !== undefined;
export const sign = (v, words) => `${v > 0 ? '+' : v < 0 ? '−' : '±'}${words}`;
// A score, a share in percent but without the sign.
export const score = (v, task) => (task.share ? (100 * v).toFixed(1) : String(+v.toPrecision(4)));
export const withUnit = (v, task) => `${score(v, task)}${task.share ? '%' : ''}`;
// A difference of scores, of shares in points.
export const moved = (v, task) => sign(v, task.share ? Math.abs(100 * v).toFixed(1) : String(+Math.abs(v).toPrecision(3)));
export const unit = (task) => (task.share ? 'points' : task.metric);
export const nats = (v) => (!known(v) ? '–' : v >= 0.1 ? v.toFixed(3) : v >= 1e-4 ? v.toFixed(4) : v === 0 ? '0' : v.toExponential(1));
export const chance = (p) => (p < 0.001 ? '< 0.001' : p < 0.0995 ? p.toFixed(3) : p.toFixed(2));
export const points = (share) => (100 * share).toFixed(1).replace(/\.0$/, '');
export const count = (n) => n.toLocaleString('en');
