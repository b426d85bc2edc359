"""The platform's package `spaces`, as far as a ZeroGPU Space needs it: what a wrapped generator may do, and who asked.

As there, the generator runs in another thread, everything that goes in or out is pickled, and an exception comes back
as the name of its class. Not as there: no process is forked and there is no GPU.
"""

from __future__ import annotations

import functools
import inspect
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

visitor: ContextVar[str] = ContextVar("visitor", default="nobody")


class PlatformError(Exception):
    """As gradio's Error: a title and a message."""

    def __init__(self, message: str, title: str = "ZeroGPU worker error") -> None:
        super().__init__(message)
        self.message, self.title = message, title


@dataclass
class Lent:
    """One call. `seconds` it asked for; `closed` whether it was left before its end."""

    seconds: int
    visitor: str
    arguments: tuple[Any, ...]
    closed: bool = False
    over: threading.Event = field(default_factory=threading.Event)


class FakeSpaces(ModuleType):
    """`calls` in their order. `refusal` is raised instead of lending a GPU; `most` is how many were lent at once."""

    def __init__(self) -> None:
        super().__init__("spaces")
        self.wrapped: list[str] = []
        self.calls: list[Lent] = []
        self.refusal: Exception | None = None
        self.most = 0

    def GPU(self, task: Callable[..., Iterator[Any]], *, duration: Callable[..., int]) -> Callable[..., Iterator[Any]]:
        assert inspect.isgeneratorfunction(task), "anything else would be run to its end first"
        self.wrapped.append(task.__qualname__)

        @functools.wraps(task)
        def lent(*arguments: Any) -> Iterator[Any]:
            if self.refusal:
                raise self.refusal
            call = Lent(duration(*arguments), visitor.get(), arguments)
            self.calls.append(call)
            self.most = max(self.most, sum(not one.over.is_set() for one in self.calls))
            asked, sent = (multiprocessing.get_context("fork").SimpleQueue() for _ in range(2))
            stop = threading.Event()
            asked.put(arguments)
            server = threading.Thread(target=_serve, args=(task, asked, sent, stop), daemon=True)
            server.start()
            try:
                while (item := sent.get()) is not None:
                    if isinstance(item, PlatformError):
                        raise item
                    yield item
            except GeneratorExit:
                call.closed = True
                stop.set()
                while sent.get() is not None:
                    continue
                raise
            finally:
                server.join()
                asked.close()
                sent.close()
                call.over.set()

        return lent


def _serve(task: Callable[..., Iterator[Any]], asked: Any, sent: Any, stop: threading.Event) -> None:
    items = task(*asked.get())
    try:
        for item in items:
            if stop.is_set():
                items.close()  # type: ignore[attr-defined]
                break
            sent.put(item)
    except Exception as error:  # noqa: BLE001
        sent.put(PlatformError(type(error).__name__))
    sent.put(None)


def install(monkeypatch: pytest.MonkeyPatch) -> FakeSpaces:
    """This process is a ZeroGPU Space's from now on."""
    fake = FakeSpaces()
    monkeypatch.setitem(sys.modules, "spaces", fake)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    return fake
