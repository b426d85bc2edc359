"""Means of clustered values: closed forms, statsmodels' figures, invariances."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from playground.metrics.stats import clustered, design_effect, mean_stderr

numbers = st.lists(st.floats(-100, 100), min_size=4, max_size=40)


@given(numbers)
def test_values_that_stand_alone_have_the_error_of_any_mean(values: list[float]) -> None:
    mean, stderr = mean_stderr(values)
    assert mean == pytest.approx(np.mean(values))
    assert stderr == pytest.approx(stats.sem(values), abs=1e-12)


def test_clustered_error_is_that_of_statsmodels() -> None:
    """statsmodels 0.15.0: OLS on a constant, cov_type="cluster" without its correction: 0.05618734652218858."""
    values, clusters = [0.1, 0.5, 0.3, 0.9, 0.2, 0.4, 0.7], ["a", "a", "b", "b", "b", "c", "d"]
    assert mean_stderr(values, clusters)[1] == pytest.approx(0.05618734652218858 * np.sqrt(4 / 3), rel=1e-12)


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=10), st.integers(2, 6))
def test_saying_everything_several_times_makes_nothing_surer(values: list[float], times: int) -> None:
    clusters = np.repeat(np.arange(len(values)), times)
    repeated = np.repeat(values, times)
    assert mean_stderr(repeated, clusters)[1] == pytest.approx(mean_stderr(values)[1], rel=1e-6, abs=1e-9)
    assert clustered(repeated, clusters).effective == pytest.approx(len(values))


@given(numbers, st.randoms(use_true_random=False))
def test_neither_order_nor_names_of_clusters_count(values: list[float], random: Random) -> None:
    clusters = [position // 3 for position in range(len(values))]
    mixed = list(zip(values, clusters, strict=True))
    random.shuffle(mixed)
    again = mean_stderr([value for value, _ in mixed], [f"story {cluster}" for _, cluster in mixed])
    assert again == pytest.approx(mean_stderr(values, clusters), rel=1e-6, abs=1e-9)


def test_effective_clusters_are_fewer_where_sizes_differ() -> None:
    assert clustered(np.zeros(101), [0] * 100 + [1]).effective == pytest.approx(101**2 / (100**2 + 1))


def test_a_single_cluster_tells_no_error() -> None:
    assert mean_stderr([1.0]) == (1.0, None)
    assert mean_stderr([1.0, 0.0], ["a", "a"]) == (0.5, None)


def test_design_effect_counts_what_clusters_cost() -> None:
    assert design_effect(np.repeat([0.0, 1.0, 1.0, 0.0], 5), np.repeat(range(4), 5)) == pytest.approx(19 / 3)
    assert design_effect([1, 0, 1, 0], None) == 1
    assert design_effect([1, 1, 1, 1], [0, 0, 1, 1]) == 1
    assert design_effect([0, 1, 0, 1], [0, 0, 1, 1]) == 1, "what clusters balance is never counted as more items"


@pytest.mark.parametrize("values", [[], [float("nan")], [float("inf"), 1.0], [[1.0]]])
def test_what_is_no_list_of_numbers_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        clustered(values)


def test_each_value_needs_a_cluster() -> None:
    with pytest.raises(ValueError, match="3 values have 2"):
        clustered([1, 2, 3], ["a", "b"])
