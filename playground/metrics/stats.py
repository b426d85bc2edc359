"""Paired comparison of a variant with the reference on a task: differences, intervals, tests and power.

Both were scored on the same items, so all statistics are paired. Scores of an item are 0 or 1, or graded. Power as in
Miller, Adding Error Bars to Evals, https://arxiv.org/abs/2411.00640; flips as in https://arxiv.org/abs/2407.09141.

Scores within a cluster (questions about one passage, tokens of one document) are correlated, so the cluster is the unit
of resampling and of standard errors, as in Miller. An independent item is a cluster of one.

95 % intervals of the mean difference resample clusters. A percentile interval is too narrow for few clusters
(simulated: 87 % coverage with 10 conversations of varying size, 92 % with 20, BCa no better), so its percentiles are
moved outwards by Student's t (Hesterberg 2015, https://doi.org/10.1080/00031305.2015.1089789, section 3.4): 94 to 95 %.
Student's t is computed without scipy, which would more than double the memory of the page's process.

The bootstrap fails with few changed items: with none its interval is [0, 0], and with a handful it covers as little as
72 %. So below CHANGED changed clusters the interval is Tango's score interval for paired proportions, which without any
change is ± 3.84 / (n + 3.84).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from playground.metrics.verdict import LEVEL, Verdict, judge

POWER = 0.8
Z_LEVEL = NormalDist().inv_cdf(1 - LEVEL / 2)
Z_POWER = NormalDist().inv_cdf(POWER)
CHANGED = 10  # clusters in which an item's score changed; from here on the bootstrap has its nominal coverage
RESAMPLES = 10_000
Z = NormalDist().inv_cdf(0.975)
DISTINCT = 64  # distinct clusters up to which a multinomial draw of their counts is cheaper than drawing each
DRAWN = 1 << 22  # drawn clusters held at a time, 8 bytes each
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Paired:
    """A variant's scores beside the reference's, joined by item. Scores and differences are in the task's own unit.

    stderr         of the variant's score, clustered; None of a single item or cluster
    recovery       percent of the reference's score that is kept; None where that is 0
    flips_lost     items that the reference had right and the variant has wrong; of graded scores, that lost anything
    flips_won      the other way round
    mcnemar_p      exact, two-sided; None of graded scores. It knows nothing of clusters: the interval does
    diff           score - score_reference, so of perplexities more is worse
    diff_ci95      95 % interval of diff; None where nothing can be said
    discordance    share of the items whose score changed
    smallest_drop  true loss that these items would have shown with 80 % power at the 5 % level, in the score's unit
    """

    n: int
    score_reference: float
    score: float
    stderr: float | None
    recovery: float | None
    flips_lost: int
    flips_won: int
    mcnemar_p: float | None
    diff: float
    diff_ci95: tuple[float, float] | None
    discordance: float
    smallest_drop: float
    verdict: Verdict


def paired(
    reference: npt.ArrayLike,
    other: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    seed: int = 0,
    higher_is_better: bool = True,
    graded: bool | None = None,
) -> Paired:
    """Compare the variant's scores with the reference's, item by item. Raises ValueError if the shapes differ.

    graded  whether scores are graded; None: unless all are 0 or 1

    The verdict is better or worse only if the interval excludes 0 and, for scores of 0 and 1, McNemar's test agrees.
    The 5 % level holds for each comparison by itself, without correction for multiple comparisons: of twenty
    comparisons without a real difference about one is called different by chance.
    """
    before, after = np.asarray(reference, dtype=float), np.asarray(other, dtype=float)
    if before.shape != after.shape:
        raise ValueError(f"{before.size} scores of the reference against {after.size}: join them by item first")
    score_reference, (score, stderr) = clustered(before).mean, mean_stderr(after, clusters)
    binary = bool(np.isin(np.concatenate([before, after]), (0, 1)).all()) and not graded
    difference = after - before
    gains = difference if higher_is_better else -difference
    lost, won = int(np.count_nonzero(gains < 0)), int(np.count_nonzero(gains > 0))
    p = mcnemar_exact(lost, won) if binary else None
    interval = difference_interval(before, after, clusters, seed)
    gain = (-interval[1], -interval[0]) if interval and not higher_is_better else interval
    return Paired(
        n=len(before),
        score_reference=score_reference,
        score=score,
        stderr=stderr,
        recovery=_recovery(score_reference, score, higher_is_better),
        flips_lost=lost,
        flips_won=won,
        mcnemar_p=p,
        diff=score - score_reference,
        diff_ci95=interval,
        discordance=(lost + won) / len(before),
        smallest_drop=_smallest_drop(before, after, clusters, binary),
        verdict=judge(gain, p),
    )


def _recovery(reference: float, score: float, higher_is_better: bool) -> float | None:
    numerator, denominator = (score, reference) if higher_is_better else (reference, score)
    return 100 * numerator / denominator if reference > 0 and denominator > 0 else None


def mcnemar_exact(lost: int, won: int) -> float:
    """Return the two-sided p-value of McNemar's exact test; 1 without any flip."""
    flips, ways, tail = lost + won, 1, 0
    for k in range(min(lost, won) + 1):
        tail += ways  # integers, so that nothing is rounded
        ways = ways * (flips - k) // (k + 1)
    return min(1.0, 2 * tail / (1 << flips))


