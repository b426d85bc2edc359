"""Route requests to engines by address, and take turns on the device.

Times are only valid while nothing else computes, so generations take turns on the device. Those of the stepped host
share it: one thread steps them, and each has its own clock. A generation of any other engine has the device alone.
Turns are first come, first served, so that no request starves. "All at once" is a group whose members may overlap each
other but nothing else; those that did overlap are marked as contended.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from playground import models, process
from playground.core import Finish, ForcedTokens, Forcing, Generation, Loaded, Message, Progress, Prompt, Token
from playground.engines import base
from playground.engines.base import NO_SECOND_PROCESS, Engine, IsCancelled, OnProgress, zero_gpu
from playground.engines.transformers import TransformersEngine
from playground.engines.zerogpu.engine import ZeroGpuEngine
from playground.errors import Cancelled, EngineUnavailable
from playground.models.address import Address

POLL_S = 0.25
WAITING = "Waiting for the device"
Host = TransformersEngine | ZeroGpuEngine
Maker = Callable[[Host], Engine]


def _llamacpp(transformers: Host) -> Engine:
    from playground.engines.llamacpp.engine import LlamaCppEngine

    return LlamaCppEngine(transformers.tokenize)


def _vllm(transformers: Host) -> Engine:
    from playground.engines.vllm.engine import VllmEngine

    return VllmEngine(transformers.tokenize)


def _remote(_: Host) -> Engine:
    from playground.engines.remote.engine import RemoteEngine

    return RemoteEngine()


MAKERS: Mapping[str, Maker] = {"llamacpp": _llamacpp, "vllm": _vllm, "remote": _remote}


class Engines:
    """Implements `base.Engine` for addresses (`smollm2:nf4`, `smollm2@vllm`); engines are created on first use.

    transformers  the stepped host, whose tokenizer the others use; None creates the one for this machine
    makers        functions that create the other engines, by name
    """

    name = "engines"

    def __init__(self, transformers: Host | None = None, makers: Mapping[str, Maker] = MAKERS) -> None:
        process.sweep_orphans()
        self.transformers = transformers or (ZeroGpuEngine() if zero_gpu() else TransformersEngine())
        self._makers = makers
        self._made: dict[str, Engine] = {"transformers": self.transformers}
        self._lock = threading.Lock()
        self._turns = DeviceTurns()
        self._running: dict[str, tuple[Engine, threading.Event]] = {}
        self._closed = False

    def start(self) -> None:
        """Start the host now instead of at the first load."""
        self.transformers.start()

    def close(self) -> None:
        """Close every engine."""
        with self._lock:
            self._closed = True
            made = list(self._made.values())
        for engine in made:
            engine.close()

    def health(self) -> Mapping[str, Any] | None:
        """Return the state of the stepped host only."""
        return self.transformers.health()

    def unload_idle(self) -> str | None:
        """Unload one idle variant of any engine and return its name; None if there is none."""
        with self._lock:
            made = [engine for name, engine in self._made.items() if base.row(name).on_device]
        return next((name for engine in made if (name := engine.unload_idle())), None)

    def engine(self, name: str) -> Engine:
        """Return the engine called `name`, created on first use. Raises EngineUnavailable."""
        with self._lock:
            if self._closed:
                raise EngineUnavailable("The engines are shut down.")
            if zero_gpu() and base.row(name).on_device and name != self.transformers.name:
                raise EngineUnavailable(f"{base.title(name)} cannot run here: {NO_SECOND_PROCESS}.")
            if name not in self._made:
                self._made[name] = self._makers[name](self.transformers)
            return self._made[name]

    def _of(self, text: str) -> tuple[Engine, base.EngineRow, str]:
        address = Address.parse(text)
        name = address.engine or base.default(models.variant(address.variant))
        return self.engine(name), base.row(name), address.variant

    def load(
        self, variant: str, on_progress: OnProgress, is_cancelled: IsCancelled, keep: Sequence[str] = ()
    ) -> Loaded:
        engine, row, name = self._of(variant)
        together = [Address.parse(other) for other in keep]
        wanted = [other.variant for other in together if (other.engine or row.name) == row.name]
        if not row.on_device:  # a remote engine loads nothing here
            return engine.load(name, on_progress, is_cancelled, wanted)
        if held := engine.held(name):
            # The host still gets the request, to record the use and what to keep.
            return engine.load(name, on_progress, is_cancelled, wanted) if row.stepped else held
        # A load computes. The host's own loads do not disturb stepped work: they run between two steps of its thread.
        ticket = self._turns.ticket(shared=row.stepped)
        try:
            for progress in ticket.waiting(is_cancelled):
                on_progress(progress)
            return engine.load(name, on_progress, is_cancelled, wanted)
        finally:
            ticket.leave()

    def held(self, variant: str) -> Loaded | None:
        engine, _, name = self._of(variant)
        return engine.held(name)

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        engine, _, name = self._of(variant)
        return engine.prompt(name, messages)

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        engine, row, name = self._of(generation.variant)
        request = replace(generation, variant=name)
        if not row.on_device:
            self._running[generation.request_id] = engine, threading.Event()
            try:
                yield from engine.generate(request)
            finally:
                self._running.pop(generation.request_id, None)
            return
        aborted = threading.Event()
        self._running[generation.request_id] = engine, aborted
        group = f"at once {generation.group}" if generation.at_once else ""
        ticket = self._turns.ticket(row.stepped, group)
        try:
            yield from ticket.waiting(aborted.is_set)
            with contextlib.closing(engine.generate(request)) as items:  # type: ignore[type-var]
                for item in items:
                    if isinstance(item, Finish):
                        ticket.leave()  # the next may compute; `contended` is final
                        yield replace(item, contended=ticket.contended)
                        continue
                    if aborted.is_set():
                        engine.abort(generation.request_id)  # once more: the first may have come before the request
                    yield item
        finally:
            ticket.leave()
            self._running.pop(generation.request_id, None)

    def force(self, forcing: Forcing) -> Iterator[Progress | ForcedTokens | Finish]:
        sides = [self._of(text) for text in (forcing.reference, *forcing.others)]
        for _, row, _ in sides:
            if row.no_distribution:
                raise EngineUnavailable(row.no_distribution)
        engine = sides[0][0]
        reference, *others = [name for _, _, name in sides]
        request = replace(forcing, reference=reference, others=tuple(others))
        aborted = threading.Event()
        self._running[forcing.request_id] = engine, aborted
        ticket = self._turns.ticket(shared=True)
        try:
            yield from ticket.waiting(aborted.is_set)
            with contextlib.closing(engine.force(request)) as items:  # type: ignore[type-var]
                for item in items:
                    if aborted.is_set():
                        engine.abort(forcing.request_id)  # once more: the first may have come before the request
                    yield item
        finally:
            ticket.leave()
            self._running.pop(forcing.request_id, None)

    def abort(self, request_id: str) -> None:
        running = self._running.get(request_id)
        if running is None:
            return
        engine, aborted = running
        aborted.set()
        engine.abort(request_id)


# Turns on the device.


@dataclass(eq=False, slots=True)
class Ticket:
    """A place in the queue. Call `leave` in any case, also without having entered.

    contended  another ticket computed at the same time and disturbed this one's clock; final after `leave`
    """

    turns: DeviceTurns
    shared: bool
    group: str = ""
    entered: bool = field(default=False)
    entered_s: float = field(default=0.0)
    contended: bool = field(default=False)

    def enter(self, timeout_s: float) -> bool:
        """Wait for the turn, at most `timeout_s`. Return whether it has come; True on every later call."""
        return self.turns._enter(self, timeout_s)

    def leave(self) -> None:
        self.turns._leave(self)

    def waiting(self, is_cancelled: IsCancelled) -> Iterator[Progress]:
        """Wait for the turn; yield the place in the queue when it changes. Raises Cancelled."""
        said, timeout_s = "", 0.0
        while not self.enter(timeout_s):
            _check(is_cancelled)
            if (words := self.turns.place(self)) != said:
                said = words
                yield Progress(words)
            timeout_s = POLL_S
        _check(is_cancelled)

    def beside(self, other: Ticket) -> bool:
        """Return whether both may compute at the same time."""
        if self.group or other.group:
            return self.group == other.group
        return self.shared and other.shared

    def disturbs(self, other: Ticket) -> bool:
        """Return whether they disturb each other's clocks at the same time: two of the stepped host do not."""
        return not (self.shared and other.shared)


