"""The endpoints panel: a button beside the model picker, what it opens, and what happens in it.

Whatever changes or contacts an endpoint asks first whether it may. Each test of an endpoint is a thread of its own,
with a limit.

A key comes in with `enter` alone. That event does not go through the queue, nothing of it is kept here, and no answer
holds more of it than that there is one.
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
from playground.web import gradio as gr
from playground.web.owner import Owner
from playground.web.theme import drawn
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
SHOWN = 20  # models of one endpoint
MAX_FIELD = 8192  # characters; the limits of `models.endpoints` are below it


@dataclass(frozen=True, slots=True)
class Now:
    """How far a test is. `stage` and `seconds` while it runs; `error` when it failed; `trial` what came until then."""

    running: bool
    stage: str
    seconds: float
    trial: Trial | None
    error: PlaygroundError | None


class Asked:
    """One test of one endpoint. It is over at its limit, whatever its connection still waits for."""

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
        """Return when it is over, or after `seconds`; at its limit it is over."""
        self._over.wait(seconds)
        if self.running and time.monotonic() - self._began > LIMIT_S:
            self._stopped.set()
            self._end(
                EngineUnavailable(
                    f"Endpoint {self.name} has not answered within {LIMIT_S:g} s.",
                    hint="It may be overloaded or stuck.",
                )
            )

    def now(self) -> Now:
        with self._lock:
            seconds = time.monotonic() - self._began
            return Now(self.running, self._stage, seconds, self._trial, self._error)

    def _end(self, error: PlaygroundError | None = None) -> None:
        """The first end counts."""
        with self._lock:
            if self.running:
                self._error = error
                self._over.set()

    def _run(self) -> None:
        engine = RemoteEngine()
        try:
            for found in try_out(engine, self.name, self._stopped.is_set):
                with self._lock:
                    if isinstance(found, Progress):
                        self._stage = found.stage
                    else:
                        self._trial = found
            self._end()
        except PlaygroundError as error:
            self._end(error)
        except Exception:
            log.exception("the test of endpoint %s failed", self.name)
            self._end(EngineError("The test ended unexpectedly.", hint="Details are in the log."))
        finally:
            engine.close()


class Trials:
    """The tests of one browser tab by endpoint, the last of each. Callable from any thread."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}
        self._lock = threading.Lock()
        self._watched = False

    def begin(self, name: str) -> None:
        """Start a test; one that is running goes on."""
        with self._lock:
            if name not in self._asked or not self._asked[name].running:
                self._asked[name] = Asked(name)

    def asked(self) -> dict[str, Asked]:
        with self._lock:
            return dict(self._asked)

    def stop(self, name: str) -> None:
        if one := self.asked().get(name):
            one.stop()

    def drop(self, name: str) -> None:
        """Forget what is known of an endpoint: it is another one now, or none."""
        with self._lock:
            one = self._asked.pop(name, None)
        if one:
            one.stop()

    def close(self) -> None:
        for one in self.asked().values():
            one.stop()

    def changes(self) -> Iterator[None]:
        """Twice a second and at every end, until no test runs any more. One caller at a time; others end at once."""
        with self._lock:
            if self._watched:
                return
            self._watched = True
        try:
            while running := self._running():
                yield
                running[0].wait(TICK_S)
                for other in running[1:]:
                    other.wait(0)
        except GeneratorExit:
            with self._lock:
                self._watched = False
            raise
        yield

    def _running(self) -> list[Asked]:
        """The tests that run; with none, who watches is free again in the same moment, so that no test is unwatched."""
        with self._lock:
            running = [one for one in self._asked.values() if one.running]
            self._watched = bool(running)
            return running


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
        return panel(visit.trials.asked(), visit.said, self.owner.refusal(request))

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
            visit.say(lambda number: failure(said, number))
            if isinstance(error, OwnerOnly):
                log.warning("Refused to change the endpoints: %s", error)
        except OSError as error:
            failed = EngineError(
                f"The endpoints cannot be written: {error.strerror or type(error).__name__}.",
                hint="Is the disk full, or the data folder not yours?",
            )
            visit.say(lambda number: failure(failed, number))
        return self._value(visit, request)

    def enter(self, data: gr.EventData, request: gr.Request) -> str:
        """Add an endpoint, checked as on the command line; one of the same name is replaced."""

        def act(visit: Visit) -> None:
            wanted = entered(_fields(data))
            replaced = any(known.name == wanted.name for known in models_endpoints.endpoints())
            made = models_endpoints.add(wanted)
            visit.trials.drop(made.name)
            visit.say(lambda number: added(made, replaced, number))

        return self._try(request, act)

    def forget(self, data: gr.EventData, request: gr.Request) -> str:
        """Remove an endpoint with its key."""

        def act(visit: Visit) -> None:
            name = _name(data)
            models_endpoints.remove(name)
            visit.trials.drop(name)
            visit.say(lambda number: Said(number, f"{name} is removed."))

        return self._try(request, act)

    def ask(self, data: gr.EventData, request: gr.Request) -> str:
        """Begin to test an endpoint."""

        def act(visit: Visit) -> None:
            visit.trials.begin(models_endpoints.find(_name(data)).name)

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


