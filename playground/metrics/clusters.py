"""Means of items that hang together: questions about one passage, tokens of one document.

Items of a cluster share their luck, so the cluster is the unit that uncertainty is counted in (Miller, Adding Error
Bars to Evals, https://arxiv.org/abs/2411.00640). Where items stand alone, each is a cluster of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clustered:
    """What a mean over items needs to know of each cluster: the sum of its values, and how many they are."""

    sums: Floats
    sizes: Floats

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.sizes.sum())

    @property
    def effective(self) -> float:
        """Clusters of equal size that would be worth as much: Kish's (Σ m)² / Σ m²."""
        return float(self.sizes.sum() ** 2 / (self.sizes @ self.sizes))

    @property
    def stderr(self) -> float | None:
        """Of the mean, robust to what happens inside a cluster; None with a single cluster.

        Liang and Zeger's estimator for a ratio of sums, times G/(G-1); of clusters of one it is s/√n.
        """
        count = len(self.sums)
        if count < 2:
            return None
        residuals = self.sums - self.mean * self.sizes
        return math.sqrt(count / (count - 1) * float(residuals @ residuals)) / float(self.sizes.sum())


def clustered(values: npt.ArrayLike, clusters: npt.ArrayLike | None = None) -> Clustered:
    """`clusters` names the cluster of each value; None: each stands alone. Raises ValueError."""
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
    """Mean and its standard error, clustered where `clusters` are given; the error of a single cluster is None."""
    found = clustered(values, clusters)
    return found.mean, found.stderr


def design_effect(values: npt.ArrayLike, clusters: npt.ArrayLike | None = None) -> float:
    """By how much clustering multiplies the variance of the mean, at least 1; n over it is what the items are worth.

    1 with a single cluster or without variation: neither can tell.
    """
    found, alone = clustered(values, clusters).stderr, clustered(values).stderr
    return max(1.0, (found / alone) ** 2) if found and alone else 1.0