def _check(is_cancelled: IsCancelled) -> None:
    if is_cancelled():
        raise Cancelled("Stopped while it waited for the device.")


class DeviceTurns:
    """The queue of one device. Callable from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lasted_s: deque[float] = deque(maxlen=8)  # the last turns
        self._queue: list[Ticket] = []  # in order of arrival; those that entered stay until they leave

    def ticket(self, shared: bool, group: str = "") -> Ticket:
        """Join the queue. `shared`: a stepped generation; `group`: runs together with the others of that name."""
        ticket = Ticket(self, shared, group)
        with self._changed:
            self._queue.append(ticket)
        return ticket

    def place(self, ticket: Ticket) -> str:
        """Say how many must finish before this one, and about how long that takes where some have finished before."""
        with self._changed:
            before = sum(not ticket.beside(other) for other in self._queue[: self._queue.index(ticket)])
            if not before:
                return WAITING
            words = f"{WAITING}: {before} answer{'' if before == 1 else 's'} before this one"
            if not self._lasted_s:
                return words
            return f"{words}, about {max(1, round(before * sum(self._lasted_s) / len(self._lasted_s)))} s"

    def _may_enter(self, ticket: Ticket) -> bool:
        ahead = self._queue[: self._queue.index(ticket)]
        inside = [other for other in self._queue if other.entered]
        return all(ticket.beside(other) for other in {*ahead, *inside})

    def _enter(self, ticket: Ticket, timeout_s: float) -> bool:
        with self._changed:
            if not ticket.entered:
                ticket.entered = self._changed.wait_for(lambda: self._may_enter(ticket), timeout_s)
                if ticket.entered:
                    ticket.entered_s = time.monotonic()
                    self._mark(ticket)
            return ticket.entered

    def _mark(self, ticket: Ticket) -> None:
        """Mark `ticket`, which has just entered, and the tickets inside that it disturbs as contended."""
        for other in self._queue:
            if other.entered and other is not ticket and ticket.disturbs(other):
                ticket.contended = other.contended = True

    def _leave(self, ticket: Ticket) -> None:
        with self._changed:
            if ticket in self._queue:
                self._queue.remove(ticket)
                if ticket.entered:
                    self._lasted_s.append(time.monotonic() - ticket.entered_s)
                self._changed.notify_all()
