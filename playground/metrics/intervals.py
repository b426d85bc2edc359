"""95 % intervals of the mean difference between paired scores.

Resampling clusters is the rule. A percentile interval is too narrow for few clusters (simulated: 87 % coverage with 10
conversations of varying size, 92 % with 20, BCa no better), so its percentiles are moved outwards as far as Student's
t demands (Hesterberg 2015, https://doi.org/10.1080/00031305.2015.1089789, section 3.4): 94 to 95 %.

Resampling knows nothing of what was not seen: with no changed item its interval is [0, 0], a certainty that n items
cannot give, and with a handful it covers as little as 72 %. So below CHANGED changed clusters the interval is Tango's
score interval for paired proportions, which at no change is ± 3.84 / (n + 3.84).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from playground.metrics import stats
from playground.metrics.clusters import Clustered, Floats, clustered, design_effect

CHANGED = 10  # clusters in which an item's score changed; from here on resampling covers what it says
RESAMPLES = 10_000
Z = NormalDist().inv_cdf(0.975)
DISTINCT = 64  # kinds of clusters up to which counting them is cheaper than drawing them one by one
DRAWN = 1 << 22  # drawn clusters held at a time, 8 bytes each


def difference_interval(
    reference: Floats,
    other: Floats,
    clusters: npt.ArrayLike | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float] | None:
    """Of mean(other - reference), by the method that holds; None where nothing can be said.

    That is so with a single item or cluster of scores outside 0 to 1: how far the next one may lie is unknown.
    """
    difference = other - reference
    if bounded(reference, other) and changed_clusters(difference, clusters) < CHANGED:
        worth = effective_items(reference, other, clusters)
        share = worth / len(difference)
        lost, won = -float(difference[difference < 0].sum()), float(difference[difference > 0].sum())
        return score_interval(lost * share, won * share, worth, _quantile(clusters, len(difference)))
    if len(clustered(difference, clusters).sums) < 2:
        return None
    return paired_bootstrap(reference, other, clusters, seed, resamples)


def bounded(reference: Floats, other: Floats) -> bool:
    """Whether all scores lie between 0 and 1, so that no difference exceeds 1."""
    return bool(min(reference.min(), other.min()) >= 0 and max(reference.max(), other.max()) <= 1)


def effective_items(reference: Floats, other: Floats, clusters: npt.ArrayLike | None = None) -> float:
    """Items that stand alone and would be worth as much.

    Few changed items tell little of how changes cluster; how right answers cluster stands in for it, and where all
    answers are right, or all wrong, each cluster counts as one item.
    """
    difference = other - reference
    if clusters is None:
        return float(len(difference))
    if not difference.any() and np.ptp(reference) == 0:
        return clustered(difference, clusters).effective
    effect = design_effect(difference, clusters)
    if changed_clusters(difference, clusters) < CHANGED:
        effect = max(effect, design_effect(reference, clusters))
    return len(difference) / effect


def changed_clusters(difference: Floats, clusters: npt.ArrayLike | None = None) -> int:
    """Clusters in which any item's score changed."""
    return int(np.count_nonzero(clustered(np.abs(difference), clusters).sums))


def _quantile(clusters: npt.ArrayLike | None, count: int) -> float:
    if clusters is None:
        return Z
    return stats.quantile(0.975, _freedom(clustered(np.zeros(count), clusters)))


def _freedom(of: Clustered) -> float:
    return max(1.0, of.effective - 1)


def paired_bootstrap(
    reference: npt.ArrayLike,
    other: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Expanded percentile interval of mean(other - reference), over resampled clusters. Raises ValueError below two.

    scipy.stats.bootstrap resamples items, not clusters of varying size, and would bring scipy into the page's process.
    """
    found = clustered(np.asarray(other, dtype=float) - np.asarray(reference, dtype=float), clusters)
    if len(found.sums) < 2:
        raise ValueError("resampling needs two clusters")
    freedom = _freedom(found)
    outwards = math.sqrt((freedom + 1) / freedom) * stats.quantile(0.975, freedom)
    tail = NormalDist().cdf(-outwards)
    low, high = np.quantile(_means(found, np.random.default_rng(seed), resamples), [tail, 1 - tail])
    return float(low), float(high)


def _means(of: Clustered, random: np.random.Generator, resamples: int) -> Floats:
    """The mean of each resample of as many clusters. Both ways draw from the same distribution."""
    kinds, counts = np.unique(np.stack([of.sums, of.sizes]), axis=1, return_counts=True)
    count = len(of.sums)
    if len(counts) <= DISTINCT:
        drawn = random.multinomial(count, counts / count, size=resamples)
        return np.asarray(drawn @ kinds[0] / (drawn @ kinds[1]))
    means = np.empty(resamples)
    rows = max(1, DRAWN // count)
    for at in range(0, resamples, rows):
        picked = random.integers(0, count, (min(rows, resamples - at), count))
        means[at : at + rows] = of.sums[picked].sum(axis=1) / of.sizes[picked].sum(axis=1)
    return means


def score_interval(lost: float, won: float, n: float, quantile: float = Z) -> tuple[float, float]:
    """Of (won - lost) / n, for paired proportions: Tango 1998, https://pubmed.ncbi.nlm.nih.gov/9595618/

    All differences that the score test does not reject. Counts may be fractions: sums of graded changes, or items
    discounted for clustering.
    """
    estimate = (won - lost) / n
    low = -1.0 if estimate <= -1 else _crossing(lambda d: _score(lost, won, n, d) - quantile, -1.0, estimate)
    high = 1.0 if estimate >= 1 else _crossing(lambda d: _score(lost, won, n, d) + quantile, estimate, 1.0)
    return low, high


def _score(lost: float, won: float, n: float, difference: float) -> float:
    """Tango's statistic: standard normal if `difference` is the true one."""
    a, b = 2 * n, (2 * n - won + lost) * difference - won - lost
    c = -lost * difference * (1 - difference)
    share_lost = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # most likely, given `difference`
    variance = n * (2 * share_lost + difference * (1 - difference))
    distance = won - lost - n * difference
    return distance / math.sqrt(variance) if variance > 1e-12 * n else math.copysign(math.inf, distance)


def _crossing(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function of the difference crosses zero, to 1e-15."""
    for _ in range(52):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2
