"""Intervals of paired differences: what they cover in 1,000 simulations, against independent computations, edges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as scipy_stats

from playground.metrics import stats
from playground.metrics.stats import CHANGED, difference_interval, paired_bootstrap, score_interval

Sample = tuple[np.ndarray, np.ndarray, np.ndarray | None]
Draw = Callable[[np.random.Generator], Sample]


def answers(
    lost: npt.ArrayLike, won: npt.ArrayLike, unchanged: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Right and wrong answers of two sides, changed with these probabilities; `unchanged` is both sides' elsewhere."""
    luck = random.random(len(unchanged))
    is_lost, is_won = luck < lost, (luck >= lost) & (luck < np.add(lost, won))
    reference = np.where(is_lost, 1.0, np.where(is_won, 0.0, unchanged))
    return reference, np.where(is_lost | is_won, 1 - reference, reference)


def binary(lost: float, won: float) -> Draw:
    """200 items that stand alone."""

    def draw(random: np.random.Generator) -> Sample:
        return *answers(lost, won, np.arange(200) % 2, random), None

    return draw


def graded(random: np.random.Generator) -> Sample:
    """200 F1 scores, of which 30 % change; the true difference is -0.3 × 0.1."""
    reference = random.choice([0.25, 0.5, 0.75], 200)
    change = random.choice([-0.25, 0, 0.25], 200, p=[0.6, 0.2, 0.2])
    return reference, np.where(random.random(200) < 0.3, reference + change, reference), None


def conversations(count: int) -> Draw:
    """Conversations of 5 to 24 questions, each with its own rate of losses; true difference -0.06 + 0.04."""

    def draw(random: np.random.Generator) -> Sample:
        clusters = np.repeat(np.arange(count), random.integers(5, 25, count))
        lost, won = random.beta(0.6, 9.4, count)[clusters], random.beta(0.4, 9.6, count)[clusters]
        return *answers(lost, won, clusters % 2, random), clusters

    return draw


def graded_conversations(random: np.random.Generator) -> Sample:
    """30 conversations of 2 to 29 questions, F1 scores; each moves by an amount of its own, -0.02 on average."""
    clusters = np.repeat(np.arange(30), random.integers(2, 30, 30))
    moved = random.normal(-0.02, 0.05, 30)[clusters] + random.normal(0, 0.1, len(clusters))
    return np.full(len(clusters), 0.5), 0.5 + moved.clip(-0.5, 0.5), clusters


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        pytest.param(binary(0.06, 0.04), -0.02, id="binary, 10 % discordant"),
        pytest.param(binary(0.1, 0.05), -0.05, id="binary, 15 % discordant"),
        pytest.param(binary(0.02, 0.02), 0.0, id="binary, 4 % discordant"),
        pytest.param(graded, -0.03, id="graded"),
        pytest.param(conversations(30), -0.02, id="30 conversations, binary"),
        pytest.param(conversations(60), -0.02, id="60 conversations, binary"),
        pytest.param(graded_conversations, -0.02, id="30 conversations, graded"),
    ],
)
def test_95_percent_intervals_cover_93_to_97_percent(draw: Draw, truth: float) -> None:
    random = np.random.default_rng(11)
    hits = 0
    for seed in range(1000):
        found = difference_interval(*draw(random), seed=seed, resamples=1000)
        assert found is not None
        hits += found[0] - 1e-12 <= truth <= found[1] + 1e-12
    assert 930 <= hits <= 970


def test_rare_losses_are_where_plain_resampling_promises_too_much() -> None:
    """2 % of 200 items are lost, none won. Coverage is exact: a sum over how many of the 200 it hits."""
    covered = plain = 0.0
    for lost in range(25):
        reference, other = np.ones(200), np.ones(200)
        other[:lost] = 0
        chance = scipy_stats.binom.pmf(lost, 200, 0.02)
        found = difference_interval(reference, other)
        assert found is not None and found[0] < found[1]
        covered += chance * (found[0] <= -0.02 <= found[1])
        fewest, most = scipy_stats.binom.ppf([0.025, 0.975], 200, lost / 200)
        plain += chance * (fewest <= 4 <= most)
    assert plain < 0.92 and 0.93 <= covered <= 0.97


def test_few_conversations_are_where_percentiles_alone_are_too_narrow() -> None:
    random = np.random.default_rng(6)
    hits = plain = 0
    for seed in range(1000):
        clusters = np.repeat(np.arange(10), random.integers(2, 30, 10))
        change = random.normal(-0.02, 0.05, 10)[clusters] + random.normal(0, 0.1, len(clusters))
        low, high = paired_bootstrap(np.zeros(len(clusters)), change, clusters, seed=seed, resamples=1000)
        hits += low <= -0.02 <= high
        of = stats.clustered(change, clusters)
        low, high = np.quantile(stats._means(of, np.random.default_rng(seed), 1000), [0.025, 0.975])
        plain += low <= -0.02 <= high
    assert plain < 910 and 930 <= hits <= 970


