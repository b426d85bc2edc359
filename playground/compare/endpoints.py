"""The endpoints panel beside the model picker: its layout, its value and its events.

Every event that changes or contacts an endpoint checks first that the owner sent it. Each test of an endpoint runs in
its own thread with a timeout.

A key is received by the event `enter` alone. That event bypasses the queue, the key is not kept here, and a response
only says whether there is one.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from playground.core import Progress
from playground.engines.remote.engine import RemoteEngine
from playground.engines.remote.probe import Trial, try_out
from playground.errors import (
    Cancelled,
    CatalogError,
    EngineError,
    EngineUnavailable,
    InvalidRequest,
    OwnerOnly,
    PlaygroundError,
)
from playground.models import endpoints as models_endpoints
from playground.models.endpoints import Endpoint
from playground.web import event_data
from playground.web import gradio as gr
from playground.web.owner import Owner
from playground.web.theme import html_part
from playground.web.values import inert

LIMIT_S = 45.0  # a list of models and two tokens, also where the model must first be woken
TICK_S = 0.5
log = logging.getLogger(__name__)
# "multiple": a second endpoint is tested while gradio still waits for the first one's answer.
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "multiple"}
MAX_VISITS = 200
STREAMS = 8
# Events of its script: `look` when it opens; `enter` {name, url, model, key, key_env}; `forget`, `ask`, `halt` {name};
# `use` {model, where}, which the Compare tab takes.
SIGNALS = "'look' 'enter' 'forget' 'ask' 'halt' 'use'"
MAX_MODELS = 20  # models of one endpoint
MAX_FIELD = 8192  # characters; the limits of `models.endpoints` are below it


@dataclass(frozen=True, slots=True)
class TrialState:
    """Progress of a test: `stage` and `seconds` while it runs, `error` if it failed, `trial` as received so far."""

    running: bool
    stage: str
    seconds: float
    trial: Trial | None
    error: PlaygroundError | None


class TrialThread:
    """One test of one endpoint in its own thread. It ends after `LIMIT_S`, even if its connection still waits."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._began = time.monotonic()
        self._stopped, self._over = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._stage = f"Asking {name}"
        self._trial: Trial | None = None
        self._error: PlaygroundError | None = None
        threading.Thread(target=self._run, name="endpoint test", daemon=True).start()

    @property
    def running(self) -> bool:
        return not self._over.is_set()

    def stop(self) -> None:
        self._stopped.set()
        self._end(Cancelled("Stopped.", hint="Test it again whenever you like."))

    def wait(self, seconds: float) -> None:
        """Block until the test ends, at most `seconds`. Ends a test that is past `LIMIT_S`."""
        self._over.wait(seconds)
        if self.running and time.monotonic() - self._began > LIMIT_S:
            self._stopped.set()
            self._end(
                EngineUnavailable(
                    f"Endpoint {self.name} has not answered within {LIMIT_S:g} s.",
                    hint="It may be overloaded or stuck.",
                )
            )

    def state(self) -> TrialState:
        with self._lock:
            seconds = time.monotonic() - self._began
            return TrialState(self.running, self._stage, seconds, self._trial, self._error)

    def _end(self, error: PlaygroundError | None = None) -> None:
        """Mark the test as ended; later calls change nothing."""
        with self._lock:
            if self.running:
                self._error = error
                self._over.set()

    def _run(self) -> None:
        engine = RemoteEngine()
        try:
            for update in try_out(engine, self.name, self._stopped.is_set):
                with self._lock:
                    if isinstance(update, Progress):
                        self._stage = update.stage
                    else:
                        self._trial = update
            self._end()
        except PlaygroundError as error:
            self._end(error)
        except Exception:
            log.exception("the test of endpoint %s failed", self.name)
            self._end(EngineError("The test ended unexpectedly.", hint="Details are in the log."))
        finally:
            engine.close()


