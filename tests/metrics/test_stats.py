"""Paired comparison: p-values of statsmodels and scipy, the table of published sample sizes, verdicts, edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from playground.metrics.stats import mcnemar_exact, paired, paired_bootstrap, score_interval, smallest_drop

answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def sides(lost: int, won: int, right: int, wrong: int) -> tuple[list[int], list[int]]:
    """Scores of the reference and of the variant with so many items of each kind."""
    return [1] * lost + [0] * won + [1] * right + [0] * wrong, [0] * lost + [1] * won + [1] * right + [0] * wrong


@pytest.mark.parametrize(
    ("lost", "won", "p"),
    [
        (17, 9, 0.16863754391670227),
        (0, 5, 0.0625),
        (121, 80, 0.004660051974640136),
        (3, 3, 1.0),
        (0, 0, 1.0),
        (40, 12, 0.0001275387838557407),
    ],
)
def test_mcnemar_is_that_of_statsmodels(lost: int, won: int, p: float) -> None:
    """statsmodels 0.15.0: mcnemar(exact=True).pvalue of these tables."""
    assert mcnemar_exact(lost, won) == pytest.approx(p, rel=1e-12)


def test_mcnemar_is_the_binomial_test_on_simulated_pairs() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        n = int(random.integers(5, 1500))
        reference = random.random(n) < 0.6
        other = np.where(random.random(n) < random.uniform(0.01, 0.3), ~reference, reference)
        found = paired(reference, other)
        flips = found.flips_lost + found.flips_won
        expected = scipy_stats.binomtest(found.flips_lost, flips).pvalue if flips else 1.0
        assert found.mcnemar_p == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_thousands_of_flips_does_not_overflow() -> None:
    assert mcnemar_exact(6000, 5800) == pytest.approx(scipy_stats.binomtest(6000, 11800).pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("points", "discordance", "n"),
    [
        *((1, 0.05, 3922), (1, 0.075, 5884), (1, 0.10, 7847)),
        *((2, 0.05, 979), (2, 0.075, 1469), (2, 0.10, 1960)),
        *((3, 0.05, 434), (3, 0.075, 652), (3, 0.10, 870)),
        *((2.4, 0.10, 1319), (6.2, 0.10, 200)),  # GSM8K, and a sample of 200
    ],
)
def test_smallest_drop_is_the_published_table_read_backwards(points: float, discordance: float, n: int) -> None:
    assert 100 * smallest_drop(n, discordance) == pytest.approx(points, abs=0.002 if n not in (1319, 200) else 0.05)


@given(n=st.integers(8, 100_000), discordance=st.floats(0.001, 1))
def test_smallest_drop_solves_the_formula(n: int, discordance: float) -> None:
    drop = smallest_drop(n, discordance)
    assert 0 < drop <= 1
    share = max(discordance, drop)  # a loss changes at least as many answers
    needed = (1.959964 * share**0.5 + 0.841621 * max(share - drop**2, 0) ** 0.5) ** 2 / drop**2
    assert needed == pytest.approx(n, rel=1e-4)


@given(n=st.integers(1, 5000), more=st.integers(1, 5000), discordance=st.floats(0, 1))
def test_more_items_show_smaller_drops(n: int, more: int, discordance: float) -> None:
    assert smallest_drop(n + more, discordance) <= smallest_drop(n, discordance) <= 1


def test_smallest_drop_has_the_power_it_promises() -> None:
    """1,000 simulations of a loss of that size, tested as the formula does, by McNemar's score test."""
    n, discordance = 300, 0.1
    drop = smallest_drop(n, discordance)
    share_lost = (discordance + drop) / 2
    drawn = np.random.default_rng(1).multinomial(n, [share_lost, discordance - share_lost, 1 - discordance], size=1000)
    lost, won = drawn[:, 0], drawn[:, 1]
    assert 0.77 <= np.mean((lost - won) ** 2 / (lost + won) > 1.959964**2) <= 0.83


def test_no_flip_among_200_does_not_mean_that_any_loss_would_show() -> None:
    assert smallest_drop(200, 0) == pytest.approx(0.0388, abs=0.0001)
    assert smallest_drop(1, 0) == smallest_drop(3, 0.5) == 1


def test_the_definitions_on_pairs_counted_by_hand() -> None:
    found = paired(*sides(lost=12, won=4, right=68, wrong=16))
    assert (found.n, found.score_reference, found.score) == (100, 0.8, 0.72)
    assert (found.flips_lost, found.flips_won, found.discordance) == (12, 4, 0.16)
    assert found.recovery == pytest.approx(90)
    assert found.diff == pytest.approx(-0.08)
    assert found.stderr == pytest.approx(np.sqrt(0.72 * 0.28 / 99))
    assert found.mcnemar_p == pytest.approx(scipy_stats.binomtest(4, 16).pvalue)
    assert found.diff_ci95 == paired_bootstrap(*sides(12, 4, 68, 16))
    assert found.verdict == "not distinguishable"


