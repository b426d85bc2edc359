"""Values of the drawn parts of the page: JSON that can never be markup."""

from __future__ import annotations

import json
from typing import Any

from playground.core import Variant
from playground.errors import PlaygroundError


def inert(value: Any) -> str:
    """JSON in ASCII without a "<": no line separator breaks a line, and nothing could ever become a tag."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def text(value: str) -> str:
    """The value of a line of text."""
    return inert(value)


def notice(error: PlaygroundError | None = None) -> str:
    """The value of a sentence in place: what is wrong and what to do; empty when nothing is."""
    return inert([error.message, error.hint]) if error else ""


def megabytes(count: float | None) -> str:
    """Decimal units, three figures at most: 269 MB, 1.54 GB."""
    if count is None:
        return "–"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count / size < 999.5 else f"{count / size:.0f} {unit}"
    return f"{count:.0f} bytes"


def size(variant: Variant) -> str:
    about = "≈ " if variant.bytes_are_estimated else ""
    return "" if variant.bytes is None else about + megabytes(variant.bytes)
