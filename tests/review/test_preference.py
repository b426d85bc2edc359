"""Win rates, position and agreement against scipy, published examples and simulated reviewers."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from playground.review.preference import agreement, position, win_rate

KRIPPENDORFF = (  # Krippendorff 2011, section C: four observers, twelve units, alpha 0.743 for nominal data
    ("1", "2", "3", "3", "2", "1", "4", "1", "2", ".", ".", "."),
    ("1", "2", "3", "3", "2", "2", "4", "1", "2", "5", ".", "3"),
    (".", "3", "3", "3", "2", "3", "4", "2", "2", "5", "1", "."),
    ("1", "2", "3", "3", "2", "4", "4", "1", "2", "5", "1", "."),
)


@pytest.mark.parametrize(("won", "lost"), [(0, 12), (5, 15), (18, 22), (60, 40)])
def test_one_reviewer_without_ties_has_wilsons_interval(won: int, lost: int) -> None:
    found = win_rate([1] * won + [0] * lost, range(won + lost), ["a"] * (won + lost))
    wilson = stats.binomtest(won, won + lost).proportion_ci(method="wilson")
    assert found.ci95 == pytest.approx((wilson.low, wilson.high), abs=1e-9)
    assert found.rate == won / (won + lost) and found.effective == won + lost


def test_ties_are_half_a_win_and_make_it_surer() -> None:
    tied = win_rate([1] * 10 + [0] * 10 + [0.5] * 20, range(40), ["a"] * 40)
    decided = win_rate([1] * 20 + [0] * 20, range(40), ["a"] * 40)
    assert tied.rate == decided.rate == 0.5
    assert tied.ci95[1] - tied.ci95[0] < decided.ci95[1] - decided.ci95[0]
    assert tied.verdict == decided.verdict == "not distinguishable" and tied.sees < decided.sees


def test_votes_of_several_on_the_same_prompts_are_no_new_prompts() -> None:
    one = win_rate([1, 0] * 20, range(40), ["a"] * 40)
    same = win_rate([1, 0] * 60, list(range(40)) * 3, [who for who in "abc" for _ in range(40)])
    assert same.effective == pytest.approx(39, abs=2), "three who always agree are one"
    assert same.ci95[1] - same.ci95[0] >= one.ci95[1] - one.ci95[0]


def test_one_who_votes_otherwise_makes_it_less_sure() -> None:
    rng = np.random.default_rng(1)
    prompts = list(range(60)) * 3
    alike = win_rate((rng.random(180) < 0.5).astype(float), prompts, [who for who in "abc" for _ in range(60)])
    share = np.repeat([0.1, 0.5, 0.9], 60)
    apart = win_rate((rng.random(180) < share).astype(float), prompts, [who for who in "abc" for _ in range(60)])
    assert apart.effective < 20 < 100 < alike.effective


def test_few_votes_say_nothing() -> None:
    few = win_rate([1, 1, 1, 0], range(4), ["a"] * 4)
    assert few.verdict == "too few" and few.sees > 0.85
    assert win_rate([1] * 5, range(5), ["a"] * 5).verdict == "too few", "Wilson leaves out 0.5, the sign test does not"
    assert win_rate([1] * 9, range(9), ["a"] * 9).verdict == "first"
    assert win_rate([0] * 9, range(9), ["a"] * 9).verdict == "second"
    alike = win_rate([0.5] * 90, list(range(30)) * 3, ["a", "b", "c"] * 30)
    assert alike.rate == 0.5 and alike.effective == 30 and alike.ci95[0] < 0.47
    with pytest.raises(ValueError, match=r"0, 0\.5 or 1"):
        win_rate([0.3], [0], ["a"])
    with pytest.raises(ValueError, match="non-empty"):
        win_rate([], [], [])


def coverage(draw: object, truth: float, rounds: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(rounds):
        low, high = win_rate(*draw(rng)).ci95  # type: ignore[operator]
        hits += low <= truth <= high
    return hits / rounds


@pytest.mark.parametrize(
    ("prompts", "reviewers", "win", "tie", "prompt_spread", "reviewer_spread", "least"),
    [
        (20, 1, 0.5, 0.0, 0, 0, 0.93),
        (40, 1, 0.3, 0.3, 0, 0, 0.93),
        (40, 3, 0.4, 0.2, 2.0, 0, 0.93),  # they mostly agree, prompt by prompt
        (15, 4, 0.5, 0.4, 1.0, 0, 0.93),
        (40, 12, 0.4, 0.2, 1.0, 0.6, 0.91),  # reviewers drawn at random, each with a taste
        (40, 2, 0.4, 0.2, 1.0, 0.6, 0.82),  # two cannot tell how others vote: documented, and not hidden
    ],
)
def test_intervals_cover_what_they_say(
    prompts: int, reviewers: int, win: float, tie: float, prompt_spread: float, reviewer_spread: float, least: float
) -> None:
    centre = math.log(win / (1 - win - tie))

    def draw(rng: np.random.Generator) -> tuple[list[float], list[int], list[int]]:
        lean = rng.normal(0, prompt_spread, prompts)[:, None] + rng.normal(0, reviewer_spread, reviewers)[None, :]
        share = 1 / (1 + np.exp(-(centre + lean)))
        tied = rng.random((prompts, reviewers)) < tie
        scores = np.where(tied, 0.5, rng.random((prompts, reviewers)) < share)
        return scores.ravel().tolist(), *map(list, zip(*product(range(prompts), range(reviewers)), strict=True))  # type: ignore[return-value]

    lean = np.random.default_rng(0).normal(0, math.hypot(prompt_spread, reviewer_spread), 200_000)
    truth = tie / 2 + (1 - tie) * float(np.mean(1 / (1 + np.exp(-(centre + lean)))))
    assert coverage(draw, truth, 500, seed=prompts + reviewers) >= least


@pytest.mark.parametrize(("a", "b"), [(0, 5), (12, 30), (20, 20), (61, 39)])
def test_position_is_the_binomial_test(a: int, b: int) -> None:
    found = position(a, b)
    assert found is not None
    test = stats.binomtest(a, a + b)
    wilson = test.proportion_ci(method="wilson")
    assert found.p == pytest.approx(test.pvalue)
    assert found.ci95 == pytest.approx((wilson.low, wilson.high), abs=1e-9)
    assert position(0, 0) is None


def test_agreement_is_the_published_alpha() -> None:
    units = [[value for value in unit if value != "."] for unit in zip(*KRIPPENDORFF, strict=True)]
    found = agreement(units)
    assert found is not None
    assert found.alpha == pytest.approx(0.743, abs=5e-4)
    assert found.units == 11, "a unit with one value says nothing of agreement"
    assert found.ci95 is not None and found.ci95[0] < 0.743 < found.ci95[1] <= 1


def test_agreement_of_those_who_agree_and_those_who_guess() -> None:
    perfect = agreement([["x", "x"], ["y", "y"]] * 10)
    assert perfect is not None and perfect.alpha == 1
    rng = np.random.default_rng(3)
    guessed = agreement(rng.integers(0, 3, (400, 3)).tolist())
    assert guessed is not None and abs(guessed.alpha) < 0.07
    assert guessed.ci95 is not None and guessed.ci95[0] < 0 < guessed.ci95[1]
    assert agreement([["x", "x"], ["x", "x"]]) is None, "without any difference nothing can be said"
    assert agreement([["x"], ["y"]]) is None
    opposed = agreement([["x", "y"]] * 4)
    assert opposed is not None and opposed.alpha < 0 and opposed.ci95 is None


def test_agreement_with_gaps_is_that_of_another_tool() -> None:
    """The package krippendorff 0.9.0 gives 0.201193820224719 for these four reviewers, who left some out."""
    votes = [
        [2, 0, 0, 0, 1, 2, 1, 0, 1, None, None, None, 2, None, None, 0, None, 0, 0, 1, 0, 1, 0, 0, 2],
        [1, 0, None, 0, 1, 2, 1, 0, 2, None, None, None, 2, None, None, 0, 1, 1, None, 1, 0, 1, 0, None, None],
        [2, 2, 0, None, 1, 2, None, None, 1, 0, None, None, 1, 2, 1, 2, 1, None, 1, 1, None, None, 1, 1, 2],
        [1, 1, 2, 0, 1, 1, 2, 1, None, 0, 2, 1, None, 0, None, None, None, 2, 1, None, None, 0, 0, None, 0],
    ]
    found = agreement([[vote for vote in unit if vote is not None] for unit in zip(*votes, strict=True)])
    assert found is not None and found.alpha == pytest.approx(0.201193820224719)