def test_a_clear_loss_is_worse_and_the_mirror_image_better() -> None:
    assert paired(*sides(30, 5, 50, 15)).verdict == "worse"
    assert paired(*sides(5, 30, 50, 15)).verdict == "better"


def test_lower_scores_are_better_where_the_task_says_so() -> None:
    before, after = np.linspace(10, 20, 50), np.linspace(11, 21, 50) + np.sin(np.arange(50))
    found = paired(before, after, higher_is_better=False)
    assert found.diff > 0 and found.verdict == "worse"
    assert found.recovery == pytest.approx(100 * before.mean() / after.mean())
    assert found.flips_lost > found.flips_won
    assert paired(after, before, higher_is_better=False).verdict == "better"


def test_the_interval_alone_does_not_decide_right_and_wrong_answers() -> None:
    """Five losses and no win: the score interval leaves out 0, the exact p is 0.06."""
    found = paired(*sides(5, 0, 100, 95))
    assert found.diff_ci95 is not None and found.diff_ci95[1] < 0
    assert found.verdict == "not distinguishable"


def test_mcnemar_alone_does_not_decide_either() -> None:
    """Twelve losses in one of six conversations are one stroke of bad luck, not twelve."""
    clusters = np.repeat(np.arange(6), 12)
    before, after = np.ones(72), np.where(clusters == 0, 0, 1)
    found = paired(before, after, clusters)
    assert found.mcnemar_p is not None and found.mcnemar_p < 0.001
    assert found.verdict == "not distinguishable"


def test_graded_scores_have_no_mcnemar_even_where_all_are_whole() -> None:
    assert paired([0.5, 0.25], [0.5, 0.75]).mcnemar_p is None
    assert paired([1, 0], [1, 1], graded=True).mcnemar_p is None
    assert paired([1, 0], [1, 1]).mcnemar_p == 1


def test_variants_that_lost_nothing_are_called_different_at_most_as_often_as_the_level_says() -> None:
    drawn = np.random.default_rng(3).multinomial(200, [0.05, 0.05, 0.6, 0.3], size=1000)
    called = {
        tuple(counts): paired(*sides(*counts)).verdict for counts in {(a, b, 100, 100 - a - b) for a, b, *_ in drawn}
    }
    assert sum(called[a, b, 100, 100 - a - b] != "not distinguishable" for a, b, *_ in drawn) <= 50


def test_one_item_decides_nothing() -> None:
    found = paired([1], [0])
    assert (found.stderr, found.mcnemar_p, found.smallest_drop, found.verdict) == (None, 1, 1, "not distinguishable")
    assert found.diff_ci95 == score_interval(1, 0, 1)
    unbounded = paired([12.5], [13.5], higher_is_better=False)
    assert (unbounded.diff_ci95, unbounded.verdict) == (None, "not distinguishable")


@pytest.mark.parametrize("score", [0, 1])
def test_all_items_the_same_leave_room_for_doubt(score: int) -> None:
    found = paired([score] * 50, [score] * 50)
    assert found.diff_ci95 is not None and found.diff_ci95[0] < 0 < found.diff_ci95[1]
    assert found.smallest_drop > 0.1
    assert (found.discordance, found.verdict) == (0, "not distinguishable")


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_recovery_of_nothing_is_unknown(higher_is_better: bool) -> None:
    assert paired([0, 0, 0], [1, 0, 0], higher_is_better=higher_is_better).recovery is None


def test_graded_power_follows_the_size_of_the_changes() -> None:
    random = np.random.default_rng(4)
    before = random.uniform(0.2, 0.8, 200)
    small, large = (paired(before, before + random.normal(0, sd, 200)) for sd in (0.02, 0.05))
    assert small.smallest_drop == pytest.approx(2.8 * 0.02 / np.sqrt(200), rel=0.1)
    assert large.smallest_drop == pytest.approx(2.8 * 0.05 / np.sqrt(200), rel=0.1)


@given(answers)
def test_swapping_the_sides_mirrors_everything(pairs: list[tuple[bool, bool]]) -> None:
    before, after = zip(*pairs, strict=True)
    there, back = paired(before, after), paired(after, before)
    assert (there.flips_lost, there.flips_won) == (back.flips_won, back.flips_lost)
    assert there.diff == -back.diff
    assert there.mcnemar_p == back.mcnemar_p
    assert there.discordance == back.discordance >= abs(there.diff) - 1e-12
    assert there.diff_ci95 is not None
    assert there.diff_ci95[0] - 1e-9 <= there.diff <= there.diff_ci95[1] + 1e-9
    assert {there.verdict, back.verdict} in ({"not distinguishable"}, {"better", "worse"})


@pytest.mark.parametrize(("before", "after"), [([1, 0], [1]), ([], []), ([1.0], [float("nan")])])
def test_what_does_not_pair_up_is_refused(before: list[float], after: list[float]) -> None:
    with pytest.raises(ValueError, match=r"join them|finite"):
        paired(before, after)
