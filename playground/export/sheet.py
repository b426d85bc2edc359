"""A run as one tidy table: a line for each thing that was measured, a column for each number, units in the names."""

from __future__ import annotations

import csv as csv_module
import io
from typing import Any

from playground.export.kinds import kind, travelling
from playground.store.schema import Run


def csv(run: Run) -> str:
    """With a line of column names; an unknown number is an empty cell. Raises InvalidRequest."""
    how = kind(run.kind)
    text = io.StringIO()
    writer = csv_module.DictWriter(text, how.columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: inert(value) for name, value in row.items()} for row in how.rows(travelling(run)))
    return text.getvalue()


def inert(value: Any) -> Any:
    """A spreadsheet takes text that begins like a formula for one; a quote in front keeps it text."""
    return (
        f"'{value}"
        if isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@") and value.strip()
        else value
    )
