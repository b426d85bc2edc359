"""Where the command line prints, and its tables of numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

WIDE = 200  # columns


def output() -> Console:
    """Standard output. What goes into a file or a pipe has room: nothing is cut where nobody has a window."""
    return Console(width=None if Console().is_terminal or "COLUMNS" in os.environ else WIDE)


class Figures:
    """A table whose numbers are never cut: columns for which a window has no room go on below, beside the names.

    Columns called `words` stand to the left, the first of them being a row's name; those called `numbers` to the right.
    """

    def __init__(self, words: Sequence[str], numbers: Sequence[str], *, title: str = "") -> None:
        self._headings = [*words, *numbers]
        self._words = len(words)
        self._title = title
        self._rows: list[Sequence[str]] = []

    def add(self, *cells: str) -> None:
        self._rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        if self._title:
            yield Text(self._title, style="italic")
        shown = [0]
        for column in range(1, len(self._headings)):
            if len(shown) > 1 and self._width([*shown, column], console, options) > options.max_width:
                yield self._part(shown)
                shown = [0]
            shown.append(column)
        yield self._part(shown)

    def _width(self, columns: Sequence[int], console: Console, options: ConsoleOptions) -> int:
        """Of these columns where there is room for all."""
        return Measurement.get(console, options.update(max_width=10_000), self._part(columns)).maximum

    def _part(self, columns: Sequence[int]) -> Table:
        part = Table(box=None, header_style="dim")
        for column in columns:
            heading, justify = self._headings[column], "left" if column < self._words else "right"
            part.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for row in self._rows:
            part.add_row(*(Text(row[column]) for column in columns))
        return part
