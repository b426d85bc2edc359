// One review: what people preferred and how certain that is, who voted, and each pair of answers.
import { html, nothing, svg } from '../web/vendor/lit-html.js';
import { address } from '../web/app.js';
import '../web/confirm.js';
import { plural, seconds, when } from '../web/format.js';
import { copy } from '../web/parts.js';

const FIRST = 12; // pairs that are listed before all are asked for
const percent = (share) => `${Math.round(100 * share)}%`;
const signed = (n) => `${n < 0 ? '−' : '+'}${Math.abs(n)}`;

export const link = (review, key) => {
  const path = `review/${review}#${key}`;
  return document.documentElement.dataset.host ? `https://${document.documentElement.dataset.host}/${path}` : address(path).href;
};
const copied = (words, text, name) => html`<button type="button" class="ui-small" aria-label=${name} @click=${(e) => copy(text, e.target)}>${words}</button>`;
const card = (title, said, ...nodes) => html`<section class="rv-card"><div class="rv-card-head"><h3>${title}</h3><span class="quiet">${said}</span></div>${nodes}</section>`;

// Where the votes lie between the two: the middle is no preference, the bar is the interval.
const scale = ({ labels, win_rate: { rate, ci95, verdict } }) => html`<div class="rv-where ${verdict === 'first' || verdict === 'second' ? 'sure' : ''}">
  <div class="ends"><span>← ${labels[0]}</span><span class="middle">no preference</span><span>${labels[1]} →</span></div>
  <svg viewBox="0 0 1000 34" preserveAspectRatio="none" width="100%" height="34" role="img" aria-label="${labels[1]} preferred in ${percent(rate)}, 95% interval ${percent(ci95[0])} to ${percent(ci95[1])}">
    ${[['rail', 0, 1000, 17, 17], ['even', 500, 500, 3, 31], ['span', 1000 * ci95[0], 1000 * ci95[1], 17, 17], ['mean', 1000 * rate, 1000 * rate, 6, 28]]
      .map(([cls, x1, x2, y1, y2]) => svg`<line class=${cls} x1=${x1} x2=${x2} y1=${y1} y2=${y2}></line>`)}</svg></div>`;
const verdict = (v) => {
  const several = v.pairs.length > 1;
  return html`<section class="rv-verdict" aria-label="Verdict">${several ? html`<p class="headline">${v.sentence}</p>` : nothing}
    ${v.pairs.map((pair) => html`<div class="rv-pair"><div class="say"><p class=${several ? 'sentence' : 'headline'}>${pair.sentence}</p>
      ${pair.win_rate ? html`<ul>${pair.details.map((words) => html`<li>${words}</li>`)}</ul>` : nothing}</div>
      ${pair.win_rate ? html`<div class="much"><p class="big">${percent(pair.win_rate.rate)}</p><p class="unit">preferred ${pair.labels[1]}, ties count half</p>${scale(pair)}</div>` : nothing}</div>`)}</section>`;
};

const ranking = (v) => card('All variants in one order', '',
  html`<div class="rv-wrap" tabindex="0" role="group" aria-label="Ranking"><table class="rv-table">
    <thead><tr>${['variant', 'preferred to the reference', '95% interval', 'Elo', 'votes'].map((words) => html`<th scope="col">${words}</th>`)}</tr></thead>
    <tbody>${v.ranking.rows.map((row) => html`<tr><th scope="row">${row.label}</th>
      <td class="strong">${row.rate === null ? '–' : row.variant === 0 ? 'reference' : percent(row.rate)}</td>
      <td>${row.ci95 ? `${Math.round(100 * row.ci95[0])}–${percent(row.ci95[1])}` : '–'}</td>
      <td>${row.rate === null ? '–' : signed(Math.round(row.elo))}</td><td>${row.votes}</td></tr>`)}</tbody></table></div>`,
  html`<p class="quiet small">Bradley-Terry over all pairs; intervals are clustered by prompt.${v.ranking.bounded ? ' One variant won or lost every vote, so one tie was added to each pair: without it there is no finite estimate.' : ''}</p>`);

