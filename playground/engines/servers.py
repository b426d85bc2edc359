"""The server processes of an engine that runs one variant in each: started when needed, kept, stopped to make room."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from playground import machine
from playground.core import Loaded
from playground.engines.process import ServerProcess
from playground.errors import EngineUnavailable, OutOfMemory, UnknownVariant
from playground.settings import settings

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Held:
    """One variant's server. `loaded` once it has answered; `busy` counts the calls that are using it."""

    process: ServerProcess
    loaded: Loaded | None = None
    used: float = field(default_factory=time.monotonic)
    busy: int = 0


class Servers:
    """Every server of one engine, by variant. Callable from any thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._held: dict[str, Held] = {}
        self._lock = threading.RLock()
        self._starting: dict[str, threading.Lock] = {}
        self._closed = False

    def loaded(self) -> list[Loaded]:
        """What is ready, least recently used first."""
        with self._lock:
            alive = [held for held in self._held.values() if held.process.alive]
        return [held.loaded for held in sorted(alive, key=lambda held: held.used) if held.loaded]

    def held(self, variant: str) -> Loaded | None:
        """What is said of `variant` when its server is ready, which counts as a use; waits for no start."""
        with self._lock:
            held = self._held.get(variant)
            if held is None or held.loaded is None or not held.process.alive:
                return None
            held.used = time.monotonic()
            return held.loaded

    @contextlib.contextmanager
    def starting(self, variant: str) -> Iterator[Loaded | None]:
        """Hold the right to start the server of `variant`: what it already holds, or None when it must be started."""
        with self._lock:
            turn = self._starting.setdefault(variant, threading.Lock())
        with turn:
            if self._closed:
                raise EngineUnavailable(f"The {self._name} engine is shut down.")
            with self._lock:
                held = self._held.get(variant)
                if held and not held.process.alive:
                    held.process.stop()
                    del self._held[variant]
                    held = None
                if held:
                    held.used = time.monotonic()
            yield held.loaded if held else None

    def started(self, variant: str, process: ServerProcess) -> None:
        """Take over a process that was just started, ready or not: from now on `close` and `unload` end it."""
        with self._lock:
            if not self._closed:
                self._held[variant] = Held(process)
                return
        process.stop()
        raise EngineUnavailable(f"The {self._name} engine is shut down.")

    def ready(self, variant: str, loaded: Loaded) -> None:
        with self._lock:
            if variant in self._held:
                self._held[variant].loaded = loaded

    @contextlib.contextmanager
    def using(self, variant: str) -> Iterator[ServerProcess]:
        """The ready server of `variant`, which is not stopped to make room meanwhile. Raises UnknownVariant.

        One that died is removed and told with its last words, so that the next load starts it anew.
        """
        with self._lock:
            held = self._held.get(variant)
            if held is None or held.loaded is None:
                raise UnknownVariant(f"{variant} is not loaded in {self._name}.", hint="Run it again.")
            if not held.process.alive:
                del self._held[variant]
                obituary = held.process.obituary()
                held.process.stop()  # its workers may have outlived it
                raise obituary
            held.busy += 1
            held.used = time.monotonic()
        try:
            yield held.process
        finally:
            with self._lock:
                held.busy -= 1
                held.used = time.monotonic()

    def make_room(self, variant: str, needed: int, keep: Sequence[str], free: Callable[[], int] | None = None) -> None:
        """Stop idle servers, least recently used first, until `needed` bytes are free and one more may run.

        Raises OutOfMemory with both numbers and what could be unloaded.
        """
        available = free or (lambda: machine.memory().available)
        while self._too_many() or available() < needed:
            victim = self._idle(keep)
            if victim is None:
                if available() >= needed:
                    return  # more servers than wanted, all of them in use
                raise OutOfMemory(
                    f"{variant} needs about {needed / 1e9:.2f} GB in {self._name}; {available() / 1e9:.2f} are free.",
                    hint=self._what_to_unload(keep),
                )
            log.info("%s: %s is stopped to make room for %s", self._name, victim, variant)
            self.stop(victim)

    def _too_many(self) -> bool:
        with self._lock:
            return len(self._held) >= settings().servers

    def _idle(self, keep: Sequence[str]) -> str | None:
        with self._lock:
            idle = [(held.used, name) for name, held in self._held.items() if not held.busy and name not in keep]
        return min(idle)[1] if idle else None

    def _what_to_unload(self, keep: Sequence[str]) -> str:
        with self._lock:
            others = [name for name in self._held if name in keep]
        named = f" It runs beside {', '.join(others)}." if others else ""
        return f"Close other programs, or compare fewer variants at once.{named}"

    def stop(self, variant: str) -> bool:
        """End one server; False when there is none."""
        with self._lock:
            held = self._held.pop(variant, None)
        if held is None:
            return False
        held.process.stop()
        return True

    def stop_idle(self) -> str | None:
        """End the least recently used server that nobody uses; its variant, None when there is none."""
        victim = self._idle(())
        if victim is not None:
            self.stop(victim)
        return victim

    def close(self) -> None:
        """End all of them, also those that are still starting."""
        with self._lock:
            self._closed = True
            names = list(self._held)
        for name in names:
            self.stop(name)
