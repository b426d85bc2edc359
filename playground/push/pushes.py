"""Pushes to the hub from the page, a thread each. They are no jobs, so that the token is in no row and no file.

Their state is in memory only. A restart of the app loses no data: a push is one commit.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

from playground.core import Progress
from playground.errors import Cancelled, InvalidRequest, PlaygroundError, PushError
from playground.push import Pushed, plan, push
from playground.push.plan import check_repository

log = logging.getLogger(__name__)
MAX_RUNNING = 2  # more would share the same bandwidth
CLOSE_S = 5.0


@dataclass(slots=True)
class PushState:
    """The state of one push: running, pushed or failed."""

    repository: str
    private: bool
    thread: threading.Thread | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    progress: Progress = field(default_factory=lambda: Progress("starting"))
    pushed: Pushed | None = None
    error: PlaygroundError | None = None

    @property
    def over(self) -> bool:
        return self.pushed is not None or self.error is not None

    def as_row(self) -> dict[str, Any]:
        progress, error = self.progress, self.error
        return {
            "repository": self.repository,
            "private": self.pushed.private if self.pushed else self.private,
            "over": self.over,
            "stopping": self.stop.is_set(),
            "stage": [progress.stage, progress.done, progress.total],
            "url": self.pushed.url if self.pushed else None,
            "commit": self.pushed.commit if self.pushed else None,
            "stopped": isinstance(error, Cancelled),
            "error": [error.message, error.hint] if error else None,
            "code": error.code if error else None,
        }


class Pushes:
    """The latest push of each variant. Thread-safe."""

    def __init__(self) -> None:
        self._by_variant: dict[str, PushState] = {}
        self._lock = threading.Lock()

    def begin(self, variant: str, repository: str, token: str, *, private: bool, replace: bool) -> None:
        """Start a push; later errors are kept in its state. Raises InvalidRequest."""
        check_repository(repository)
        with self._lock:
            running = [name for name, state in self._by_variant.items() if not state.over]
            if variant in running:
                raise InvalidRequest(f"{variant} is being pushed.", hint="Wait for it, or stop it.")
            if len(running) >= MAX_RUNNING:
                raise InvalidRequest(f"{MAX_RUNNING} variants are being pushed.", hint="Wait for one of them.")
            new = PushState(repository, private)
            new.thread = threading.Thread(
                target=_run, args=(new, variant, token, replace), name=f"push {variant}", daemon=True
            )
            self._by_variant[variant] = new
        new.thread.start()

    def halt(self, variant: str) -> None:
        """Stop a push that is running."""
        with self._lock:
            state = self._by_variant.get(variant)
        if state is not None and not state.over:
            state.stop.set()

    def as_rows(self) -> dict[str, dict[str, Any]]:
        """The states by variant, as JSON for the page."""
        with self._lock:
            return {name: state.as_row() for name, state in self._by_variant.items()}

    @property
    def active(self) -> bool:
        with self._lock:
            return any(not state.over for state in self._by_variant.values())

    def close(self) -> None:
        """Stop all and wait for their uploads to end, at most `CLOSE_S` each."""
        with self._lock:
            threads = [state.thread for state in self._by_variant.values() if state.thread is not None]
            for state in self._by_variant.values():
                state.stop.set()
        for thread in threads:
            thread.join(CLOSE_S)


def _run(state: PushState, variant: str, token: str, replace: bool) -> None:
    def report(progress: Progress) -> None:
        state.progress = progress

    try:
        planned = plan(variant, state.repository)
        state.pushed = push(
            planned, token, private=state.private, replace=replace, report=report, stop=state.stop.is_set
        )
    except PlaygroundError as error:
        state.error = error.with_traceback(None)  # its frames would hold the token as long as the page shows it
    except Exception as error:  # noqa: BLE001  without a traceback in the log: its frames hold the token
        log.error("A push failed: %s", type(error).__name__)
        state.error = PushError(f"The push failed ({type(error).__name__}).", hint="Push again.")
