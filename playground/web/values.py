"""Values of the parts of the page: JSON that cannot be markup."""

from __future__ import annotations

import json
from typing import Any

from playground.core import Variant


def inert(value: Any) -> str:
    """Return JSON in ASCII without "<", so without line separators and tags. Raises ValueError for NaN."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def megabytes(count: float | None) -> str:
    """Return a size in decimal units with at most three digits: 269 MB, 1.54 GB; "–" for None."""
    if count is None:
        return "–"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count / size < 999.5 else f"{count / size:.0f} {unit}"
    return f"{count:.0f} bytes"


def size(variant: Variant) -> str:
    about = "≈ " if variant.bytes_are_estimated else ""
    return "" if variant.bytes is None else about + megabytes(variant.bytes)
