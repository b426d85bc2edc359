"""Where the command line prints."""

from __future__ import annotations

import os

from rich.console import Console

WIDE = 200  # columns


def output() -> Console:
    """Standard output. What goes into a file or a pipe has room: nothing is cut where nobody has a window."""
    return Console(width=None if Console().is_terminal or "COLUMNS" in os.environ else WIDE)
