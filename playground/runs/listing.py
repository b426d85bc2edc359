"""The list of runs: its lines and events. It is for the owner alone; every event checks that itself.

A line names the measurement, its model and variants, and its most important figure.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from playground.errors import PlaygroundError, UnknownRun
from playground.evaluate.report import with_labels
from playground.models.address import Address
from playground.runs.kinds import KINDS, title
from playground.store import database, runs
from playground.store.runs import Entry
from playground.web import event_data
from playground.web import gradio as gr
from playground.web.owner import Owner
from playground.web.theme import html_part
from playground.web.values import inert

log = logging.getLogger(__name__)
QUICK: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
PAGE = 30  # lines
MAX_LINES = 600
MAX_NOTE = 12_000
OWNER_ONLY = "Only the owner of this page sees the list of runs. A run is unlisted: whoever has its link can open it."
MAX_NUMBERS = 2000
Number = tuple[str, str]


class Runs:
    """The events of the list; `owner` checks that a request is the owner's."""

    def __init__(self, tab: Tab, owner: Owner) -> None:
        self.tab, self.owner, self._rows = tab, owner, Rows()

    def wire(self) -> None:
        events = self.tab.list
        for event, act in (
            (events.look, self.look),
            (events.rename, self.rename),
            (events.annotate, self.annotate),
            (events.revoke, self.revoke),
            (events.restore, self.restore),
            (events.remove, self.remove),
        ):
            event(act, None, events, trigger_mode="multiple", **QUICK)

    def look(self, data: gr.EventData, request: gr.Request) -> str:
        return self._value(data, request)

    def rename(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda run_id: runs.rename(run_id, event_data.text(data, "text", MAX_NOTE)))

    def annotate(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda run_id: runs.annotate(run_id, event_data.text(data, "text", MAX_NOTE)))

    def revoke(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, runs.revoke)

    def restore(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, runs.restore)

    def remove(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, _remove)

    def _owned(self, data: gr.EventData, request: gr.Request, act: Callable[[str], object]) -> str:
        """Run `act` on the event's run if the request is the owner's, and return the list's value."""

        def on_run() -> None:
            if not database.exists():
                raise UnknownRun("There is no such run.", hint="Nothing was stored here yet.")
            act(event_data.text(data, "id"))

        return self._value(data, request, self.owner.attempt(request, on_run))

    def _value(self, data: gr.EventData, request: gr.Request, error: PlaygroundError | None = None) -> str:
        value: dict[str, Any] = {"serial": event_data.whole(event_data.values(data).get("serial"))}
        if refused := self.owner.refusal(request):
            return inert(value | {"refused": [OWNER_ONLY, f"{refused.message} {refused.hint}"]})
        try:
            lines = self._lines(data)
        except (PlaygroundError, SQLAlchemyError, OSError):
            log.exception("The store cannot be read")
            return inert(value | {"broken": ["The runs cannot be read.", "Details are in the log."]})
        return inert(lines | value | {"error": [error.message, error.hint] if error else None})

    def _lines(self, data: gr.EventData) -> dict[str, Any]:
        """The lines of the event's search, their total, and the choices of its filters."""
        text, kind, model = (
            event_data.text(data, "words")[:200],
            event_data.text(data, "kind"),
            event_data.text(data, "model"),
        )
        limit = min(max(event_data.whole(event_data.values(data).get("many")), PAGE), MAX_LINES)
        revoked = event_data.values(data).get("revoked") is True
        exists = database.exists()
        entries = runs.search(text, kind, model, limit=limit, revoked=revoked) if exists else []
        return {
            "text": text,
            "kind": kind,
            "model": model,
            "lines": self._rows.lines(entries),
            "total": runs.count(text, kind, model, revoked=revoked) if exists else 0,
            "size": PAGE,
            "most": MAX_LINES,
            "kinds": [(name, kind.title) for name, kind in KINDS.items()],
            "models": runs.models() if exists else [],
        }


def _remove(run_id: str) -> None:
    if not runs.remove(run_id):
        raise UnknownRun(f"There is no run {run_id[:40]!r}.", hint="It was deleted before.")


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
        "title": entry.title,
        "own_title": run.title,
        "note": entry.note,
        "revoked": entry.revoked_at,
        "model": run.model,
        "created": run.created_at,
        "variants": [str(row["label"]) for row in with_labels(run.variants)],
        "number": number,
    }


@dataclass(frozen=True)
class Tab:
    list: gr.HTML


def layout() -> Tab:
    """Draw the list and the page of one run in the current Blocks. The script shows one at a time."""
    with gr.Column(elem_id="pg-opened"):
        html_part("openedRun", elem_id="pg-opened-run")
    with gr.Column(elem_id="pg-runs"):
        runs_list = html_part(
            "runsList", signals="'look' 'rename' 'annotate' 'revoke' 'restore' 'remove'", elem_id="pg-runs-list"
        )
    return Tab(runs_list)
