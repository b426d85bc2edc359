"""The list of runs: its lines, each with the measurement, its model and variants, and its most important figure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Literal

from playground.evaluate.report import with_labels
from playground.models.address import Address
from playground.runs.kinds import KINDS, title
from playground.runs.titles import title_of
from playground.store import database, runs
from playground.store.runs import Entry

PAGE = 30  # lines
MAX_LINES = 600
MAX_NUMBERS = 2000
Number = tuple[str, str]
Sort = Literal["newest", "oldest", "title", "kind"]


def found(rows: Rows, words: str, kind: str, model: str, *, revoked: bool, sort: Sort, limit: int) -> dict[str, Any]:
    """Return the lines of a search, their total, and the choices of its filters.

    By title or kind the newest `MAX_LINES` are sorted: titles in words are not in the database.
    """
    exists = database.exists()
    by_words = sort in ("title", "kind")
    entries = (
        runs.search(
            words, kind, model, limit=MAX_LINES if by_words else limit, revoked=revoked, oldest_first=sort == "oldest"
        )
        if exists
        else []
    )
    if by_words:
        entries.sort(key=lambda entry: (title(entry.run.kind) if sort == "kind" else title_of(entry)).casefold())
    return {
        "lines": rows.lines(entries[:limit]),
        "total": runs.count(words, kind, model, revoked=revoked) if exists else 0,
        "size": PAGE,
        "most": MAX_LINES,
        "kinds": [(name, kind.title) for name, kind in KINDS.items()],
        "models": runs.models() if exists else [],
    }


class Rows:
    """Makes the lines of the list. A run's result never changes, so its figure is read once and cached."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[str, Number] = OrderedDict()

    def lines(self, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        self._read(entries)
        return [line(entry, self._numbers.get(entry.id, ("", ""))) for entry in entries]

    def _read(self, entries: Sequence[Entry]) -> None:
        for name, kind in KINDS.items():
            new = [entry for entry in entries if entry.run.kind == name and entry.id not in self._numbers]
            parts_by_run = runs.parts([entry.id for entry in new], kind.feature.NUMBER_OF)
            for entry in new:
                self._numbers[entry.id] = kind.feature.number(parts_by_run.get(entry.id) or {}, labels(entry))
        while len(self._numbers) > MAX_NUMBERS:
            self._numbers.popitem(last=False)


def labels(entry: Entry) -> dict[str, str]:
    """Labels of a run's variants, the reference first: by id, and by id without the engine."""
    names = {str(row["id"]): str(row["label"]) for row in with_labels(entry.run.variants)}
    return names | {
        address: label for name, label in names.items() if (address := Address.parse(name).variant) not in names
    }


def line(entry: Entry, number: Number) -> dict[str, Any]:
    """A line of the list as JSON."""
    run = entry.run
    return {
        "id": run.id,
        "kind": run.kind,
        "kind_words": title(run.kind),
        "title": title_of(entry),
        "note": entry.note,
        "revoked": entry.revoked_at,
        "model": run.model,
        "created": run.created_at,
        "variants": [str(row["label"]) for row in with_labels(run.variants)],
        "number": number,
    }
