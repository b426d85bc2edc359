"""CSV that a spreadsheet reads as what it is: numbers and text, never formulas."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A line of names, then one for each row; what is not known is an empty cell, what is no column is left out."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: inert(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def inert(value: Any) -> Any:
    """Text that begins like a formula gets a quote in front."""
    begins = isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@") and value.strip()
    return f"'{value}" if begins else value


def did_you_mean(name: str, allowed: Sequence[str]) -> str:
    """The hint of every look-up that can miss: the nearest name and the whole list."""
    near = difflib.get_close_matches(name, allowed, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return f"{guess}Known: {', '.join(allowed)}."
