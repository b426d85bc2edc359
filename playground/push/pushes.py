"""Pushes to the hub from the page: a thread each, no job, so that a token is in no row and no file.

How far they are is kept in memory only. A restart of the app forgets it and loses nothing: a push is one commit.
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
MAX_RUNNING = 2  # at once: more only share the same line
CLOSE_S = 5.0


@dataclass(slots=True)
class PushState:
    """One push, or what became of it."""

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
        now, error = self.progress, self.error
        return {
            "repository": self.repository,
            "private": self.pushed.private if self.pushed else self.private,
            "over": self.over,
            "stopping": self.stop.is_set(),
            "stage": [now.stage, now.done, now.total],
            "url": self.pushed.url if self.pushed else None,
            "commit": self.pushed.commit if self.pushed else None,
            "stopped": isinstance(error, Cancelled),
            "error": [error.message, error.hint] if error else None,
            "code": error.code if error else None,
        }


class Pushes:
    """The newest push of each variant. Callable from any thread."""

    def __init__(self) -> None:
        self._by_variant: dict[str, PushState] = {}
        self._lock = threading.Lock()

    def begin(self, variant: str, repository: str, token: str, *, private: bool, replace: bool) -> None:
        """Start one; what goes wrong later is shown. Raises InvalidRequest."""
        check_repository(repository)
        with self._lock:
            going = [name for name, one in self._by_variant.items() if not one.over]
            if variant in going:
                raise InvalidRequest(f"{variant} is being pushed.", hint="Wait for it, or stop it.")
            if len(going) >= MAX_RUNNING:
                raise InvalidRequest(f"{MAX_RUNNING} variants are being pushed.", hint="Wait for one of them.")
            new = PushState(repository, private)
            new.thread = threading.Thread(
                target=_run, args=(new, variant, token, replace), name=f"push {variant}", daemon=True
            )
            self._by_variant[variant] = new
        new.thread.start()

    def halt(self, variant: str) -> None:
        """Stop it; one that is over stays as it is."""
        with self._lock:
            going = self._by_variant.get(variant)
        if going is not None and not going.over:
            going.stop.set()

    def as_rows(self) -> dict[str, dict[str, Any]]:
        """By variant, for the page."""
        with self._lock:
            return {name: going.as_row() for name, going in self._by_variant.items()}

    @property
    def active(self) -> bool:
        with self._lock:
            return any(not going.over for going in self._by_variant.values())

    def close(self) -> None:
        """Stop all and wait until their uploads have ended."""
        with self._lock:
            threads = [going.thread for going in self._by_variant.values() if going.thread is not None]
            for going in self._by_variant.values():
                going.stop.set()
        for thread in threads:
            thread.join(CLOSE_S)


def _run(going: PushState, variant: str, token: str, replace: bool) -> None:
    def report(progress: Progress) -> None:
        going.progress = progress

    try:
        planned = plan(variant, going.repository)
        going.pushed = push(
            planned, token, private=going.private, replace=replace, report=report, stop=going.stop.is_set
        )
    except PlaygroundError as error:
        going.error = error.with_traceback(None)  # its frames would hold the token as long as the page shows it
    except Exception as error:  # noqa: BLE001  without a traceback in the log: its frames hold the token
        log.error("A push failed: %s", type(error).__name__)
        going.error = PushError(f"The push failed ({type(error).__name__}).", hint="Push again.")
