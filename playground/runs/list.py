"""The list of runs: what happens on it. It is the owner's; every function asks that itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from playground.errors import PlaygroundError, UnknownRun
from playground.runs.page import KINDS, Tab
from playground.runs.rows import Rows
from playground.store import database, runs
from playground.web import event_data
from playground.web import gradio as gr
from playground.web.owner import Owner
from playground.web.values import inert

log = logging.getLogger(__name__)
QUICK: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
PAGE = 30  # lines at a time
MAX_SHOWN = 600
MAX_NOTE = 12_000
NOBODY = "Only the owner of this page sees the list of runs. A run is unlisted: whoever has its link can open it."


class Runs:
    """The events of the list. `owner`: who may see it and change what is said of a run."""

    def __init__(self, tab: Tab, owner: Owner) -> None:
        self.tab, self.owner, self._rows = tab, owner, Rows()

    def wire(self) -> None:
        found = self.tab.list
        for event, act in (
            (found.look, self.look),
            (found.rename, self.rename),
            (found.annotate, self.annotate),
            (found.revoke, self.revoke),
            (found.restore, self.restore),
            (found.remove, self.remove),
        ):
            event(act, None, found, trigger_mode="multiple", **QUICK)

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
        """Do what only the owner may, then look."""

        def on_run() -> None:
            if not database.exists():
                raise UnknownRun("There is no such run.", hint="Nothing was stored here yet.")
            act(event_data.text(data, "id"))

        return self._value(data, request, self.owner.attempt(request, on_run))

    def _value(self, data: gr.EventData, request: gr.Request, error: PlaygroundError | None = None) -> str:
        said: dict[str, Any] = {"serial": event_data.whole(event_data.values(data).get("serial"))}
        if refused := self.owner.refusal(request):
            return inert(said | {"refused": [NOBODY, f"{refused.message} {refused.hint}"]})
        try:
            found = self._found(data)
        except (PlaygroundError, SQLAlchemyError, OSError):
            log.exception("The store cannot be read")
            return inert(said | {"broken": ["The runs cannot be read.", "Details are in the log."]})
        return inert(found | said | {"error": [error.message, error.hint] if error else None})

    def _found(self, data: gr.EventData) -> dict[str, Any]:
        """The lines that were asked for, how many there are, and what can be chosen."""
        text, kind, model = (
            event_data.text(data, "words")[:200],
            event_data.text(data, "kind"),
            event_data.text(data, "model"),
        )
        many = min(max(event_data.whole(event_data.values(data).get("many")), PAGE), MAX_SHOWN)
        revoked = event_data.values(data).get("revoked") is True
        there = database.exists()
        entries = runs.search(text, kind, model, limit=many, revoked=revoked) if there else []
        return {
            "text": text,
            "kind": kind,
            "model": model,
            "lines": self._rows.lines(entries),
            "total": runs.count(text, kind, model, revoked=revoked) if there else 0,
            "size": PAGE,
            "most": MAX_SHOWN,
            "kinds": list(KINDS.items()),
            "models": runs.models() if there else [],
        }


def _remove(run_id: str) -> None:
    if not runs.remove(run_id):
        raise UnknownRun(f"There is no run {run_id[:40]!r}.", hint="It was deleted before.")