class Trials:
    """The latest test of each endpoint in one browser tab. Thread-safe."""

    def __init__(self) -> None:
        self._by_name: dict[str, TrialThread] = {}
        self._lock = threading.Lock()
        self._watched = False

    def begin(self, name: str) -> None:
        """Start a test unless one of this endpoint is running."""
        with self._lock:
            if name not in self._by_name or not self._by_name[name].running:
                self._by_name[name] = TrialThread(name)

    def by_name(self) -> dict[str, TrialThread]:
        with self._lock:
            return dict(self._by_name)

    def stop(self, name: str) -> None:
        if trial := self.by_name().get(name):
            trial.stop()

    def drop(self, name: str) -> None:
        """Stop and forget the test of an endpoint that was replaced or removed."""
        with self._lock:
            trial = self._by_name.pop(name, None)
        if trial:
            trial.stop()

    def close(self) -> None:
        for trial in self.by_name().values():
            trial.stop()

    def changes(self) -> Iterator[None]:
        """Yield twice a second and whenever a test ends, until none runs. One caller at a time; others end at once."""
        with self._lock:
            if self._watched:
                return
            self._watched = True
        try:
            while running := self._running():
                yield
                running[0].wait(TICK_S)
                for trial in running[1:]:
                    trial.wait(0)
        except GeneratorExit:
            with self._lock:
                self._watched = False
            raise
        yield

    def _running(self) -> list[TrialThread]:
        """The running tests. With none, clears `_watched` under the same lock, so that no new test goes unwatched."""
        with self._lock:
            running = [trial for trial in self._by_name.values() if trial.running]
            self._watched = bool(running)
            return running


@dataclass(slots=True)
class Visit:
    """What the panel keeps for one browser tab."""

    trials: Trials = field(default_factory=Trials)
    reply: Reply | None = None
    count: int = 0

    def reply_with(self, make: Callable[[int], Reply]) -> None:
        self.count += 1
        self.reply = make(self.count)


class Endpoints:
    """The events of the panel. `changed` runs after each change of the list, to update the pickers."""

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
        started = panel.ask(self.ask, None, panel, queue=False, **PRIVATE)
        started.then(self.stream, None, panel, concurrency_limit=STREAMS, concurrency_id="endpoints", **PRIVATE)

    def visit(self, request: gr.Request) -> Visit:
        """The state of the owner's tab; visitors, who may change nothing here, get an empty one that is not kept."""
        if self.owner.refusal(request):
            return Visit()
        with self._lock:
            visit = self._visits.setdefault(request.session_hash or "", Visit())
            oldest = next(iter(self._visits)) if len(self._visits) > MAX_VISITS else None
            dropped = self._visits.pop(oldest) if oldest is not None else None
        if dropped:
            dropped.trials.close()
        return visit

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
        return panel(visit.trials.by_name(), visit.reply, self.owner.refusal(request))

    def look(self, request: gr.Request) -> str:
        return self._value(self.visit(request), request)

    def _try(self, request: gr.Request, act: Callable[[Visit], None]) -> str:
        """Run `act` if the request is the owner's, and return the panel's value. Errors become its reply."""
        visit = self.visit(request)
        try:
            self.owner.check(request)
            act(visit)
        except PlaygroundError as error:
            refusal = error
            visit.reply_with(lambda number: failure(refusal, number))
            if isinstance(error, OwnerOnly):
                log.warning("Refused to change the endpoints: %s", error)
        except OSError as error:
            failed = EngineError(
                f"The endpoints cannot be written: {error.strerror or type(error).__name__}.",
                hint="Is the disk full, or the data folder not yours?",
            )
            visit.reply_with(lambda number: failure(failed, number))
        return self._value(visit, request)

    def enter(self, data: gr.EventData, request: gr.Request) -> str:
        """Add an endpoint, checked as on the command line; one of the same name is replaced."""

        def act(visit: Visit) -> None:
            requested = entered(event_data.values(data))
            replaced = any(endpoint.name == requested.name for endpoint in models_endpoints.endpoints())
            stored = models_endpoints.add(requested)
            visit.trials.drop(stored.name)
            visit.reply_with(lambda number: added(stored, replaced, number))

        return self._try(request, act)

    def forget(self, data: gr.EventData, request: gr.Request) -> str:
        """Remove an endpoint with its key."""

        def act(visit: Visit) -> None:
            name = _name(data)
            models_endpoints.remove(name)
            visit.trials.drop(name)
            visit.reply_with(lambda number: Reply(number, f"{name} is removed."))

        return self._try(request, act)

    def ask(self, data: gr.EventData, request: gr.Request) -> str:
        """Begin to test an endpoint."""

        def act(visit: Visit) -> None:
            visit.trials.begin(models_endpoints.find(_name(data)).name)

        return self._try(request, act)

    def stream(self, request: gr.Request) -> Iterator[Any]:
        """Yield the panel's value while tests run: at least twice a second, since gradio notices a closed tab there."""
        visit = self.visit(request)
        yielded = False
        for _ in visit.trials.changes():
            yielded = True
            yield self._value(visit, request)
        if not yielded:
            yield gr.skip()

    def halt(self, data: gr.EventData, request: gr.Request) -> str:
        visit = self.visit(request)
        visit.trials.stop(_name(data))
        return self._value(visit, request)


