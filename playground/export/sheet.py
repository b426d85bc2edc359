"""A run as one tidy table: a line for each thing that was measured, a column for each number, units in the names."""

from __future__ import annotations

from playground import spreadsheet
from playground.export.kinds import kind, travelling
from playground.store.schema import Run


def csv(run: Run) -> str:
    """With a line of column names. Raises InvalidRequest."""
    how = kind(run.kind)
    return spreadsheet.as_csv(how.columns, how.rows(travelling(run)))
