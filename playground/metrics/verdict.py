"""The verdict: what paired measurements say of a variant against its reference. Nothing else turns them into words."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

Look = Literal["reference", "worse", "withheld", "better", "same"]
LEVEL = 0.05
ROUNDING = 1e-12  # an interval's end this near to 0 is 0


class Verdict(StrEnum):
    """In the order in which a run says them: what was lost first. The values are stored."""

    WORSE = "worse"
    WITHHELD = "withheld"
    BETTER = "better"
    CANNOT_TELL = "not distinguishable"

    @property
    def rank(self) -> int:
        return list(Verdict).index(self)

    @property
    def look(self) -> Look:
        """Its class in style sheets, and its `kind` in reports."""
        looks: dict[Verdict, Look] = {
            Verdict.WORSE: "worse",
            Verdict.WITHHELD: "withheld",
            Verdict.BETTER: "better",
            Verdict.CANNOT_TELL: "same",
        }
        return looks[self]

    @property
    def words(self) -> str:
        """As a table says it."""
        return "no verdict" if self is Verdict.WITHHELD else self.value


def read(word: object) -> Verdict | None:
    """The verdict of a stored row; None of the reference's, which is compared with nothing."""
    return next((verdict for verdict in Verdict if verdict == word), None)


def look(word: object) -> Look:
    """The class of a stored row: that of its verdict, or "reference"."""
    verdict = read(word)
    return verdict.look if verdict else "reference"


def words(word: object) -> str:
    verdict = read(word)
    return verdict.words if verdict else "reference"


def judge(gain_ci95: tuple[float, float] | None, p: float | None = None, *, withheld: bool = False) -> Verdict:
    """Of one comparison. `withheld`: a trust check failed.

    gain_ci95  95 % interval of the gain (more is better) in the score's unit; None where nothing can be said
    p          of McNemar's exact test; None of graded scores. From LEVEL on nothing is said
    """
    if withheld:
        return Verdict.WITHHELD
    if gain_ci95 is None or (p is not None and p >= LEVEL):
        return Verdict.CANNOT_TELL
    low, high = gain_ci95
    if low > ROUNDING:
        return Verdict.BETTER
    return Verdict.WORSE if high < -ROUNDING else Verdict.CANNOT_TELL


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """Of all comparisons of a variant: lost anywhere is worse; won somewhere is better; then what was withheld."""
    known = set(verdicts)
    order = (Verdict.WORSE, Verdict.BETTER, Verdict.WITHHELD)
    return next((verdict for verdict in order if verdict in known), Verdict.CANNOT_TELL)
