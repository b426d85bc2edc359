"""The decode thread: the only thread that uses torch.

It steps its active generations in turn and times each step. Every generation has its own clock, which is paused while
another one uses the device, so that two variants stream side by side and each measures its own speed. Loads and unloads
run in the same thread while nothing decodes, so that no clock includes them; a queued load waits for the running
generations, and later generations wait for it. Forced texts run in this thread too, one forward pass at a time and only
while nothing decodes: they have the lowest priority.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from playground.core import Forcing, Generation, Loaded, LoadSpec, Progress
from playground.engines.host import forced, loading
from playground.engines.host.active import Active, Emit, validate
from playground.engines.host.forced import Forced
from playground.engines.host.loading import DeviceMemory, Resident
from playground.errors import EngineError, OutOfMemory, PlaygroundError, UnknownVariant
from playground.settings import settings

log = logging.getLogger(__name__)
HEADROOM = 192 * 2**20  # bytes reserved for activations and the key/value cache of a loaded variant


@dataclass(slots=True)
class _LoadJob:
    spec: LoadSpec
    keep: frozenset[str]
    on_progress: Callable[[Progress], None]
    future: Future[Loaded]


@dataclass(slots=True)
class _UnloadJob:
    id: str
    future: Future[bool]


class DecodeThread(threading.Thread):
    """Owns every loaded variant. All public methods may be called from any thread.

    on_death  called in this thread if it fails, because pending requests would then never end
    """

    def __init__(self, memory: DeviceMemory, on_death: Callable[[], None] = lambda: None) -> None:
        super().__init__(name="decode", daemon=True)
        self._on_death = on_death
        self._memory = memory
        self._condition = threading.Condition()
        self._inbox: deque[Active | _LoadJob | _UnloadJob] = deque()  # in order of arrival
        self._active: list[Active] = []
        self._forced: list[Forced] = []  # in order of arrival; only the first has turns
        self._residents: dict[str, Resident] = {}
        self._busy = 0.0
        self._turn_began: float | None = None
        self._stopping = False

    # Called from other threads

    def load(self, spec: LoadSpec, keep: Sequence[str], on_progress: Callable[[Progress], None]) -> Future[Loaded]:
        """Queue a load; the future resolves to the variant's facts or a typed error, at once if loaded."""
        future: Future[Loaded] = Future()
        with self._condition:
            resident = self._residents.get(spec.id)
            if resident is not None and resident.spec == spec:
                resident.last_used = time.monotonic()
                future.set_result(resident.facts)
                return future
            if self._active or self._inbox:
                on_progress(Progress("Waiting for running generations"))
            self._inbox.append(_LoadJob(spec, frozenset(keep), on_progress, future))
            self._condition.notify()
        return future

    def unload(self, variant: str) -> Future[bool]:
        """Queue an unload; the future resolves to whether the variant was loaded."""
        job = _UnloadJob(variant, Future())
        with self._condition:
            self._inbox.append(job)
            self._condition.notify()
        return job.future

    def submit(self, request: Generation, emit: Emit) -> Active:
        """Queue a generation. Raises UnknownVariant, InvalidRequest, ContextOverflow, EngineError (queue full)."""
        accepted = time.perf_counter()
        resident = self.resident(request.variant)
        validate(request, resident)
        with self._condition:
            if len(self._active) + len(self._waiting()) >= settings().max_generations:
                raise EngineError("The engine's queue is full.", hint="Try again in a moment.")
            running = 0.0 if self._turn_began is None else accepted - self._turn_began
            active = Active(request, resident, emit, accepted, self._busy + running)
            self._inbox.append(active)
            self._condition.notify()
        return active

    def force(self, request: Forcing, emit: forced.Emit) -> Forced:
        """Queue a forced text. Raises UnknownVariant, EngineError if the queue is full, and as `forced.validate`."""
        residents = [self.resident(name) for name in (request.reference, *request.others)]
        forced.validate(request, residents)
        with self._condition:
            if len(self._forced) >= settings().max_generations:
                raise EngineError("The engine's queue is full.", hint="Try again in a moment.")
            if self._active or self._inbox or self._forced:
                emit(Progress("Waiting for running generations"))
            text = Forced(request, residents, emit)
            self._forced.append(text)
            self._condition.notify()
        return text

    def abort(self, request_id: str) -> bool:
        """End a generation or a forced text within one step. Return False if there is none with this id."""
        with self._condition:
            everyone: list[Active | Forced] = [*self._active, *self._waiting(), *self._forced]
            matches = [entry for entry in everyone if entry.request.request_id == request_id]
            for entry in matches:
                entry.aborted.set()
            self._condition.notify()
        return bool(matches)

    def resident(self, variant: str) -> Resident:
        with self._condition:
            if variant not in self._residents:
                raise UnknownVariant(f"{variant} is not loaded.", hint="Load it first.")
            return self._residents[variant]

    def loaded(self) -> list[Loaded]:
        with self._condition:
            return [resident.facts for resident in self._residents.values()]

    def counts(self) -> tuple[int, int]:
        """Return the number of running generations, and of queued generations and loads."""
        with self._condition:
            return len(self._active), len(self._inbox)

    def close(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify()

    # The thread itself

    def run(self) -> None:
        try:
            self._serve()
        except Exception:
            log.exception("the decode thread failed")
            self._on_death()

    def _serve(self) -> None:
        self._memory.settle()
        while True:
            with self._condition:
                while not (self._active or self._inbox or self._forced or self._stopping):
                    self._condition.wait()
                if self._stopping:
                    return
                job = self._next_job()
                turns: list[Active | Forced] = [*self._active]
                turns += [entry for entry in self._forced if entry.aborted.is_set()] if turns else self._forced[:1]
            if job is not None:
                self._do(job)
            for entry in turns:
                self._turn(entry)

    def _next_job(self) -> _LoadJob | _UnloadJob | None:
        """Start queued generations up to the first load or unload; return that once nothing decodes."""
        while self._inbox:
            head = self._inbox[0]
            if isinstance(head, Active):
                self._active.append(head)
            elif self._active:
                break
            else:
                self._inbox.popleft()
                return head
            self._inbox.popleft()
        for active in [a for a in self._waiting() if a.aborted.is_set()]:
            self._inbox.remove(active)
            active.finish("abort")
        return None

    def _waiting(self) -> list[Active]:
        return [entry for entry in self._inbox if isinstance(entry, Active)]

    def _turn(self, active: Active | Forced) -> None:
        began = time.perf_counter()
        with self._condition:
            self._turn_began = began
        try:
            if active.aborted.is_set():
                active.finish("abort")
                more = False
            else:
                more = active.turn(self._memory, self._busy)
        except Exception as error:  # noqa: BLE001 - an error must not end other requests
            active.fail(error)
            more = False
        with self._condition:
            # The same value for both sums, so that their difference is exactly the time of other turns.
            spent = time.perf_counter() - began
            self._busy += spent
            active.own_busy += spent
            self._turn_began = None
            if not more:
                if isinstance(active, Forced):
                    self._forced.remove(active)
                else:
                    self._active.remove(active)
                for resident in active.residents:
                    resident.last_used = time.monotonic()

    def _do(self, job: _LoadJob | _UnloadJob) -> None:
        began = time.perf_counter()
        if isinstance(job, _UnloadJob):
            try:
                job.future.set_result(self._drop(job.id))
            except Exception as error:
                log.exception("unload of %s failed", job.id)
                job.future.set_exception(EngineError(f"{job.id} could not be unloaded: {type(error).__name__}."))
        else:
            self._load(job)
        with self._condition:
            self._busy += time.perf_counter() - began

    def _load(self, job: _LoadJob) -> None:
        try:
            resident = self._residents.get(job.spec.id)
            if resident is None or resident.spec != job.spec:
                self._drop(job.spec.id)
                self._make_room(job)
                resident = loading.load(job.spec, self._memory, job.on_progress)
                with self._condition:
                    self._residents[job.spec.id] = resident
            job.future.set_result(resident.facts)
        except PlaygroundError as error:
            self._memory.release()
            job.future.set_exception(error)
        except Exception as error:
            log.exception("load of %s failed", job.spec.id)
            self._memory.release()
            job.future.set_exception(EngineError(f"{job.spec.id} could not be loaded: {type(error).__name__}."))

    def _drop(self, variant: str) -> bool:
        with self._condition:
            resident = self._residents.pop(variant, None)
        if resident is None:
            return False
        resident.model = None
        del resident
        self._memory.release()
        return True

    def _make_room(self, job: _LoadJob) -> None:
        """Unload the least recently used idle variants until the spec fits. Raises OutOfMemory if it cannot."""
        needed = job.spec.weight_bytes + HEADROOM
        while self._memory.free() < needed:
            with self._condition:
                needed_soon = job.keep | {active.request.variant for active in self._waiting()}
            idle = [r for r in self._residents.values() if r.spec.id not in needed_soon]
            if not idle:
                held = ", ".join(r.spec.id for r in self._residents.values())
                raise OutOfMemory(
                    f"{job.spec.id} needs about {_mb(needed)}; {_mb(max(0, self._memory.free()))} is free.",
                    hint=f"Remove a pane ({held} in use) or pick a smaller variant."
                    if held
                    else "Pick a smaller variant.",
                )
            oldest = min(idle, key=lambda r: r.last_used)
            job.on_progress(Progress(f"Unloading {oldest.spec.id} to make room"))
            self._drop(oldest.spec.id)


def _mb(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"