def smallest_drop(n: float, discordance: float) -> float:
    """Return the smallest loss of score, 0 to 1, that `n` independent items detect with 80 % power at the 5 % level.

    Solves n = (z₁√π + z₂√(π - δ²))² / δ² for δ, with π the share of items whose correctness changes. A loss of δ
    changes at least that share, so if fewer items changed than δ (or none, where the formula would give 0), π is δ
    itself. 1 if even the loss of every item would not be detected.
    """
    by_spread = _drop_by_spread(n, discordance)
    if 0 < by_spread <= discordance:
        return by_spread
    root = n * (n + Z_POWER**2 - Z_LEVEL**2)
    kept = max(0.0, math.sqrt(max(root, 0.0)) - Z_LEVEL * Z_POWER) / (n + Z_POWER**2)  # √(1 - δ)
    return 1 - kept * kept


def items_to_detect(drop: float, discordance: float) -> int:
    """Return how many items `smallest_drop` needs to detect a loss of `drop`, above 0 and up to 1."""
    low, high = 0, 1
    while smallest_drop(high, discordance) > drop:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if smallest_drop(middle, discordance) > drop else (low, middle)
    return high


def _drop_by_spread(n: float, mean_square: float) -> float:
    """Return the smallest loss for scores whose change has this mean square: for scores of 0 and 1 the discordance."""
    under = max(n + Z_POWER**2 - Z_LEVEL**2, 0.0)
    return math.sqrt(mean_square) * (Z_LEVEL * math.sqrt(n) + Z_POWER * math.sqrt(under)) / (n + Z_POWER**2)


def _smallest_drop(before: Floats, after: Floats, clusters: npt.ArrayLike | None, binary: bool) -> float:
    difference = after - before
    changed = int(np.count_nonzero(difference))
    worth = effective_items(before, after, clusters)
    if binary or (changed < CHANGED and bounded(before, after)):
        return smallest_drop(worth, changed / len(difference))
    return _drop_by_spread(worth, float(np.mean(difference**2)))


# Quantiles of Student's t.


def quantile(probability: float, freedom: float) -> float:
    """Return the quantile of Student's t at `probability`, 0.5 to 0.99, with `freedom` ≥ 1 degrees, also fractional.

    Exact for one and two degrees of freedom, within 4 % between them and within 2 % above.
    """
    if probability == 0.5 or freedom >= 3:
        return _expansion(probability, freedom)
    low = math.floor(freedom)
    share = (1 / low - 1 / freedom) / (1 / low - 1 / (low + 1))
    knots = (
        math.tan(math.pi * (probability - 0.5)),
        (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability)),
        _expansion(probability, 3),
    )
    return math.exp((1 - share) * math.log(knots[low - 1]) + share * math.log(knots[low]))


def _expansion(probability: float, freedom: float) -> float:
    """Cornish-Fisher, Abramowitz and Stegun 26.7.5."""
    z = NormalDist().inv_cdf(probability)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


# Intervals of the mean difference.


def difference_interval(
    reference: Floats,
    other: Floats,
    clusters: npt.ArrayLike | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float] | None:
    """Return the 95 % interval of mean(other - reference), by score interval or bootstrap: see the module.

    None for a single item or cluster with scores outside 0 to 1, whose variance is unknown.
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
    """Return whether all scores are between 0 and 1, so that no difference exceeds 1."""
    return bool(min(reference.min(), other.min()) >= 0 and max(reference.max(), other.max()) <= 1)


def effective_items(reference: Floats, other: Floats, clusters: npt.ArrayLike | None = None) -> float:
    """Return the effective sample size: the number of independent items with the same precision.

    With few changed items their clustering cannot be estimated, so that of the reference's scores is used if it is
    stronger; if all scores of the reference are equal and none changed, each cluster counts as one item.
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
    """Return the number of clusters in which any item's score changed."""
    return int(np.count_nonzero(clustered(np.abs(difference), clusters).sums))


def _quantile(clusters: npt.ArrayLike | None, count: int) -> float:
    if clusters is None:
        return Z
    return quantile(0.975, _freedom(clustered(np.zeros(count), clusters)))


def _freedom(means: Clustered) -> float:
    return max(1.0, means.effective - 1)


