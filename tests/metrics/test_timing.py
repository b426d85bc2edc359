"""Timing metrics: closed forms and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.core import Trace
from playground.metrics.timing import inter_token_latencies, speed_ratio_interval, timing

gaps_of = st.lists(st.floats(1e-4, 10), min_size=1, max_size=50)


def trace(first: float, gaps: list[float], prompt: int = 10, prefill: float | None = 0.5) -> Trace:
    times = [first]
    for gap in gaps:
        times.append(times[-1] + gap)
    return Trace(prompt, tuple(times), prefill_s=prefill)


def test_the_definitions_on_a_trace_computed_by_hand() -> None:
    found = timing(Trace(34, (0.2, 0.25, 0.35, 0.4), prefill_s=0.17))
    assert found.ttft_s == 0.2
    assert found.prefill_tok_s == pytest.approx(200)
    assert found.tpot_s == pytest.approx(0.2 / 3)
    assert found.decode_tok_s == pytest.approx(15)
    assert found.itl_p50_s == pytest.approx(0.05)
    assert found.itl_p99_s == pytest.approx(0.099)
    assert found.e2e_s == 0.4
    assert (found.prompt_tokens, found.output_tokens) == (34, 4)


def test_what_cannot_be_known_is_none_and_never_zero() -> None:
    none = timing(Trace(5))
    assert (none.ttft_s, none.tpot_s, none.decode_tok_s, none.e2e_s, none.itl_p50_s) == (None,) * 5
    one = timing(Trace(5, (0.3,), prefill_s=0.3))
    assert one.ttft_s == one.e2e_s == 0.3
    assert one.tpot_s is None and one.decode_tok_s is None and one.itl_p99_s is None
    assert timing(Trace(5, (0.3, 0.3))).decode_tok_s is None, "a clock that stood still tells no speed"


@given(first=st.floats(0, 100), gaps=gaps_of)
def test_decode_speed_counts_intervals_not_tokens(first: float, gaps: list[float]) -> None:
    t = trace(first, gaps)
    found = timing(t)
    assert found.output_tokens == len(gaps) + 1
    assert found.decode_tok_s is not None and found.tpot_s is not None
    assert found.decode_tok_s * found.tpot_s == pytest.approx(1)
    assert found.decode_tok_s == pytest.approx(len(gaps) / (t.times_s[-1] - t.times_s[0]))
    assert found.e2e_s == pytest.approx(first + sum(gaps))


@given(first=st.floats(0, 100), gaps=gaps_of, shift=st.floats(0, 100))
def test_a_later_start_moves_only_ttft_and_e2e(first: float, gaps: list[float], shift: float) -> None:
    one, other = timing(trace(first, gaps)), timing(trace(first + shift, gaps))
    assert other.tpot_s == pytest.approx(one.tpot_s, rel=1e-6)
    assert other.ttft_s == pytest.approx(first + shift)


@given(first=st.floats(0, 10), gaps=gaps_of)
def test_percentiles_are_numpys_and_lie_within_the_gaps(first: float, gaps: list[float]) -> None:
    t = trace(first, gaps)
    found = timing(t)
    measured = inter_token_latencies(t.times_s)
    assert found.itl_p50_s == pytest.approx(float(np.percentile(measured, 50)))
    assert found.itl_p50_s is not None and found.itl_p99_s is not None
    assert min(measured) <= found.itl_p50_s <= found.itl_p99_s <= max(measured)


@pytest.mark.parametrize("times", [(-0.1, 0.2), (0.2, 0.1)])
def test_a_clock_that_runs_backwards_is_refused(times: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="backwards"):
        timing(Trace(1, times))


def test_speed_ratio_of_equal_streams_contains_one() -> None:
    gaps = list(np.random.default_rng(1).gamma(20, 0.002, 60))
    found = speed_ratio_interval(gaps, gaps[::-1])
    assert found is not None
    ratio, low, high = found
    assert ratio == pytest.approx(1) and low < 1 < high


def test_speed_ratio_of_a_clear_difference_excludes_one() -> None:
    random = np.random.default_rng(2)
    slow, fast = random.gamma(50, 0.002, 60), random.gamma(50, 0.001, 60)
    found = speed_ratio_interval(list(slow), list(fast))
    assert found is not None
    assert found[1] > 1.5 and found[0] == pytest.approx(slow.mean() / fast.mean())
    assert speed_ratio_interval(list(slow), [0.1]) is None


def test_speed_ratio_interval_covers_the_truth() -> None:
    """95 % intervals of 1,000 simulated runs of 64 steps cover the true ratio 1.25 in 93 to 98 % of cases."""
    random = np.random.default_rng(3)
    hits = 0
    for _ in range(1000):
        found = speed_ratio_interval(list(random.gamma(25, 0.05 / 25, 64)), list(random.gamma(25, 0.04 / 25, 64)))
        assert found is not None
        hits += found[1] <= 1.25 <= found[2]
    assert 930 <= hits <= 980
