"""The panel of remote endpoints: a list, a test of each, and who may change it.

Every request that changes or contacts an endpoint checks first that it is the owner's. Each test of an endpoint runs in
its own thread with a timeout; the page asks for its state.

A key is received by `add` alone. It is not kept here, and a response only says whether there is one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.requests import Request

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
from playground.spec import Spec
from playground.web.owner import Owner

LIMIT_S = 45.0  # a list of models and two tokens, also where the model must first be woken
log = logging.getLogger(__name__)
MAX_MODELS = 20  # models of one endpoint
MAX_FIELD = 8192  # characters; the limits of `models.endpoints` are below it


class NameSpec(Spec):
    name: str

    @model_validator(mode="before")
    @classmethod
    def _texts(cls, raw: Any) -> Any:
        """Check the fields without repeating a value in a message: one of them may be a key."""
        for name, value in raw.items() if isinstance(raw, Mapping) else ():
            if name in cls.model_fields and (not isinstance(value, str) or len(value) > MAX_FIELD):
                raise InvalidRequest(f"The field {name} is no text or too long.", hint="Shorten it.")
        return raw


class AddSpec(NameSpec):
    """An endpoint as typed; `models.endpoints` checks the values."""

    url: str
    model: str = ""
    key: str = Field("", repr=False)
    key_env: str = ""

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(**{name: value.strip() for name, value in self.model_dump().items()})


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

    def state(self) -> TrialState:
        """Return the state. Ends a test that is past `LIMIT_S`."""
        if self.running and time.monotonic() - self._began > LIMIT_S:
            self._stopped.set()
            self._end(
                EngineUnavailable(
                    f"Endpoint {self.name} has not answered within {LIMIT_S:g} s.",
                    hint="It may be overloaded or stuck.",
                )
            )
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
    """The latest test of each endpoint. Thread-safe."""

    def __init__(self) -> None:
        self._by_name: dict[str, TrialThread] = {}
        self._lock = threading.Lock()

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


class Endpoints:
    """The panel of one served page, for its owner."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.trials = Trials()

    def close_all(self) -> None:
        """End every test."""
        self.trials.close()

    def value(self, request: Request, said: tuple[str, str] | None = None) -> dict[str, Any]:
        return panel(self.trials.by_name(), said, self.owner.refusal(request))

    def add(self, spec: AddSpec) -> tuple[str, str]:
        """Add an endpoint, checked as on the command line; one of the same name is replaced."""
        requested = spec.endpoint
        replaced = any(endpoint.name == requested.name for endpoint in models_endpoints.endpoints())
        stored = models_endpoints.add(requested)
        self.trials.drop(stored.name)
        return added(stored, replaced)

    def remove(self, spec: NameSpec) -> tuple[str, str]:
        """Remove an endpoint with its key."""
        models_endpoints.remove(spec.name)
        self.trials.drop(spec.name)
        return f"{spec.name} is removed.", ""

    def test(self, spec: NameSpec) -> None:
        """Begin to test an endpoint."""
        self.trials.begin(models_endpoints.find(spec.name).name)

    def halt(self, spec: NameSpec) -> None:
        self.trials.stop(spec.name)

    def router(self) -> APIRouter:
        """The routes of the panel (docs/api.md)."""
        routes = APIRouter(prefix="/api/compare/endpoints")

        def changed(act: Callable[[], tuple[str, str] | None], request: Request) -> dict[str, Any]:
            """Call `act` if the request is the owner's, and return the panel with what was done."""
            self.owner.check(request)
            try:
                said = act()
            except OSError as error:
                raise EngineError(
                    f"The endpoints cannot be written: {error.strerror or type(error).__name__}.",
                    hint="Is the disk full, or the data folder not yours?",
                ) from error
            return self.value(request, said)

        @routes.get("")
        def look(request: Request) -> dict[str, Any]:
            """The endpoints with their tests; a visitor gets none."""
            return self.value(request)

        @routes.post("/add")
        def add(spec: AddSpec, request: Request) -> dict[str, Any]:
            """Add an endpoint, or replace that of the same name."""
            return changed(lambda: self.add(spec), request)

        @routes.post("/test")
        def test(spec: NameSpec, request: Request) -> dict[str, Any]:
            """Begin to test an endpoint; ask for its state until `stage` is null."""
            return changed(lambda: self.test(spec), request)

        @routes.post("/halt")
        def halt(spec: NameSpec, request: Request) -> dict[str, Any]:
            """Stop a test."""
            return changed(lambda: self.halt(spec), request)

        @routes.post("/remove")
        def remove(spec: NameSpec, request: Request) -> dict[str, Any]:
            """Remove an endpoint with its key."""
            return changed(lambda: self.remove(spec), request)

        return routes


def panel(trials: Mapping[str, TrialThread], said: tuple[str, str] | None, refused: OwnerOnly | None) -> dict[str, Any]:
    """The panel: endpoints with their tests, what was done, the refusal. Visitors get no rows."""
    trouble: list[str] | None = None
    rows: list[dict[str, Any]] = []
    try:
        endpoints = [] if refused else models_endpoints.endpoints()
        rows = [_row(endpoint, trials.get(endpoint.name)) for endpoint in endpoints]
    except CatalogError as error:
        trouble = [error.message, error.hint]
    return {
        "rows": rows,
        "trouble": trouble,
        "refused": [refused.message, refused.hint] if refused else None,
        "said": said and list(said),
    }


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


def added(endpoint: Endpoint, replaced: bool) -> tuple[str, str]:
    """What is said after an endpoint was stored, in the words of the command line."""
    state, key = "replaced" if replaced else "added", "set" if endpoint.has_key else "none"
    words = f"{endpoint.name} is {state}: {endpoint.url}, key: {key}."
    return words, endpoint.caution or "Test it to see what it serves."
