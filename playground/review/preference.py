"""What blind votes say of variants: who is preferred, how sure that is, and how far the voters can be trusted.

A vote is 1 (the first is preferred), 0 (the second is) or 0.5 (a tie, or both bad). The **win rate** is the mean of
votes, a tie being half a win; 0.5 is no preference.

Its interval is Wilson's, in the form of Tango 1998 that knows ties (without any it is exactly Wilson's): it covers near
0 and 1 and with few votes, where the usual mean ± 1.96 standard errors does not. Several people who vote on the same
prompt share its luck, and one person's votes share that person's taste. So votes are not counted but weighed: the
interval is that of as many independent votes as they are worth, by the two-way clustered variance of Cameron, Gelbach
and Miller 2011 (prompts and reviewers), at least that of prompts alone, and never less than counting. With fewer than
CHANGED decided prompts the votes themselves cannot tell how they cluster; each prompt then counts as one vote.

Two reviewers cannot show how the next ten would vote: with few of them the interval speaks of other prompts of this
kind, before these reviewers.

One order of several variants comes from votes between two at a time (Bradley and Terry 1952). Each variant has a
strength; the first of two is preferred with probability 1 / (1 + exp(second - first)). A tie is half a win on each
side. The likelihood is concave, so Newton's method finds its one maximum. Intervals are of the sandwich estimator,
clustered by prompt: votes on one prompt share its luck. A variant that lost to nobody, or won against nobody, has no
finite strength; then every pair that met is given one tie more than it had, and the result says that it is `bounded`.
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
UNSEEN = 0.85  # where only a win rate beyond this would have shown, there are too few votes to say anything
Side = Literal["first", "second", "not distinguishable", "too few"]
STEPS = 60
CLOSE = 1e-12


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often the first of two is preferred to the second. Shares are 0 to 1.

    effective  independent votes that these are worth
    rate       wins, and half of what was undecided, over n
    sees       the win rate from which on so many votes show a preference, four times in five
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
    """`prompts` and `reviewers` name those of each vote. Raises ValueError without a vote."""
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
    # A score interval alone is bold with five votes; the exact sign test of what they are worth must agree.
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
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], dtype=np.int64)


def _effective(values: Floats, prompts: npt.NDArray[np.int64], reviewers: npt.NDArray[np.int64]) -> float:
    effect = design_effect(values, prompts)
    alone, by_prompt, by_reviewer = (clustered(values, of).stderr for of in (None, prompts, reviewers))
    if alone and by_prompt and by_reviewer:
        effect = max(effect, (by_prompt**2 + by_reviewer**2 - alone**2) / alone**2)
    worth = len(values) / effect
    decided = np.count_nonzero(clustered(np.abs(values), prompts).sums)
    return worth if decided >= CHANGED else min(worth, float(len(np.unique(prompts))))


@dataclass(frozen=True, slots=True)
class Position:
    """Whether votes lean to a side. Sides are drawn by a fair coin for each vote, so that without a lean each decided
    vote is a coin too, whatever the answers are worth: `p` is exact.
    """

    a: int
    b: int
    share_a: float
    ci95: tuple[float, float]
    p: float


def position(a: int, b: int) -> Position | None:
    """Of the votes for side A and for side B; None where nothing was decided."""
    if not a + b:
        return None
    low, high = score_interval(b, a, a + b)
    return Position(a, b, a / (a + b), (0.5 + low / 2, 0.5 + high / 2), mcnemar_exact(a, b))


@dataclass(frozen=True, slots=True)
class Agreement:
    """Krippendorff's alpha of nominal values: 1 is perfect agreement, 0 what chance gives, below it is systematic
    disagreement. units: items with two votes or more; the interval resamples them, None of fewer than ten.
    """

    alpha: float
    ci95: tuple[float, float] | None
    units: int
    votes: int


def agreement(units: Sequence[Sequence[Hashable]], seed: int = 0) -> Agreement | None:
    """What each reviewer said of each item; None where no item has two votes, or all votes are the same.

    Krippendorff 2011, https://repository.upenn.edu/asc_papers/43: unlike Fleiss' kappa it takes items that not
    everybody has voted on.
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
    disagree = (sizes**2 - (counts**2).sum(axis=1)) / (sizes - 1)  # pairs inside a unit that differ, weighed
    alpha = float(_alpha(disagree.sum(), counts.sum(axis=0)))
    if math.isnan(alpha):
        return None
    interval = None
    if len(shared) >= CHANGED:
        random = np.random.default_rng(seed)
        drawn = random.multinomial(len(shared), np.full(len(shared), 1 / len(shared)), size=RESAMPLES)
        found = _alpha(drawn @ disagree, drawn @ counts)
        low, high = np.nanquantile(found, (LEVEL / 2, 1 - LEVEL / 2))
        interval = (float(low), float(high))
    return Agreement(alpha, interval, len(shared), int(sizes.sum()))