@pytest.mark.parametrize(
    ("lost", "won", "n"), [(2, 12, 50), (0, 0, 200), (0, 5, 40), (7, 3, 100), (30, 10, 60), (1.5, 3.2, 40.5)]
)
def test_score_interval_ends_where_the_score_test_rejects(lost: float, won: float, n: float) -> None:
    """The likelihood is maximised numerically here; no formula is shared."""

    def statistic(difference: float) -> float:
        def surprise(share_lost: float) -> float:
            cells = (
                (lost, share_lost),
                (won, share_lost + difference),
                (n - lost - won, 1 - 2 * share_lost - difference),
            )
            return -sum(count * np.log(p) for count, p in cells if count)

        edges = (max(0.0, -difference) + 1e-12, (1 - difference) / 2 - 1e-12)
        likely = optimize.minimize_scalar(surprise, bounds=edges, method="bounded", options={"xatol": 1e-13}).x
        return float((won - lost - n * difference) / np.sqrt(n * (2 * likely + difference - difference**2)))

    low, high = score_interval(lost, won, n)
    assert statistic(low) == pytest.approx(1.959964, abs=1e-4)
    assert statistic(high) == pytest.approx(-1.959964, abs=1e-4)


@given(lost=st.integers(0, 60), won=st.integers(0, 60), same=st.integers(0, 200))
def test_score_interval_holds_its_estimate_and_mirrors(lost: int, won: int, same: int) -> None:
    n = lost + won + same or 1
    low, high = score_interval(lost, won, n)
    assert -1 <= low <= (won - lost) / n <= high <= 1
    assert low < high
    assert score_interval(won, lost, n) == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize("n", [1, 10, 200])
def test_no_change_among_n_items_is_no_proof_of_none(n: int) -> None:
    same = np.ones(n)
    half = 1.959964**2 / (n + 1.959964**2)
    assert difference_interval(same, same) == pytest.approx((-half, half), abs=1e-6)


def test_no_change_in_conversations_tells_less_than_as_many_items_alone() -> None:
    clusters = np.repeat(np.arange(20), 10)
    same, mixed = np.ones(200), (clusters % 2).astype(float)
    alone, together = difference_interval(same, same), difference_interval(same, same, clusters)
    of_mixed = difference_interval(mixed, mixed, clusters)
    assert alone is not None and together is not None and of_mixed is not None
    assert together[1] > 5 * alone[1]
    assert of_mixed[1] > 5 * alone[1], "right answers that cluster say that changes may"


@pytest.mark.parametrize("kinds", [3, 500])
def test_both_ways_of_resampling_draw_from_one_distribution(monkeypatch: pytest.MonkeyPatch, kinds: int) -> None:
    """Few kinds of clusters are counted, many are drawn one by one."""
    random = np.random.default_rng(2)
    reference, other = np.zeros(500), random.integers(0, kinds, 500) / kinds
    usual = paired_bootstrap(reference, other)
    monkeypatch.setattr(stats, "DISTINCT", 0 if kinds == 3 else 1000)
    monkeypatch.setattr(stats, "DRAWN", 700)
    again = paired_bootstrap(reference, other)
    assert again == pytest.approx(usual, abs=0.003)


def test_resampling_agrees_with_scipys_where_items_stand_alone() -> None:
    random = np.random.default_rng(8)
    change = random.normal(0.1, 1, 300)
    theirs = scipy_stats.bootstrap((change,), np.mean, method="percentile", rng=random, n_resamples=10_000)
    ours = paired_bootstrap(np.zeros(300), change)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)


def test_the_same_seed_gives_the_same_interval() -> None:
    random = np.random.default_rng(4)
    reference, other = random.random(100), random.random(100)
    assert paired_bootstrap(reference, other, seed=3) == paired_bootstrap(reference, other, seed=3)
    assert paired_bootstrap(reference, other, seed=3) != paired_bootstrap(reference, other, seed=4)


def test_scores_without_bounds_need_two_items() -> None:
    assert difference_interval(np.array([12.0]), np.array([13.0])) is None
    found = difference_interval(np.array([12.0, 11.0]), np.array([13.0, 11.0]))
    assert found is not None and found[0] <= 0 and found[1] >= 1
    with pytest.raises(ValueError, match="two clusters"):
        paired_bootstrap([1.0, 0.0], [0.0, 0.0], ["a", "a"])


def test_resampling_takes_over_where_enough_has_changed() -> None:
    reference = np.ones(100)
    few, enough = reference.copy(), reference.copy()
    few[: CHANGED - 1], enough[:CHANGED] = 0, 0
    assert difference_interval(reference, few) == score_interval(CHANGED - 1, 0, 100)
    assert difference_interval(reference, enough) == paired_bootstrap(reference, enough)
