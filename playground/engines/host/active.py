"""A generation in progress: its forward passes, its text and its clock.

The clock is paused while another generation uses the device, so that concurrent generations measure their own speed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from playground.core import Alternative, Finish, FinishReason, Generation, Progress, Token
from playground.engines.host.decode import Detokenizer, PrefillChunk, Step, StopStrings, decode
from playground.engines.host.loading import DeviceMemory, Resident
from playground.errors import ContextOverflow, EngineError, InvalidRequest, OutOfMemory, PlaygroundError

log = logging.getLogger(__name__)
Emit = Callable[[Progress | Token | Finish | PlaygroundError], None]


def validate(request: Generation, resident: Resident) -> None:
    """Raise InvalidRequest for an empty prompt or an unknown id, ContextOverflow for too many tokens."""
    sampling, facts = request.sampling, resident.facts
    if not request.prompt_ids:
        raise InvalidRequest("The prompt is empty.", hint="Type something first.")
    refuse_unknown_ids(resident.model, request.prompt_ids)
    total = len(request.prompt_ids) + sampling.max_tokens
    if total > facts.context:
        raise ContextOverflow(
            f"The prompt has {len(request.prompt_ids)} tokens and max tokens is {sampling.max_tokens}: together "
            f"{total}, more than the {facts.context} that this model takes.",
            hint="Shorten the prompt or lower max tokens.",
        )


def refuse_unknown_ids(model: Any, ids: Iterable[int]) -> None:
    """Raise InvalidRequest for the first id that has no row in the input embedding."""
    rows = model.get_input_embeddings().weight.shape[0]
    unknown = next((i for i in ids if not 0 <= i < rows), None)
    if unknown is not None:
        raise InvalidRequest(
            f"Token id {unknown} has no embedding: the model has {rows:,} embedding rows.",
            hint="The tokenizer has more tokens than the model was trained with: leave such tokens out, or use the "
            "tokenizer that belongs to these weights.",
        )


class Active:
    """A generation from its acceptance to its Finish. `turn` runs in the decode thread."""

    def __init__(
        self, request: Generation, resident: Resident, emit: Emit, accepted: float, others_busy: float
    ) -> None:
        self.request = request
        self.emit = emit
        self.resident = resident
        self.residents = (resident,)
        self.aborted = threading.Event()
        self._accepted = accepted
        self._others_at_start = others_busy
        self.own_busy = 0.0  # seconds of this generation's turns, measured by the decode thread
        self._step_s = 0.0
        self._waited = 0.0
        self._count = 0
        self._growth = 0
        self._peak_growth = 0
        self._detokenizer = Detokenizer(resident.tokenizer, request.prompt_ids)
        self._stops = StopStrings(request.sampling.stop)
        self._steps = decode(
            resident.model,
            request.prompt_ids,
            request.sampling,
            eos=resident.eos,
            top=request.top_logprobs,
            cached=resident.cached,
        )

    def turn(self, memory: DeviceMemory, total_busy: float) -> bool:
        """Run a forward pass; False when the generation has ended. `total_busy`: seconds of all generations' turns."""
        first = self._count == 0
        if first:
            memory.reset_peak()
        used = memory.used()
        began = time.perf_counter()
        try:
            item = next(self._steps, None)
        except Exception as error:  # noqa: BLE001 - an error of a model must not end other generations
            self.fail(error)
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
            # Only the turns of other generations since the start count as waiting.
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

    def fail(self, error: Exception) -> None:
        """End with an error instead of a Finish."""
        self._steps.close()
        self.emit(as_error(error, self.request.request_id, "while generating"))


def as_error(error: Exception, request_id: str, doing: str) -> PlaygroundError:
    """Return any exception of a running request as a PlaygroundError; the traceback is logged."""
    if isinstance(error, PlaygroundError):
        return error
    log.exception("request %s failed", request_id, exc_info=error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return OutOfMemory("The device ran out of memory in the middle of this text.", hint="Ask for fewer tokens.")
    return EngineError(f"The model failed {doing}: {(str(error).splitlines() or [type(error).__name__])[0][:200]}")