const trust = (v) => {
  const row = (name, value, words) => html`<div class="row"><span class="k">${name}</span><b class="v">${value}</b><p class="quiet">${words}</p></div>`;
  return card('How reliable this is', '', html`<div class="rv-trust">
    ${row('Side A', v.position ? percent(v.position.share_a) : '–', v.position ? v.position.sentence : 'No vote has preferred a side yet.')}
    ${row('Agreement', v.agreement ? v.agreement.alpha.toFixed(2).replace('-', '−') : '–', v.agreement ? v.agreement.sentence : 'Needs pairs on which two reviewers have voted.')}
    ${row('Ties', v.counted ? percent(v.ties / v.counted) : '–', 'of counted votes: equally good.')}
    ${row('Both bad', v.counted ? percent(v.bad / v.counted) : '–', 'of counted votes. A large share suggests that the prompts are too hard for this model.')}</div>`);
};

const people = (v, act) => {
  const { review } = v;
  const row = (one) => html`<div class=${one.excluded ? 'row out' : 'row'}>
    <div class="who"><b>${one.label}</b><span class="quiet">${[`${one.done} of ${one.total}`, one.seconds_per_vote !== null && `${seconds(one.seconds_per_vote)} per vote`, one.excluded && 'not counted'].filter(Boolean).join(' · ')}</span></div>
    <progress class="track" max=${Math.max(1, one.total)} value=${one.done} aria-label="Votes of ${one.label}"></progress>
    <span class="acts">${one.invited && !review.closed ? copied('Copy link', link(review.id, one.key), `Copy the link of ${one.label}`) : nothing}
      ${one.done ? html`<button type="button" class="ui-small" aria-label="${one.excluded ? 'Count' : 'Do not count'} the votes of ${one.label}" @click=${() => act('exclude', { reviewer: one.id, excluded: !one.excluded })}>${one.excluded ? 'Count again' : 'Do not count'}</button>` : nothing}</span></div>`;
  const guests = v.reviewers.filter((one) => !one.invited).length;
  const invite = (e) => {
    e.preventDefault();
    const input = e.target.elements.name, label = input.value.trim();
    if (label) { act('invite', { label }); input.value = ''; }
  };
  return card('Who votes', plural(review.votes, 'vote'),
    html`<div class="rv-people">${v.reviewers.map(row)}${v.reviewers.length ? nothing : html`<p class="quiet">No reviewer yet.</p>`}</div>`,
    review.closed ? nothing : html`<form class="rv-invite" @submit=${invite}><input class="ui-input" name="name" placeholder="Name of another reviewer" aria-label="Name of another reviewer" maxlength="100" autocomplete="off"><button type="submit" class="ui-small">Invite</button></form>
      <div class="rv-commonlink">${review.key
        ? html`<span>Public link · ${guests} of ${plural(review.places, 'place')} taken</span>${copied('Copy link', link(review.id, review.key), 'Copy the public link')}
          <pg-confirm words="Disable" question="Nobody new could start." yes="Disable it" no="Keep" name="Disable the public link" @pg-yes=${() => act('link', { places: 0 })}></pg-confirm>`
        : review.reveal === 'item' ? nothing : html`<span class="quiet">No public link</span><button type="button" class="ui-small" @click=${() => act('link', { places: 20 })}>Create one for 20 people</button>`}</div>`);
};

