"""Statistics of blind votes: win rates, reviewer agreement, side bias and a ranking, with intervals.

A vote is 1 (the first is preferred), 0 (the second is) or 0.5 (a tie, or both bad). The **win rate** is the mean vote;
0.5 is no preference.

Its interval is Wilson's score interval in the form of Tango 1998, which allows ties (without ties it is exactly
Wilson's). It keeps its coverage near 0 and 1 and with few votes, where mean ± 1.96 standard errors does not. Votes on
the same prompt are correlated, and so are votes of the same reviewer. The interval is therefore that of the effective
number of independent votes, from the two-way clustered variance of Cameron, Gelbach and Miller 2011 (prompts and
reviewers), which is taken to be at least the variance clustered by prompt and at least the unclustered one. With fewer
than CHANGED decided prompts the correlation cannot be estimated; each prompt then counts as one vote.

With few reviewers the interval generalises to other prompts of this kind, not to other reviewers.

The ranking of several variants is a Bradley-Terry model (Bradley and Terry 1952). Each variant has a strength; the
first of two is preferred with probability 1 / (1 + exp(second - first)). A tie is half a win on each side. The
likelihood is concave, so Newton's method finds its maximum. Intervals are from the sandwich estimator, clustered by
prompt. A variant that won or lost all its comparisons has no finite strength; every pair that was compared then gets
one extra tie, and the result is marked `bounded`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from playground.metrics import stats
from playground.metrics.stats import (
    CHANGED,
    Floats,
    Z,
    clustered,
    design_effect,
    mcnemar_exact,
    score_interval,
    smallest_drop,
)
from playground.metrics.verdict import LEVEL

RESAMPLES = 2000
UNSEEN = 0.85  # if only a win rate above this could have been detected, there are too few votes for a verdict
Side = Literal["first", "second", "not distinguishable", "too few"]
STEPS = 60
CLOSE = 1e-12


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often the first of two is preferred to the second. Shares are 0 to 1.

    effective  number of independent votes with the same variance
    rate       (wins + undecided / 2) / n
    sees       the smallest win rate that so many votes detect with a power of 80 %
    """

    n: int
    prompts: int
    reviewers: int
    wins: int
    losses: int
    undecided: int
    rate: float
    ci95: tuple[float, float]
    effective: float
    sees: float
    verdict: Side


def win_rate(scores: npt.ArrayLike, prompts: Sequence[Hashable], reviewers: Sequence[Hashable]) -> WinRate:
    """The win rate of `scores` (1, 0.5 or 0), with each vote's prompt and reviewer. Raises ValueError without votes."""
    values = 2 * np.asarray(scores, dtype=float) - 1
    if not np.isin(values, (-1, 0, 1)).all():
        raise ValueError("a vote is 0, 0.5 or 1")
    n, on = len(values), _codes(prompts)
    wins, losses = int(np.count_nonzero(values > 0)), int(np.count_nonzero(values < 0))
    effective = _effective(values, on, _codes(reviewers))
    share = effective / n
    several = len(set(on.tolist())) < n
    quantile = stats.quantile(1 - LEVEL / 2, max(1.0, clustered(values, on).effective - 1)) if several else Z
    low, high = score_interval(losses * share, wins * share, effective, quantile)
    rate, interval = 0.5 + float(values.mean()) / 2, (0.5 + low / 2, 0.5 + high / 2)
    sees = 0.5 + smallest_drop(effective, (wins + losses) / n) / 2
    # With about five votes a score interval alone is too narrow: the exact sign test of effective votes must agree.
    clear = mcnemar_exact(int(losses * share), int(wins * share)) < LEVEL
    verdict: Side = "too few" if sees > UNSEEN else "not distinguishable"
    if clear and not interval[0] <= 0.5 <= interval[1]:
        verdict = "first" if rate > 0.5 else "second"
    return WinRate(
        n=n,
        prompts=len(set(on.tolist())),
        reviewers=len(set(reviewers)),
        wins=wins,
        losses=losses,
        undecided=n - wins - losses,
        rate=rate,
        ci95=interval,
        effective=effective,
        sees=sees,
        verdict=verdict,
    )


