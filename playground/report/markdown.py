"""Pieces of a model card. Names and sentences from elsewhere are text in it: never markup, never another table cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"([\\`*\[\]<>|#&!~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def plain(text: object) -> str:
    """Text that reads as it is, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def code(text: object) -> str:
    """A name in monospace, on one line; what would end it is left out."""
    return f"`{' '.join(str(text).replace('`', '').replace('|', '').split())}`"


def fence(text: str, language: str = "") -> str:
    """A block that nothing inside can end."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Headings and cells are Markdown already; the first `left` columns hold words, the others numbers."""
    marks = ["---" if number < left else "---:" for number in range(len(headings))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, marks, *rows))