// ---- pairs; which of them are open is kept while their review is shown
const unfolded = new Set();
let all = false, shown = '';
const pairs = (v, draw) => {
  const labels = v.review.variants.map((one) => one.label);
  const text = (item, variant, n) => {
    const cut = item.cut?.[n];
    return html`<div class="text"><b>${labels[variant]}</b><p>${item.texts[n]}</p>${cut ? html`<span class="quiet cut">cut at ${plural(cut, 'token')}</span>` : nothing}</div>`;
  };
  const row = (item) => {
    const total = item.wins[0] + item.wins[1] + item.ties + item.bad;
    const said = !total ? 'no vote' : [`${labels[item.first]} ${item.wins[0]}`, `${labels[item.second]} ${item.wins[1]}`, item.ties && `tie ${item.ties}`, item.bad && `both bad ${item.bad}`].filter(Boolean).join(' · ');
    const split = [['one', item.wins[0], labels[item.first]], ['none', item.ties, 'tie'], ['bad', item.bad, 'both bad'], ['two', item.wins[1], labels[item.second]]];
    return html`<details class="rv-item" ?open=${unfolded.has(item.number)} @toggle=${(e) => { if (e.target.open) unfolded.add(item.number); else unfolded.delete(item.number); }}>
      <summary><span class="what">${item.prompt}</span><span class="quiet told">${said}${item.comments.length ? ` · ${plural(item.comments.length, 'comment')}` : ''}</span>
        <span class="split">${split.filter(([, n]) => n).map(([cls, n, tip]) => html`<i class=${cls} .style=${`flex-grow: ${n}`} data-tip="${tip}: ${n}"></i>`)}</span></summary>
      <div class="texts">${text(item, item.first, 0)}${text(item, item.second, 1)}</div>
      ${item.comments.map((comment) => html`<p class="comment"><b>${comment.reviewer || 'A guest'}</b> ${comment.said < 0 ? '(neither)' : `(for ${labels[comment.said]})`}: <span>${comment.text}</span></p>`)}</details>`;
  };
  return card('All pairs', plural(v.items.length, 'pair'), html`<div class="rv-items">${(all ? v.items : v.items.slice(0, FIRST)).map(row)}</div>`,
    !all && v.items.length > FIRST ? html`<button type="button" class="ui-quiet rv-all" @click=${() => { all = true; draw(); }}>Show all ${v.items.length}</button>` : nothing);
};

// What a stored review shows: as above, without who voted and the single pairs.
export const stored = (v) => html`<div class="rv-results">${verdict(v)}${v.ranking ? ranking(v) : nothing}${trust(v)}</div>`;

export const drawResults = (v, act, draw) => {
  const { review } = v, from = review.settings, path = `api/review/${encodeURIComponent(review.id)}`, file = `review-${review.id.slice(0, 8)}`;
  if (shown !== review.id) { unfolded.clear(); all = false; shown = review.id; }
  const source = from.source === 'runs' ? plural(from.runs.length, 'stored comparison') : from.source === 'prompts' ? `${from.prompts} ${from.set} prompts` : plural(from.prompts, 'prompt');
  return html`<div class="rv-results"><div class="ui-section"><h3>${review.name}</h3><span class="quiet">${source} · ${when(review.created)}</span>
    <span class=${review.closed ? 'ui-state' : 'ui-state running'}>${review.closed ? 'closed' : 'open'}</span>
    <span class="rv-files">${copied('Copy link to results', address(`#reviews?review=${review.id}`).href, 'Copy the link to these results')}<a class="ui-small" href="${path}/votes" download>Votes as CSV</a><a class="ui-small" href=${path} download="${file}.json">Results as JSON</a></span>
    ${review.closed ? (v.counted ? html`<a class="ui-small" href="#runs?kind=review">In Runs</a>` : nothing) : html`<pg-confirm words="Close review" question=${review.reveal === 'never' ? 'No further vote is accepted, and the result is stored in Runs. This cannot be undone.' : 'No further vote is accepted, reviewers see the names, and the result is stored in Runs. This cannot be undone.'} yes="Close it" no="Keep open" name="Close this review" @pg-yes=${() => act('close')}></pg-confirm>`}</div>
    ${verdict(v)}${v.ranking ? ranking(v) : nothing}<div class="rv-grid">${people(v, act)}${trust(v)}</div>${pairs(v, draw)}</div>`;
};
