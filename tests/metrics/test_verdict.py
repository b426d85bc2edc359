"""The verdict: one rule for one comparison, one for all of a variant, and how a stored word is read back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.metrics.verdict import Verdict, judge, look, overall, read, words


@pytest.mark.parametrize(
    ("interval", "p", "withheld", "verdict"),
    [
        ((-0.09, -0.01), 0.01, False, Verdict.WORSE),
        ((0.01, 0.09), 0.01, False, Verdict.BETTER),
        ((-0.09, 0.0), 0.01, False, Verdict.CANNOT_TELL),
        ((-0.09, -1e-13), 0.01, False, Verdict.CANNOT_TELL),
        ((-0.09, -0.01), 0.05, False, Verdict.CANNOT_TELL),
        ((-0.09, -0.01), None, False, Verdict.WORSE),
        (None, 0.01, False, Verdict.CANNOT_TELL),
        ((-0.09, -0.01), 0.01, True, Verdict.WITHHELD),
    ],
)
def test_of_one_comparison(
    interval: tuple[float, float] | None, p: float | None, withheld: bool, verdict: Verdict
) -> None:
    assert judge(interval, p, withheld=withheld) is verdict


@given(st.floats(-1, 1), st.floats(0, 1))
def test_swapping_the_sides_swaps_better_and_worse(middle: float, width: float) -> None:
    low, high = middle - width, middle + width
    swapped = {Verdict.WORSE: Verdict.BETTER, Verdict.BETTER: Verdict.WORSE}
    found = judge((low, high))
    assert judge((-high, -low)) is swapped.get(found, found)
    assert (found is Verdict.CANNOT_TELL) == (low <= 1e-12 and high >= -1e-12 and not math.isnan(low))


@given(st.lists(st.sampled_from(list(Verdict))))
def test_a_loss_anywhere_is_worse(verdicts: list[Verdict]) -> None:
    found = overall(verdicts)
    assert (found is Verdict.WORSE) == (Verdict.WORSE in verdicts)
    assert found in verdicts or (not verdicts and found is Verdict.CANNOT_TELL)


def test_what_is_stored_is_read_back() -> None:
    assert [read(str(verdict)) for verdict in Verdict] == list(Verdict)
    assert read("reference") is None and read(None) is None
    assert (look("reference"), look("not distinguishable"), look("worse")) == ("reference", "same", "worse")
    assert (words("withheld"), words("better"), words("reference")) == ("no verdict", "better", "reference")
    assert sorted(Verdict, key=lambda verdict: verdict.rank)[0] is Verdict.WORSE