# What is in the panel.


def layout() -> gr.HTML:
    """Draw it in the current Blocks; its value is `panel`."""
    return drawn("endpoints", signals=SIGNALS, elem_id="pg-endpoints")


@dataclass(frozen=True, slots=True)
class Said:
    """The answer to what was last entered. `number` counts the answers, so that the page knows a new one."""

    number: int
    words: str
    hint: str = ""
    good: bool = True


def panel(asked: Mapping[str, Asked], said: Said | None, refused: OwnerOnly | None) -> str:
    """The value: the list, what was tried, and whether the one who looks may change it. Visitors learn no address."""
    trouble: list[str] | None = None
    rows: list[dict[str, Any]] = []
    try:
        known = [] if refused else models_endpoints.endpoints()
        rows = [_row(endpoint, asked.get(endpoint.name)) for endpoint in known]
    except CatalogError as error:
        trouble = [error.message, error.hint]
    return inert(
        {
            "rows": rows,
            "trouble": trouble,
            "refused": [refused.message, refused.hint] if refused else None,
            "said": said and [said.number, said.good, said.words, said.hint],
        }
    )


def _row(endpoint: Endpoint, asked: Asked | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": endpoint.name,
        "url": endpoint.url,
        "host": endpoint.host,
        "model": endpoint.model,
        "key": endpoint.has_key,
        "caution": endpoint.caution,
    }
    if asked is None:
        return row
    now = asked.now()
    if now.trial:
        ids = [f"@{endpoint.name}/{model}" for model in now.trial.models or ()]
        if not ids and endpoint.model:
            ids = [f"@{endpoint.name}/{endpoint.model}"]
        row |= {"said": now.trial.said, "learned": now.trial.learned, "models": ids[:SHOWN], "more": len(ids[SHOWN:])}
    row["stage"] = [now.stage, round(now.seconds)] if now.running else None
    row["error"] = [now.error.message, now.error.hint] if now.error else None
    return row


def entered(data: Mapping[str, Any]) -> Endpoint:
    """The endpoint of the form, not checked yet. Raises InvalidRequest for what no form sends."""
    typed = {}
    for one in dataclasses.fields(Endpoint):
        value = data.get(one.name, "")
        if not isinstance(value, str) or len(value) > MAX_FIELD:
            raise InvalidRequest(f"The field {one.name} is no text or too long.", hint="Shorten it.")
        typed[one.name] = value.strip()
    return Endpoint(**typed)


def added(made: Endpoint, replaced: bool, number: int) -> Said:
    """What was stored, as the command line says it."""
    words = (
        f"{made.name} is {'replaced' if replaced else 'added'}: {made.url}, key: {'set' if made.has_key else 'none'}."
    )
    return Said(number, words, made.caution or "Test it to see what it serves.")


def failure(error: PlaygroundError, number: int) -> Said:
    return Said(number, error.message, error.hint, good=False)