def _alpha(disagreement: npt.ArrayLike, totals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 - observed over expected disagreement; NaN where only one value was given."""
    n = totals.sum(axis=-1)
    expected = (n**2 - (totals**2).sum(axis=-1)) / (n - 1)
    safe = np.where(expected > 0, expected, 1.0)
    return np.where(expected > 0, 1 - np.asarray(disagreement, dtype=float) / safe, np.nan)


# Bradley and Terry.


@dataclass(frozen=True, slots=True)
class Strength:
    """Of one variant against the reference, which is at 0.

    log_odds  of being preferred to the reference
    rate      the same as a win rate, 0 to 1
    ci95      of `rate`; None of the reference itself, and where there is a single prompt
    votes     in which it took part
    """

    log_odds: float
    stderr: float | None
    rate: float
    ci95: tuple[float, float] | None
    votes: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """strengths: by position of the variant; those that no chain of votes ties to the reference are None."""

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
    """Variants are 0 to `variants` - 1, the reference 0; a score is of the first: 1, 0.5 or 0. Raises ValueError."""
    left, right, won = np.asarray(first, dtype=int), np.asarray(second, dtype=int), np.asarray(scores, dtype=float)
    if not len(won) or not len(left) == len(right) == len(won) == len(prompts):
        raise ValueError("every vote has two variants, a score and a prompt")
    met = np.zeros((variants, variants), dtype=bool)
    met[left, right] = met[right, left] = True
    known = np.flatnonzero(_reachable(met)[0])
    bounded = not _finite(left, right, won, variants, known)
    names = {name: number for number, name in enumerate(dict.fromkeys(prompts))}
    clusters = np.array([names[name] for name in prompts])
    if bounded:
        pairs = np.argwhere(np.triu(met))
        left, right = np.append(left, pairs[:, 0]), np.append(right, pairs[:, 1])
        won = np.append(won, np.full(len(pairs), 0.5))
        clusters = np.append(clusters, np.arange(len(names), len(names) + len(pairs)))
    inside = np.isin(left, known)
    left, right, won, clusters = left[inside], right[inside], won[inside], clusters[inside]
    design = np.zeros((len(won), variants))
    design[np.arange(len(won)), left] = 1
    design[np.arange(len(won)), right] = -1
    free = [variant for variant in known.tolist() if variant]
    covariance = np.zeros((variants, variants))
    log_odds = np.zeros(variants)
    if free:
        log_odds[free] = _fit(design[:, free], won)
        covariance[np.ix_(free, free)] = _sandwich(design[:, free], won, log_odds[free], clusters)
    votes = np.bincount(np.append(first, second), minlength=variants)
    strengths = tuple(
        _strength(variant, log_odds[variant], covariance[variant, variant], int(votes[variant]), len(names))
        if variant in known
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
    """From which node one gets to which, in any number of steps."""
    reach = edges | np.eye(len(edges), dtype=bool)
    for _ in range(len(edges)):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    return reach


def _finite(
    left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], won: Floats, variants: int, known: npt.NDArray[np.int64]
) -> bool:
    """Whether a chain of wins leads from each variant to each other (Ford 1957): only then is there a maximum."""
    beat = np.zeros((variants, variants), dtype=bool)
    beat[left[won > 0], right[won > 0]] = True
    beat[right[won < 1], left[won < 1]] = True
    return bool(_reachable(beat)[np.ix_(known, known)].all())


def _fit(design: Floats, won: Floats) -> Floats:
    found = np.zeros(design.shape[1])
    for _ in range(STEPS):
        expected = 1 / (1 + np.exp(-design @ found))
        step = np.linalg.solve(_information(design, expected), design.T @ (won - expected))
        found = found + np.clip(step, -2, 2)
        if np.abs(step).max() < CLOSE:
            break
    return found


def _information(design: Floats, expected: Floats) -> Floats:
    return np.asarray(design.T @ (design * (expected * (1 - expected))[:, None]))


def _sandwich(design: Floats, won: Floats, at: Floats, clusters: npt.NDArray[np.int64]) -> Floats:
    expected = 1 / (1 + np.exp(-design @ at))
    scores = design * (won - expected)[:, None]
    sums = np.zeros((int(clusters.max()) + 1, design.shape[1]))
    np.add.at(sums, clusters, scores)
    count = len(np.unique(clusters))
    bread = np.linalg.inv(_information(design, expected))
    correction = count / (count - 1) if count > 1 else 1.0
    return np.asarray(correction * bread @ (sums.T @ sums) @ bread)
