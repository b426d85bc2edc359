"""Quantiles of Student's t without scipy, which would cost the page's process more memory than the page does."""

from __future__ import annotations

import math
from statistics import NormalDist


def quantile(probability: float, freedom: float) -> float:
    """The value below which t lies with `probability`, of 0.5 to 0.99. `freedom` is at least 1, whole or not.

    Exact for one and two degrees of freedom, within 4 % between them and within 2 % from there on.
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