def _name(data: gr.EventData) -> str:
    return str(event_data.values(data).get("name") or "")


# The panel's content.


def layout() -> gr.HTML:
    """Draw it in the current Blocks; its value is `panel`."""
    return html_part("endpoints", signals=SIGNALS, elem_id="pg-endpoints")


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to the last event. `number` counts them, so that the page recognises a new one."""

    number: int
    words: str
    hint: str = ""
    good: bool = True


def panel(trials: Mapping[str, TrialThread], reply: Reply | None, refused: OwnerOnly | None) -> str:
    """The panel's value as JSON: endpoints with their tests, the reply, the refusal. Visitors get no rows."""
    trouble: list[str] | None = None
    rows: list[dict[str, Any]] = []
    try:
        endpoints = [] if refused else models_endpoints.endpoints()
        rows = [_row(endpoint, trials.get(endpoint.name)) for endpoint in endpoints]
    except CatalogError as error:
        trouble = [error.message, error.hint]
    return inert(
        {
            "rows": rows,
            "trouble": trouble,
            "refused": [refused.message, refused.hint] if refused else None,
            "said": reply and [reply.number, reply.good, reply.words, reply.hint],
        }
    )


def _row(endpoint: Endpoint, trial: TrialThread | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": endpoint.name,
        "url": endpoint.url,
        "host": endpoint.host,
        "model": endpoint.model,
        "key": endpoint.has_key,
        "caution": endpoint.caution,
    }
    if trial is None:
        return row
    state = trial.state()
    if state.trial:
        ids = [f"@{endpoint.name}/{model}" for model in state.trial.models or ()]
        if not ids and endpoint.model:
            ids = [f"@{endpoint.name}/{endpoint.model}"]
        row |= {
            "said": state.trial.models_text,
            "learned": state.trial.loaded_text,
            "models": ids[:MAX_MODELS],
            "more": len(ids[MAX_MODELS:]),
        }
    row["stage"] = [state.stage, round(state.seconds)] if state.running else None
    row["error"] = [state.error.message, state.error.hint] if state.error else None
    return row


def entered(data: Mapping[str, Any]) -> Endpoint:
    """The endpoint from the form's fields, unchecked. Raises InvalidRequest for a field that is no text or too long."""
    typed = {}
    for spec in dataclasses.fields(Endpoint):
        value = data.get(spec.name, "")
        if not isinstance(value, str) or len(value) > MAX_FIELD:
            raise InvalidRequest(f"The field {spec.name} is no text or too long.", hint="Shorten it.")
        typed[spec.name] = value.strip()
    return Endpoint(**typed)


def added(endpoint: Endpoint, replaced: bool, number: int) -> Reply:
    """The reply after an endpoint was stored, in the words of the command line."""
    state, key = "replaced" if replaced else "added", "set" if endpoint.has_key else "none"
    words = f"{endpoint.name} is {state}: {endpoint.url}, key: {key}."
    return Reply(number, words, endpoint.caution or "Test it to see what it serves.")


def failure(error: PlaygroundError, number: int) -> Reply:
    return Reply(number, error.message, error.hint, good=False)