def _codes(names: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    codes = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([codes[name] for name in names], dtype=np.int64)


def _effective(values: Floats, prompts: npt.NDArray[np.int64], reviewers: npt.NDArray[np.int64]) -> float:
    effect = design_effect(values, prompts)
    unclustered, by_prompt, by_reviewer = (
        clustered(values, clusters).stderr for clusters in (None, prompts, reviewers)
    )
    if unclustered and by_prompt and by_reviewer:
        effect = max(effect, (by_prompt**2 + by_reviewer**2 - unclustered**2) / unclustered**2)
    effective = len(values) / effect
    decided = np.count_nonzero(clustered(np.abs(values), prompts).sums)
    return effective if decided >= CHANGED else min(effective, float(len(np.unique(prompts))))


@dataclass(frozen=True, slots=True)
class Position:
    """Whether votes favour a side, A or B. Sides are assigned by a fair coin for each vote, so without a bias each
    decided vote is a fair coin toss too, whatever the quality of the answers: `p` is exact.
    """

    a: int
    b: int
    share_a: float
    ci95: tuple[float, float]
    p: float


def position(a: int, b: int) -> Position | None:
    """The side bias of `a` votes for side A and `b` for side B; None without votes."""
    if not a + b:
        return None
    low, high = score_interval(b, a, a + b)
    return Position(a, b, a / (a + b), (0.5 + low / 2, 0.5 + high / 2), mcnemar_exact(a, b))


@dataclass(frozen=True, slots=True)
class Agreement:
    """Krippendorff's alpha of nominal values: 1 is perfect agreement, 0 is chance, below 0 systematic disagreement.

    units  items with two votes or more
    ci95   bootstrap over units; None with fewer than CHANGED
    """

    alpha: float
    ci95: tuple[float, float] | None
    units: int
    votes: int


def agreement(units: Sequence[Sequence[Hashable]], seed: int = 0) -> Agreement | None:
    """Agreement of `units`, the votes on each item; None where no item has two votes, or all votes are the same.

    Krippendorff 2011, https://repository.upenn.edu/asc_papers/43: unlike Fleiss' kappa it allows items that some
    reviewers have not voted on.
    """
    shared = [list(unit) for unit in units if len(unit) > 1]
    if not shared:
        return None
    kinds = {value: number for number, value in enumerate(dict.fromkeys(value for unit in shared for value in unit))}
    counts = np.zeros((len(shared), len(kinds)))
    for row, unit in enumerate(shared):
        for value in unit:
            counts[row, kinds[value]] += 1
    sizes = counts.sum(axis=1)
    disagree = (sizes**2 - (counts**2).sum(axis=1)) / (sizes - 1)  # weighted pairs within a unit that differ
    alpha = float(_alpha(disagree.sum(), counts.sum(axis=0)))
    if math.isnan(alpha):
        return None
    interval = None
    if len(shared) >= CHANGED:
        random = np.random.default_rng(seed)
        resamples = random.multinomial(len(shared), np.full(len(shared), 1 / len(shared)), size=RESAMPLES)
        alphas = _alpha(resamples @ disagree, resamples @ counts)
        low, high = np.nanquantile(alphas, (LEVEL / 2, 1 - LEVEL / 2))
        interval = (float(low), float(high))
    return Agreement(alpha, interval, len(shared), int(sizes.sum()))


def _alpha(disagreement: npt.ArrayLike, totals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 - observed / expected disagreement; NaN where all votes have the same value."""
    n = totals.sum(axis=-1)
    expected = (n**2 - (totals**2).sum(axis=-1)) / (n - 1)
    safe = np.where(expected > 0, expected, 1.0)
    return np.where(expected > 0, 1 - np.asarray(disagreement, dtype=float) / safe, np.nan)


# Bradley and Terry.


@dataclass(frozen=True, slots=True)
class Strength:
    """The strength of one variant against the reference, which is at 0.

    log_odds  of being preferred to the reference
    rate      the same as a win rate, 0 to 1
    ci95      of `rate`; None for the reference itself, and where there is a single prompt
    votes     in which it took part
    """

    log_odds: float
    stderr: float | None
    rate: float
    ci95: tuple[float, float] | None
    votes: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """A Bradley-Terry ranking.

    strengths   by variant; None where no chain of votes connects it to the reference
    bounded     whether ties were added to keep strengths finite
    covariance  of the log odds
    """

    strengths: tuple[Strength | None, ...]
    bounded: bool
    covariance: Floats


def bradley_terry(
    first: Sequence[int],
    second: Sequence[int],
    scores: npt.ArrayLike,
    prompts: Sequence[Hashable],
    variants: int,
) -> Ranking:
    """Fit the Bradley-Terry model. Raises ValueError without votes, or with lists of unequal length.

    first, second  variants of each vote, 0 to `variants` - 1; the reference is 0
    scores         1: the first is preferred, 0: the second, 0.5: neither
    """
    left, right, score = np.asarray(first, dtype=int), np.asarray(second, dtype=int), np.asarray(scores, dtype=float)
    if not len(score) or not len(left) == len(right) == len(score) == len(prompts):
        raise ValueError("every vote has two variants, a score and a prompt")
    compared = np.zeros((variants, variants), dtype=bool)
    compared[left, right] = compared[right, left] = True
    connected = np.flatnonzero(_reachable(compared)[0])
    bounded = not _finite(left, right, score, variants, connected)
    names = {name: number for number, name in enumerate(dict.fromkeys(prompts))}
    clusters = np.array([names[name] for name in prompts])
    if bounded:
        pairs = np.argwhere(np.triu(compared))
        left, right = np.append(left, pairs[:, 0]), np.append(right, pairs[:, 1])
        score = np.append(score, np.full(len(pairs), 0.5))
        clusters = np.append(clusters, np.arange(len(names), len(names) + len(pairs)))
    inside = np.isin(left, connected)
    left, right, score, clusters = left[inside], right[inside], score[inside], clusters[inside]
    design = np.zeros((len(score), variants))
    design[np.arange(len(score)), left] = 1
    design[np.arange(len(score)), right] = -1
    free = [variant for variant in connected.tolist() if variant]
    covariance = np.zeros((variants, variants))
    log_odds = np.zeros(variants)
    if free:
        log_odds[free] = _fit(design[:, free], score)
        covariance[np.ix_(free, free)] = _sandwich(design[:, free], score, log_odds[free], clusters)
    votes = np.bincount(np.append(first, second), minlength=variants)
    strengths = tuple(
        _strength(variant, log_odds[variant], covariance[variant, variant], int(votes[variant]), len(names))
        if variant in connected
        else None
        for variant in range(variants)
    )
    return Ranking(strengths, bounded, covariance)


def _strength(variant: int, log_odds: float, variance: float, votes: int, prompts: int) -> Strength:
    stderr = float(np.sqrt(variance)) if variant and prompts > 1 else None
    interval = None
    if stderr is not None:
        reach = stats.quantile(0.975, prompts - 1) * stderr
        interval = (_logistic(log_odds - reach), _logistic(log_odds + reach))
    return Strength(float(log_odds), stderr, _logistic(log_odds), interval, votes)


def _logistic(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def _reachable(edges: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The transitive closure: which node is reachable from which, in any number of steps."""
    reach = edges | np.eye(len(edges), dtype=bool)
    for _ in range(len(edges)):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    return reach


def _finite(
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    score: Floats,
    variants: int,
    connected: npt.NDArray[np.int64],
) -> bool:
    """Whether a chain of wins leads from each variant to every other: only then is the maximum finite (Ford 1957)."""
    wins = np.zeros((variants, variants), dtype=bool)
    wins[left[score > 0], right[score > 0]] = True
    wins[right[score < 1], left[score < 1]] = True
    return bool(_reachable(wins)[np.ix_(connected, connected)].all())


def _fit(design: Floats, score: Floats) -> Floats:
    strengths = np.zeros(design.shape[1])
    for _ in range(STEPS):
        expected = 1 / (1 + np.exp(-design @ strengths))
        step = np.linalg.solve(_information(design, expected), design.T @ (score - expected))
        strengths = strengths + np.clip(step, -2, 2)
        if np.abs(step).max() < CLOSE:
            break
    return strengths


def _information(design: Floats, expected: Floats) -> Floats:
    return np.asarray(design.T @ (design * (expected * (1 - expected))[:, None]))


def _sandwich(design: Floats, score: Floats, strengths: Floats, clusters: npt.NDArray[np.int64]) -> Floats:
    expected = 1 / (1 + np.exp(-design @ strengths))
    scores = design * (score - expected)[:, None]
    sums = np.zeros((int(clusters.max()) + 1, design.shape[1]))
    np.add.at(sums, clusters, scores)
    count = len(np.unique(clusters))
    bread = np.linalg.inv(_information(design, expected))
    correction = count / (count - 1) if count > 1 else 1.0
    return np.asarray(correction * bread @ (sums.T @ sums) @ bread)