def paired_bootstrap(
    reference: npt.ArrayLike,
    other: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Return the expanded percentile interval of mean(other - reference) over resampled clusters.

    Raises ValueError for fewer than two clusters.

    scipy.stats.bootstrap resamples items, not clusters of varying size, and would bring scipy into the page's process.
    """
    means = clustered(np.asarray(other, dtype=float) - np.asarray(reference, dtype=float), clusters)
    if len(means.sums) < 2:
        raise ValueError("resampling needs two clusters")
    freedom = _freedom(means)
    outwards = math.sqrt((freedom + 1) / freedom) * quantile(0.975, freedom)
    tail = NormalDist().cdf(-outwards)
    low, high = np.quantile(_means(means, np.random.default_rng(seed), resamples), [tail, 1 - tail])
    return float(low), float(high)


def _means(clustered_means: Clustered, random: np.random.Generator, resamples: int) -> Floats:
    """Return the mean of each of `resamples` resamples of the clusters. Both branches have the same distribution."""
    clusters, counts = np.unique(np.stack([clustered_means.sums, clustered_means.sizes]), axis=1, return_counts=True)
    count = len(clustered_means.sums)
    if len(counts) <= DISTINCT:
        counts_drawn = random.multinomial(count, counts / count, size=resamples)
        return np.asarray(counts_drawn @ clusters[0] / (counts_drawn @ clusters[1]))
    means = np.empty(resamples)
    rows = max(1, DRAWN // count)
    for at in range(0, resamples, rows):
        chosen = random.integers(0, count, (min(rows, resamples - at), count))
        means[at : at + rows] = clustered_means.sums[chosen].sum(axis=1) / clustered_means.sizes[chosen].sum(axis=1)
    return means


def score_interval(lost: float, won: float, n: float, quantile: float = Z) -> tuple[float, float]:
    """Return Tango's interval of (won - lost) / n for paired proportions, https://pubmed.ncbi.nlm.nih.gov/9595618/

    It holds all differences that the score test does not reject. Counts may be fractional: sums of graded changes, or
    counts reduced for clustering.
    """
    estimate = (won - lost) / n
    low = -1.0 if estimate <= -1 else _crossing(lambda d: _score(lost, won, n, d) - quantile, -1.0, estimate)
    high = 1.0 if estimate >= 1 else _crossing(lambda d: _score(lost, won, n, d) + quantile, estimate, 1.0)
    return low, high


def _score(lost: float, won: float, n: float, difference: float) -> float:
    """Return Tango's statistic, standard normal if `difference` is the true one."""
    a, b = 2 * n, (2 * n - won + lost) * difference - won - lost
    c = -lost * difference * (1 - difference)
    share_lost = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # most likely, given `difference`
    variance = n * (2 * share_lost + difference * (1 - difference))
    distance = won - lost - n * difference
    return distance / math.sqrt(variance) if variance > 1e-12 * n else math.copysign(math.inf, distance)


def _crossing(falling: Callable[[float], float], low: float, high: float) -> float:
    """Return where a decreasing function of the difference crosses zero, to 1e-15."""
    for _ in range(52):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


# Means of clustered items.


@dataclass(frozen=True, slots=True)
class Clustered:
    """The sum and the number of the values of each cluster, both of shape [clusters]."""

    sums: Floats
    sizes: Floats

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.sizes.sum())

    @property
    def effective(self) -> float:
        """Return the effective number of clusters, Kish's (Σ m)² / Σ m²."""
        return float(self.sizes.sum() ** 2 / (self.sizes @ self.sizes))

    @property
    def stderr(self) -> float | None:
        """Return the cluster-robust standard error of the mean; None with a single cluster.

        Liang and Zeger's estimator for a ratio of sums, times G/(G-1); of clusters of one it is s/√n.
        """
        count = len(self.sums)
        if count < 2:
            return None
        residuals = self.sums - self.mean * self.sizes
        return math.sqrt(count / (count - 1) * float(residuals @ residuals)) / float(self.sizes.sum())


def clustered(values: npt.ArrayLike, clusters: npt.ArrayLike | None = None) -> Clustered:
    """Return the values by cluster. Raises ValueError.

    values    finite numbers of shape [n]
    clusters  the cluster's name of each value, shape [n]; None: each value is its own cluster
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError("values must be a non-empty list of finite numbers")
    if clusters is None:
        return Clustered(array, np.ones(len(array)))
    names = np.asarray(clusters)
    if names.shape != array.shape:
        raise ValueError(f"{len(array)} values have {names.size} cluster names")
    _, which = np.unique(names, return_inverse=True)
    sums, sizes = np.bincount(which, array), np.bincount(which)
    return Clustered(sums.astype(float), sizes.astype(float))


def mean_stderr(values: npt.ArrayLike, clusters: npt.ArrayLike | None = None) -> tuple[float, float | None]:
    """Return the mean and its standard error, cluster-robust with `clusters`; the error of a single cluster is None."""
    means = clustered(values, clusters)
    return means.mean, means.stderr


def design_effect(values: npt.ArrayLike, clusters: npt.ArrayLike | None = None) -> float:
    """Return the factor by which clustering increases the variance of the mean, at least 1.

    1 with a single cluster or without variation, where it cannot be estimated.
    """
    stderr, stderr_unclustered = clustered(values, clusters).stderr, clustered(values).stderr
    return max(1.0, (stderr / stderr_unclustered) ** 2) if stderr and stderr_unclustered else 1.0
