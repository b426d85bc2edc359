"""The decode thread: the only thread that touches torch.

It steps its active generations in turn and times each step. Every generation has a clock of its own, which stands
still while another one holds the device: two variants stream side by side and neither slows the other's numbers.
Loads and unloads run in the same thread, when nothing is decoding, so they disturb no clock either; a waiting load
lets the running generations finish and holds back the ones that come after it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from playground.core import Alternative, Finish, FinishReason, Generation, Loaded, LoadSpec, Progress, Token
from playground.engines.transformers_host import loading
from playground.engines.transformers_host.decode import PrefillChunk, Step, decode
from playground.engines.transformers_host.loading import Resident
from playground.engines.transformers_host.memory import DeviceMemory
from playground.engines.transformers_host.text import Detokenizer, StopStrings
from playground.errors import (
    ContextOverflow,
    EngineError,
    InvalidRequest,
    OutOfMemory,
    PlaygroundError,
    UnknownVariant,
)
from playground.settings import settings

log = logging.getLogger(__name__)
Emit = Callable[[Progress | Token | Finish | PlaygroundError], None]

HEADROOM = 192 * 2**20  # bytes kept for activations and the key/value cache when a load is planned


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


class Active:
    """One generation in progress, with its own clock (see the module's docstring)."""

    def __init__(
        self, request: Generation, resident: Resident, emit: Emit, accepted: float, others_busy: float
    ) -> None:
        self.request = request
        self.emit = emit
        self.resident = resident
        self.aborted = threading.Event()
        self._accepted = accepted
        self._others_at_start = others_busy
        self.own_busy = 0.0  # seconds of this generation's turns, by the thread's watch
        self._step_s = 0.0
        self._waited = 0.0
        self._count = 0
        self._growth = 0
        self._peak_growth = 0
        self._detokenizer = Detokenizer(resident.tokenizer, request.prompt_ids)
        self._stops = StopStrings(request.sampling.stop)
        self._steps = decode(
            resident.model, request.prompt_ids, request.sampling, eos=resident.eos, top=request.top_logprobs
        )

    def turn(self, memory: DeviceMemory, total_busy: float) -> bool:
        """One forward pass; True while there is more to do. `total_busy`: seconds of all turns of all generations."""
        first = self._count == 0
        if first:
            memory.reset_peak()
        used = memory.used()
        began = time.perf_counter()
        try:
            item = next(self._steps, None)
        except (RuntimeError, MemoryError) as error:
            self._fail(error)
            return False
        memory.synchronize()
        ended = time.perf_counter()
        self._step_s += ended - began
        after = memory.used()
        self._peak_growth = max(self._peak_growth, self._growth + (memory.peak() if first else after) - used)
        self._growth += after - used
        more = True
        if isinstance(item, PrefillChunk):
            self.emit(Progress("Reading the prompt", item.done, item.total, "tokens"))
        elif isinstance(item, Step):
            # Everything since the start that was not another generation's turn is this one's time.
            self._waited = total_busy - self.own_busy - self._others_at_start
            more = self._emit_token(item, ended - self._accepted - self._waited)
        else:
            self.finish("length")
            more = False
        return more

    def _emit_token(self, step: Step, time_s: float) -> bool:
        self._count += 1
        reason: FinishReason | None = None
        ended_by_eos = step.is_eos and not self.request.sampling.ignore_eos
        text = self._stops.add("" if ended_by_eos else self._detokenizer.add(step.token_id))
        if ended_by_eos or self._stops.matched is not None:
            reason = "stop"
        elif self._count == self.request.sampling.max_tokens:
            reason = "length"
        if reason and self._stops.matched is None:
            text += self._stops.add(self._detokenizer.flush()) + self._stops.flush()
        decode_one = self.resident.tokenizer.decode
        top = tuple(Alternative(i, str(decode_one([i])), logprob) for i, logprob in step.top)
        piece = next((a.text for a in top if a.id == step.token_id), None)
        self.emit(
            Token(
                id=step.token_id,
                text=text,
                piece=str(decode_one([step.token_id])) if piece is None else piece,
                time_s=time_s,
                step_s=self._step_s,
                logprob=step.logprob,
                top=top,
            )
        )
        self._step_s = 0.0
        if reason:
            self.finish(reason)
        return reason is None

    def finish(self, reason: FinishReason) -> None:
        self._steps.close()  # frees the cache
        rest = ""
        if reason == "abort" and self._stops.matched is None:
            rest = self._stops.add(self._detokenizer.flush()) + self._stops.flush()
        self.emit(
            Finish(
                reason=reason,
                prompt_tokens=len(self.request.prompt_ids),
                output_tokens=self._count,
                peak_memory_bytes=self.resident.facts.resident_bytes + max(0, self._peak_growth),
                waited_s=max(0.0, self._waited),
                text=rest,
            )
        )

    def _fail(self, error: Exception) -> None:
        self._steps.close()
        log.exception("generation %s failed", self.request.request_id, exc_info=error)
        if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
            self.emit(
                OutOfMemory("The device ran out of memory in the middle of this text.", hint="Ask for fewer tokens.")
            )
        else:
            self.emit(EngineError(f"The model failed while generating: {str(error).splitlines()[0][:200]}"))


class DecodeThread(threading.Thread):
    """Owns every loaded variant. All public methods may be called from any thread."""

    def __init__(self, memory: DeviceMemory) -> None:
        super().__init__(name="decode", daemon=True)
        self._memory = memory
        self._condition = threading.Condition()
        self._inbox: deque[Active | _LoadJob | _UnloadJob] = deque()  # in order of arrival
        self._active: list[Active] = []
        self._residents: dict[str, Resident] = {}
        self._busy = 0.0
        self._turn_began: float | None = None
        self._stopping = False

    # Called from other threads

    def load(self, spec: LoadSpec, keep: Sequence[str], on_progress: Callable[[Progress], None]) -> Future[Loaded]:
        """Queue a load; at once when the variant is there already. Resolves to its facts or a typed error."""
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
        """Queue an unload; resolves to whether it was loaded."""
        job = _UnloadJob(variant, Future())
        with self._condition:
            self._inbox.append(job)
            self._condition.notify()
        return job.future

    def submit(self, request: Generation, emit: Emit) -> Active:
        """Accept a generation. Raises UnknownVariant, InvalidRequest or ContextOverflow before anything runs."""
        accepted = time.perf_counter()
        resident = self.resident(request.variant)
        _validate(request, resident)
        with self._condition:
            if len(self._active) + len(self._waiting()) >= settings().max_generations:
                raise EngineError("The engine's queue is full.", hint="Try again in a moment.")
            running = 0.0 if self._turn_began is None else accepted - self._turn_began
            active = Active(request, resident, emit, accepted, self._busy + running)
            self._inbox.append(active)
            self._condition.notify()
        return active

    def abort(self, request_id: str) -> bool:
        """End a generation within one step. False when no such generation is active."""
        with self._condition:
            found = [a for a in (*self._active, *self._waiting()) if a.request.request_id == request_id]
            for active in found:
                active.aborted.set()
            self._condition.notify()
        return bool(found)

    def resident(self, variant: str) -> Resident:
        with self._condition:
            if variant not in self._residents:
                raise UnknownVariant(f"{variant} is not loaded.", hint="Load it first.")
            return self._residents[variant]

    def loaded(self) -> list[Loaded]:
        with self._condition:
            return [resident.facts for resident in self._residents.values()]

    def counts(self) -> tuple[int, int]:
        """(generations that decode, generations and loads that wait)."""
        with self._condition:
            return len(self._active), len(self._inbox)

    def close(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify()

    # The thread itself

    def run(self) -> None:
        while True:
            with self._condition:
                while not (self._active or self._inbox or self._stopping):
                    self._condition.wait()
                if self._stopping:
                    return
                job = self._next_job()
                turns = list(self._active)
            if job is not None:
                self._do(job)
            for active in turns:
                self._turn(active)

    def _next_job(self) -> _LoadJob | _UnloadJob | None:
        """Admit what has arrived, up to the first load; that one is taken once nothing decodes any more."""
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

    def _turn(self, active: Active) -> None:
        began = time.perf_counter()
        with self._condition:
            self._turn_began = began
        if active.aborted.is_set():
            active.finish("abort")
            more = False
        else:
            more = active.turn(self._memory, self._busy)
        with self._condition:
            # One reading for both sums: what one turn adds to "all turns" it must add to its own, to the last digit.
            spent = time.perf_counter() - began
            self._busy += spent
            active.own_busy += spent
            self._turn_began = None
            if not more:
                self._active.remove(active)
                active.resident.last_used = time.monotonic()

    def _do(self, job: _LoadJob | _UnloadJob) -> None:
        began = time.perf_counter()
        if isinstance(job, _UnloadJob):
            job.future.set_result(self._drop(job.id))
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
        """Unload the least recently used idle variants until the spec fits, or say why it cannot."""
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


def _validate(request: Generation, resident: Resident) -> None:
    sampling, facts = request.sampling, resident.facts
    if not request.prompt_ids:
        raise InvalidRequest("The prompt is empty.", hint="Type something first.")
    vocabulary = len(resident.tokenizer)
    rows = resident.model.get_input_embeddings().weight.shape[0]
    if not all(0 <= i < max(vocabulary, rows) for i in request.prompt_ids):
        raise InvalidRequest("The prompt holds token ids that this model's vocabulary does not have.")
    total = len(request.prompt_ids) + sampling.max_tokens
    if total > facts.context:
        raise ContextOverflow(
            f"The prompt has {len(request.prompt_ids)} tokens and max tokens is {sampling.max_tokens}: together "
            f"{total}, more than the {facts.context} that this model takes.",
            hint="Shorten the prompt or lower max tokens.",
        )
