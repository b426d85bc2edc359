"""The endpoints panel: what happens in it. Whatever changes or contacts an endpoint asks first whether it may.

A key comes in with `enter` alone. That event does not go through the queue, nothing of it is kept here, and no answer
holds more of it than that there is one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from playground.compare import endpoints_words
from playground.compare.endpoints_trials import Trials
from playground.compare.endpoints_words import Said
from playground.errors import EngineError, OwnerOnly, PlaygroundError
from playground.models import endpoints
from playground.web import gradio as gr
from playground.web.owner import Owner
from playground.web.theme import drawn

log = logging.getLogger(__name__)
# "multiple": a second endpoint is tested while gradio still waits for the first one's answer.
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "multiple"}
MAX_VISITS = 200
STREAMS = 8

# Events of its script: `look` when it opens; `enter` {name, url, model, key, key_env}; `forget`, `ask`, `halt` {name};
# `use` {model, where}, which the Compare tab takes.
SIGNALS = "'look' 'enter' 'forget' 'ask' 'halt' 'use'"


@dataclass(slots=True)
class Visit:
    """One browser tab's."""

    trials: Trials = field(default_factory=Trials)
    said: Said | None = None
    count: int = 0

    def say(self, make: Callable[[int], Said]) -> None:
        self.count += 1
        self.said = make(self.count)


class Endpoints:
    """The events of the panel. `changed` and its outputs follow whatever changes the list (the pickers offer it)."""

    def __init__(self, panel: gr.HTML, owner: Owner) -> None:
        self.panel, self.owner = panel, owner
        self._visits: dict[str, Visit] = {}
        self._lock = threading.Lock()

    def wire(self, demo: gr.Blocks, changed: Callable[..., Any], outputs: list[Any]) -> None:
        panel = self.panel
        demo.load(self.look, None, panel, queue=False, **PRIVATE)
        demo.unload(self.leave)
        panel.look(self.look, None, panel, queue=False, **PRIVATE)
        for event in (panel.enter(self.enter, None, panel, queue=False, **PRIVATE),
                      panel.forget(self.forget, None, panel, queue=False, **PRIVATE)):  # fmt: skip
            event.then(changed, None, outputs, queue=False, **PRIVATE)
        panel.halt(self.halt, None, panel, queue=False, **PRIVATE)
        begun = panel.ask(self.ask, None, panel, queue=False, **PRIVATE)
        begun.then(self.stream, None, panel, concurrency_limit=STREAMS, concurrency_id="endpoints", **PRIVATE)

    def visit(self, request: gr.Request) -> Visit:
        """What the panel holds for a tab of the owner; for others, who may do nothing here, it holds nothing."""
        if self.owner.refusal(request):
            return Visit()
        with self._lock:
            found = self._visits.setdefault(request.session_hash or "", Visit())
            oldest = next(iter(self._visits)) if len(self._visits) > MAX_VISITS else None
            forgotten = self._visits.pop(oldest) if oldest is not None else None
        if forgotten:
            forgotten.trials.close()
        return found

    def leave(self, request: gr.Request) -> None:
        with self._lock:
            visit = self._visits.pop(request.session_hash or "", None)
        if visit:
            visit.trials.close()

    def close_all(self) -> None:
        """End every test."""
        with self._lock:
            visits = list(self._visits.values())
            self._visits.clear()
        for visit in visits:
            visit.trials.close()

    def _value(self, visit: Visit, request: gr.Request) -> str:
        return endpoints_words.panel(visit.trials.asked(), visit.said, self.owner.refusal(request))

    def look(self, request: gr.Request) -> str:
        return self._value(self.visit(request), request)

    def _try(self, request: gr.Request, act: Callable[[Visit], None]) -> str:
        """Do it if the request is the owner's; what is wrong becomes a sentence in the panel."""
        visit = self.visit(request)
        try:
            self.owner.check(request)
            act(visit)
        except PlaygroundError as error:
            said = error
            visit.say(lambda number: endpoints_words.failed(said, number))
            if isinstance(error, OwnerOnly):
                log.warning("Refused to change the endpoints: %s", error)
        except OSError as error:
            failed = EngineError(
                f"The endpoints cannot be written: {error.strerror or type(error).__name__}.",
                hint="Is the disk full, or the data folder not yours?",
            )
            visit.say(lambda number: endpoints_words.failed(failed, number))
        return self._value(visit, request)

    def enter(self, data: gr.EventData, request: gr.Request) -> str:
        """Add an endpoint, checked as on the command line; one of the same name is replaced."""

        def act(visit: Visit) -> None:
            wanted = endpoints_words.entered(_fields(data))
            replaced = any(known.name == wanted.name for known in endpoints.endpoints())
            made = endpoints.add(wanted)
            visit.trials.drop(made.name)
            visit.say(lambda number: endpoints_words.added(made, replaced, number))

        return self._try(request, act)

    def forget(self, data: gr.EventData, request: gr.Request) -> str:
        """Remove an endpoint with its key."""

        def act(visit: Visit) -> None:
            name = _name(data)
            endpoints.remove(name)
            visit.trials.drop(name)
            visit.say(lambda number: Said(number, f"{name} is removed."))

        return self._try(request, act)

    def ask(self, data: gr.EventData, request: gr.Request) -> str:
        """Begin to test an endpoint."""

        def act(visit: Visit) -> None:
            visit.trials.begin(endpoints.find(_name(data)).name)

        return self._try(request, act)

    def stream(self, request: gr.Request) -> Iterator[Any]:
        """The panel's value while tests run. A closed tab is noticed at a yield: two a second, whatever happens."""
        visit = self.visit(request)
        told = False
        for _ in visit.trials.changes():
            told = True
            yield self._value(visit, request)
        if not told:
            yield gr.skip()

    def halt(self, data: gr.EventData, request: gr.Request) -> str:
        visit = self.visit(request)
        visit.trials.stop(_name(data))
        return self._value(visit, request)


def _fields(data: gr.EventData) -> dict[str, Any]:
    return data._data if isinstance(data._data, dict) else {}


def _name(data: gr.EventData) -> str:
    return str(_fields(data).get("name") or "")


# The endpoints panel: a button beside the model picker, and what it opens. What happens there:
# `endpoints_events`.


def layout() -> gr.HTML:
    """Draw it in the current Blocks; its value is `endpoints_words.panel`."""
    return drawn("endpoints", signals=SIGNALS, elem_id="pg-endpoints")
