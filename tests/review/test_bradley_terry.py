"""Strengths against a closed form, an independent optimizer, and simulated votes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from playground.review.preference import bradley_terry


def draw(rng: np.random.Generator, strengths: list[float], prompts: int, spread: float = 0.0) -> tuple[list[int], ...]:
    """Every pair on every prompt; a prompt moves each variant by `spread`. Ties where it is close."""
    first, second, score, on = [], [], [], []
    for prompt in range(prompts):
        moved = np.array(strengths) + rng.normal(0, spread, len(strengths))
        for i in range(len(strengths)):
            for j in range(i + 1, len(strengths)):
                share = 1 / (1 + math.exp(moved[j] - moved[i]))
                said = rng.random()
                first.append(i)
                second.append(j)
                score.append(0.5 if rng.random() < 0.2 else float(said < share))
                on.append(prompt)
    return first, second, score, on  # type: ignore[return-value]


def test_two_variants_are_their_odds() -> None:
    found = bradley_terry([1] * 40, [0] * 40, [1] * 25 + [0] * 11 + [0.5] * 4, range(40), 2)
    other = found.strengths[1]
    assert other is not None and found.strengths[0] is not None
    assert other.log_odds == pytest.approx(math.log(27 / 13))
    assert other.rate == pytest.approx(27 / 40) and other.votes == 40
    assert (found.strengths[0].log_odds, found.strengths[0].rate, found.strengths[0].ci95) == (0, 0.5, None)
    assert not found.bounded


def test_it_is_the_maximum_of_the_likelihood() -> None:
    first, second, score, on = draw(np.random.default_rng(5), [0.0, 0.4, -0.6, 0.1], 60)

    def loss(free: np.ndarray) -> float:  # type: ignore[type-arg]
        theta = np.append(0.0, free)
        gap = theta[first] - theta[second]
        return float(
            np.sum(np.asarray(score) * np.log1p(np.exp(-gap)) + (1 - np.asarray(score)) * np.log1p(np.exp(gap)))
        )

    expected = minimize(loss, np.zeros(3), tol=1e-12).x
    found = [one.log_odds for one in bradley_terry(first, second, score, on, 4).strengths if one]
    assert found == pytest.approx([0, *expected], abs=1e-4)


def test_who_never_lost_is_bounded_and_finite() -> None:
    found = bradley_terry([1, 1, 1, 2, 2], [0, 0, 0, 0, 0], [1, 1, 1, 0, 1], [0, 1, 2, 0, 1], 3)
    best = found.strengths[1]
    assert found.bounded and best is not None and math.isfinite(best.log_odds) and 0.8 < best.rate < 1
    assert best.ci95 is not None


def test_a_variant_that_met_nobody_has_no_strength() -> None:
    found = bradley_terry([1, 1, 3, 3], [0, 0, 2, 2], [1, 0, 1, 0], [0, 1, 0, 1], 4)
    assert found.strengths[1] is not None and found.strengths[2] is None and found.strengths[3] is None
    with pytest.raises(ValueError, match="a score and a prompt"):
        bradley_terry([], [], [], [], 2)


def test_the_intervals_cover() -> None:
    """On logits the mean over prompts differs from the strength that makes the votes; the win rate is the truth."""
    rng, strengths, hits, rounds = np.random.default_rng(11), [0.0, 0.5, -0.4], 0, 300
    big = draw(np.random.default_rng(0), strengths, 20_000, spread=0.8)
    truth = [one.rate for one in bradley_terry(*big[:3], big[3], 3).strengths if one]
    for _ in range(rounds):
        found = bradley_terry(*draw(rng, strengths, 40, spread=0.8), 3).strengths[2]  # type: ignore[misc]
        assert found is not None and found.ci95 is not None
        hits += found.ci95[0] <= truth[2] <= found.ci95[1]
    assert hits / rounds >= 0.92


def test_strengths_and_errors_are_those_of_other_tools() -> None:
    """choix 0.4.1 (mm_pairwise) gives -0.16705408; statsmodels 0.15.0 (GLM, binomial, clustered by prompt, no
    correction for the number of parameters) gives 0.29465444 and 0.41191327, here times √(12 / 11) for twelve prompts.
    """
    first = [0, 0, 1] * 12
    second = [1, 2, 2] * 12
    pattern = [1.0, 0.0, 0.5]
    said = [0, 1, 0, 1, 2, 0, 1, 1, 0, 1, 0, 2, 0]
    on = [row // 3 for row in range(36)]
    score = [pattern[said[(p * 3 + i * 2 + j) % 13]] for p, i, j in zip(on, first, second, strict=True)]
    _, one, two = bradley_terry(first, second, score, on, 3).strengths
    assert one is not None and two is not None
    assert (one.log_odds, two.log_odds) == pytest.approx((0, -0.16705408), abs=1e-7)
    scale = math.sqrt(12 / 11)
    assert (one.stderr, two.stderr) == pytest.approx((0.29465444 * scale, 0.41191327 * scale), abs=1e-7)
