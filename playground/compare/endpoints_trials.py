"""The tests of endpoints that one browser tab has asked for: each in a thread of its own, with a limit."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from playground.core import Progress
from playground.engines.remote import RemoteEngine
from playground.engines.remote.probe import Trial, try_out
from playground.errors import Cancelled, EngineError, EngineUnavailable, PlaygroundError

log = logging.getLogger(__name__)
LIMIT_S = 45.0  # a list of models and two tokens, also where the model must first be woken
TICK_S = 0.5


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
