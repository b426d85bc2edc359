"""One order of several variants from votes between two at a time: Bradley and Terry 1952.

Each variant has a strength; the first of two is preferred with probability 1 / (1 + exp(second - first)). A tie is half
a win on each side. The likelihood is concave, so Newton's method finds its one maximum. Intervals are of the sandwich
estimator, clustered by prompt: votes on one prompt share its luck.

A variant that lost to nobody, or won against nobody, has no finite strength; then every pair that met is given one tie
more than it had, and the result says that it is `bounded`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from playground.metrics import stats
from playground.metrics.stats import Floats

STEPS = 60
CLOSE = 1e-12


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
