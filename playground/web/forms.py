"""What several forms of the page read: numbers, names of variants."""

from __future__ import annotations

from typing import Any

from playground.errors import InvalidRequest


def whole(value: Any, name: str) -> int:
    """A whole number as typed. Raises InvalidRequest."""
    text = str(value).strip()[:40]
    if isinstance(value, bool) or not text.isascii() or not text.isdigit():
        raise InvalidRequest(f"{name} is “{text}”.", hint="It has to be a whole number.")
    return int(text)
