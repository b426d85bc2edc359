"""Ranges of estimates: their spread, its correction by past jobs, and their words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from playground import formatting

Range = tuple[float, float]
SPREAD: Range = (0.6, 2.2)  # factors on a time, without past jobs on this machine
EXPERIENCED: Range = (0.8, 1.35)  # factors on a time, after jobs of the same method here


@dataclass(frozen=True, slots=True)
class Measured:
    """A past job on this machine: its estimate (the middle of the range) and its duration, both in seconds."""

    method: str
    estimated: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Parts:
    """Named contributions to an estimate, each (low, high)."""

    of: dict[str, Range] = field(default_factory=dict)

    def add(self, name: str, low: float, high: float | None = None) -> None:
        self.of[name] = (low, low if high is None else high)

    @property
    def total(self) -> Range:
        return sum(low for low, _ in self.of.values()), sum(high for _, high in self.of.values())


def spread(
    parts: Parts, method: str, history: Sequence[Measured] = (), busy: float = 0.0, doubt: Range = SPREAD
) -> Range:
    """The range to show, in the unit of `parts`. Past jobs of the same method correct it by the geometric mean of
    seconds / estimated, and narrow it.

    busy   other runnable threads per core; raises the upper end
    doubt  factors on the low and the high end without such jobs
    """
    low, high = parts.total
    ratios = [past.seconds / past.estimated for past in history if past.method == method and past.estimated > 0]
    ratios = [ratio for ratio in ratios if ratio > 0]
    if not ratios:
        return low * doubt[0], high * doubt[1] * (1 + busy)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    middle = (low + high) / 2 * mean
    # All observed ratios stay inside the range.
    narrow = min(EXPERIENCED[0], min(ratios) / mean)
    wide = max(EXPERIENCED[1], max(ratios) / mean)
    return middle * narrow, middle * wide * (1 + busy)


def span(seconds: Range) -> str:
    """ "2 to 5 min", rounded."""
    low, high = seconds
    unit, size = ("s", 1.0) if high < 100 else ("min", 60.0) if high < 5400 else ("h", 3600.0)
    texts = [_round(value / size) for value in (low, high)]
    return f"{texts[0]} {unit}" if texts[0] == texts[1] else f"{texts[0]} to {texts[1]} {unit}"


def too_little_memory(needed: float, free: float, more: str = "") -> str:
    """The sentence of a job that is refused; `more` goes on after what is free. Both in bytes."""
    return f"It needs at least {formatting.size(needed)} of memory and {formatting.size(free)} are free{more}."


def _round(value: float) -> str:
    return f"{max(1, round(value)):d}" if value >= 3 or value < 0.05 else f"{value:.1f}".removesuffix(".0")
