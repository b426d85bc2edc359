"""The requests of a measurement: prompts that no cache has seen, one timed answer, and a way to stop all of them."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from playground.core import Finish, Generation, Sampling, Token
from playground.engines.base import Engine
from playground.errors import Cancelled, EngineError, PlaygroundError

log = logging.getLogger(__name__)
PROSE = (
    "A bridge has to carry its own weight before it can carry anyone else's. The engineer who drew this one began "
    "with the river: how deep it runs in spring, where the ice piles up, and what the bed is made of. "
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One generation, timed twice: on the client's clock, and on the one that its tokens carry. Seconds.

    sent_s     when the request left, arrived_s when each token was here: one monotonic clock for all requests
    times_s    each token's own time since the request was accepted
    prefill_s  what the engine reports of the prompt, else what its first token took; `reported` tells which
    """

    prompt_tokens: int
    sent_s: float
    arrived_s: tuple[float, ...]
    times_s: tuple[float, ...]
    prefill_s: float
    prefill_reported: bool
    decode_tok_s: float | None
    contended: bool

    @property
    def ttft_s(self) -> float:
        """First token − sending, on the client's clock."""
        return self.arrived_s[0] - self.sent_s

    @property
    def tpot_s(self) -> float:
        """(last − first token)/(n − 1) on the client's clock, of at least two tokens."""
        return (self.arrived_s[-1] - self.arrived_s[0]) / (len(self.arrived_s) - 1)


class Prompts:
    """Prompts of any length in tokens of ordinary prose, each in an order of its own.

    Two prompts of one length are read at the same speed, and they share no beginning: a prefix cache that somebody left
    on finds nothing to keep.
    """

    def __init__(self, engine: Engine, address: str) -> None:
        self._words = engine.prompt(address, PROSE).ids
        self._random = random.Random()  # noqa: S311 - no secret, only never the same prompt twice

    def take(self, count: int) -> tuple[int, ...]:
        return tuple(self._random.choices(self._words, k=count))


class Requests:
    """Everything of one measurement that is with the engine. `stop` may come from any thread, at any time."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.perf_counter) -> None:
        self._engine, self._clock = engine, clock
        self._stopped = threading.Event()
        self._active: set[str] = set()
        self._lock = threading.Lock()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """End what runs; whatever is asked for afterwards raises Cancelled."""
        self._stopped.set()
        self.abort()

    def abort(self) -> None:
        """End the generations that run now."""
        with self._lock:
            active = list(self._active)
        for request_id in active:
            try:
                self._engine.abort(request_id)
            except PlaygroundError as error:
                log.info("abort of %s: %s", request_id, error)

    def answer(self, address: str, ids: tuple[int, ...], count: int, group: str = "") -> Answer:
        """Generate exactly `count` tokens. `group` overlaps the other requests of that name. Raises Cancelled."""
        self._check()
        request = Generation(
            address,
            ids,
            Sampling(max_tokens=count, ignore_eos=True),
            top_logprobs=0,
            request_id=f"bench-{uuid.uuid4().hex}",
            at_once=bool(group),
            group=group,
        )
        tokens: list[Token] = []
        arrived: list[float] = []
        finish: Finish | None = None
        with self._counted(request.request_id):
            sent = self._clock()
            with contextlib.closing(self._engine.generate(request)) as items:  # type: ignore[type-var]
                for item in items:
                    if isinstance(item, Token):
                        arrived.append(self._clock())
                        tokens.append(item)
                    elif isinstance(item, Finish):
                        finish = item
                    self._check()
        if finish is None or len(tokens) != count:
            raise EngineError(
                f"{address} generated {len(tokens)} tokens instead of {count}.",
                hint="Its server may not know `ignore_eos`, or its context is shorter than this test needs.",
            )
        reported = finish.reported
        said = reported.prefill_s if reported else None
        return Answer(
            prompt_tokens=finish.prompt_tokens or len(ids),
            sent_s=sent,
            arrived_s=tuple(arrived),
            times_s=tuple(token.time_s for token in tokens),
            prefill_s=said or tokens[0].step_s,
            prefill_reported=bool(said),
            decode_tok_s=reported.decode_tok_s if reported else None,
            contended=finish.contended,
        )

    def _check(self) -> None:
        if self.stopped:
            raise Cancelled("The measurement was stopped.")

    @contextlib.contextmanager
    def _counted(self, request_id: str) -> Iterator[None]:
        with self._lock:
            self._active.add(request_id)
        try:
            yield
        finally:
            with self._lock:
                self._active.discard(request_id)
