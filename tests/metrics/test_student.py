"""Student's quantile against scipy's."""

from __future__ import annotations

import pytest
from scipy import stats

from playground.metrics import stats as metrics_stats


@pytest.mark.parametrize("probability", [0.5, 0.9, 0.95, 0.975, 0.99])
@pytest.mark.parametrize(
    ("freedom", "within"), [(1, 1e-9), (1.5, 0.04), (2, 1e-9), (2.6, 0.02), (3, 0.02), (7, 1e-3), (63.5, 1e-5)]
)
def test_it_is_scipys(probability: float, freedom: float, within: float) -> None:
    assert metrics_stats.quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=within)
