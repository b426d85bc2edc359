"""Prefill and decode speed of variants on their engines, measured one at a time with repetitions.

pp<N>: N prompt tokens are read. tg<N>: N tokens are generated after a prompt of one, or of D (`tg<N> @ d<D>`). As in
llama-bench, end tokens are ignored and the first repetition of each test is a discarded warm-up. A test that fails is a
row with its error, and the others continue.

The concurrency sweep measures a server under several concurrent requests. c workers send a new request as soon as the
last one is answered, as with `--max-concurrency` of vLLM's serving benchmark. All times are the client's, from sending,
so the time to the first token includes queueing.
Over the requests of a level: throughput = output tokens / (last token − first sending) · TTFT = first token − sending ·
TPOT = (last − first token)/(n − 1) of each request · p50 and p99 as `numpy.percentile` interpolates them.
"""

from __future__ import annotations

import contextlib
import logging
import random
import statistics
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np

from playground.core import Clock, Finish, Generation, Loaded, Progress, Sampling, Token, Trace
from playground.engines.base import Engine
from playground.errors import Cancelled, ContextOverflow, EngineError, InvalidRequest, PlaygroundError, UnknownVariant
from playground.machine import Probe
from playground.metrics.timing import timing
from playground.metrics.weights import mbu
from playground.models.address import Address
from playground.settings import settings
from playground.speed.spec import LOAD, BenchRow, BenchTest, Plan, Stage, failure

OnStage = Callable[[Stage], None]
OF_THIS_TEST_ONLY = (ContextOverflow, InvalidRequest)
log = logging.getLogger(__name__)
PROSE = (
    "A bridge has to carry its own weight before it can carry anyone else's. The engineer who drew this one began "
    "with the river: how deep it runs in spring, where the ice piles up, and what the bed is made of. "
)


def bench(
    engine: Engine,
    addresses: Sequence[str],
    plan: Plan | None = None,
    probe: Probe | None = None,
    on_stage: OnStage = lambda _: None,
    requests: Requests | None = None,
) -> Iterator[BenchRow]:
    """Yield rows as they are measured. Raises Cancelled after `requests.stop()`.

    probe  this machine's device and its measured bandwidth, for the MBU of decoding
    """
    bench_plan, shared_requests = plan or Plan(), requests or Requests(engine)
    try:
        for address in addresses:
            yield from _rows_of(engine, address, bench_plan, probe, on_stage, shared_requests)
    finally:
        shared_requests.abort()


def _rows_of(
    engine: Engine, address: str, plan: Plan, probe: Probe | None, on_stage: OnStage, requests: Requests
) -> Iterator[BenchRow]:
    parsed = Address.parse(address)

    def load() -> Loaded:
        return engine.load(
            address,
            lambda progress: on_stage(Stage(address, LOAD, 0, 1, progress)),
            lambda: requests.stopped,
            [address],
        )

    try:
        on_stage(Stage(address, LOAD, 0, 1, Progress("Loading")))
        loaded = load()
        # The engine's id may differ from the requested one (a cast to the same type is the reference).
        loaded_address = str(Address.parse(loaded.id).on(parsed.engine))
        prompts = Prompts(engine, loaded_address)
    except Cancelled:
        raise
    except PlaygroundError as error:
        yield failure(parsed.variant, parsed.engine, LOAD, address, error)
        return
    for test in plan.tests():
        try:
            for attempt in (1, 2):
                try:
                    row = _measure(test, loaded, loaded_address, prompts, probe, on_stage, requests, address)
                    break
                except UnknownVariant:  # another load has unloaded it
                    if attempt == 2:
                        raise
                    load()
        except Cancelled:
            raise
        except PlaygroundError as error:
            yield failure(Address.parse(loaded.id).variant, loaded.engine, test.name, address, error)
            if not isinstance(error, OF_THIS_TEST_ONLY):
                return
        else:
            yield row


def _measure(
    test: BenchTest,
    loaded: Loaded,
    loaded_address: str,
    prompts: Prompts,
    probe: Probe | None,
    on_stage: OnStage,
    requests: Requests,
    address: str,
) -> BenchRow:
    base = BenchRow(
        variant=Address.parse(loaded.id).variant,
        engine=loaded.engine,
        test=test.name,
        runs=test.runs,
        weight_bytes=loaded.weight_bytes or None,
        address=address,
        depth=test.depth,
        device=loaded.device,
        kernel=loaded.kernel,
    )

    def report_step(step: int) -> None:
        warm_up = test.concurrency or 1
        kind, runs = "request" if test.concurrency else "run", test.steps
        words = "warm-up" if step < warm_up else f"{kind} {step - warm_up + 1} of {runs - warm_up}"
        on_stage(Stage(address, test.name, step, runs, Progress(f"{test.words}: {words}", step, runs, "runs")))

    if test.concurrency is not None:
        report_step(0)
        sweep = measure(
            requests, loaded_address, prompts, test, lambda done: report_step(done) if done < test.steps else None
        )
        return replace(
            base,
            tok_s_mean=sweep.output_tok_s,
            clock="client",
            concurrency=test.concurrency,
            total_tok_s=sweep.total_tok_s,
            ttft_p50_s=sweep.ttft_p50_s,
            ttft_p99_s=sweep.ttft_p99_s,
            tpot_p50_s=sweep.tpot_p50_s,
            tpot_p99_s=sweep.tpot_p99_s,
        )
    answers = []
    for run in range(test.steps):
        report_step(run)
        answers.append(requests.answer(loaded_address, prompts.take(test.prompt_tokens), test.output_tokens))
    timed = [(_prefill if test.kind == "prefill" else _decode)(answer, loaded.clock) for answer in answers[1:]]
    speeds = [speed for speed, _ in timed]
    row = replace(
        base,
        tok_s_mean=statistics.fmean(speeds),
        tok_s_sd=statistics.stdev(speeds) if len(speeds) > 1 else None,
        clock="client" if any(clock == "client" for _, clock in timed) else "engine",
        contended=any(answer.contended for answer in answers[1:]),
    )
    return _with_utilisation(row, test, loaded, probe) if test.kind == "decode" else row


def _prefill(answer: Answer, clock: Clock) -> tuple[float, Clock]:
    if answer.prefill_s <= 0:
        raise EngineError("The engine's clock did not advance while it read the prompt.")
    return answer.prompt_tokens / answer.prefill_s, "engine" if answer.prefill_reported else clock


def _decode(answer: Answer, clock: Clock) -> tuple[float, Clock]:
    """Return tokens/s and the clock it was measured with.

    From the tokens' times; if those are the client's and the engine reports a speed, that is preferred.
    """
    if clock == "client" and answer.decode_tok_s:
        return answer.decode_tok_s, "engine"
    speed = timing(Trace(answer.prompt_tokens, answer.times_s)).decode_tok_s
    if speed is None:
        raise EngineError("The engine's clock did not advance while it decoded.")
    return speed, clock


def _with_utilisation(row: BenchRow, test: BenchTest, loaded: Loaded, probe: Probe | None) -> BenchRow:
    """Return the row with its MBU, or with the reason why it has none."""
    if loaded.streamed_bytes is None:
        return replace(row, mbu_missing="the engine does not tell how many bytes one token reads")
    mean_context = test.prompt_tokens + test.output_tokens / 2
    row = replace(row, bytes_per_token=loaded.streamed_bytes + loaded.kv_bytes_per_token * mean_context)
    if probe is None or not probe.bandwidth:
        return replace(row, mbu_missing="the bandwidth of this device is not measured")
    if loaded.device.split(":")[0] != probe.device:
        return replace(row, mbu_missing=f"measured is the bandwidth of {probe.device}, this ran on {loaded.device}")
    if loaded.engine == "vllm" and settings().vllm_tensor_parallel > 1:
        return replace(row, mbu_missing="measured is the bandwidth of one GPU, this ran on several")
    share = mbu(loaded.streamed_bytes, loaded.kv_bytes_per_token, mean_context, row.tok_s_mean or 0, probe.bandwidth)
    return replace(row, mbu=share, bandwidth=probe.bandwidth)


# Progress and remaining time.


@dataclass(slots=True)
class Pace:
    """Estimates the remaining time of a measurement from its stages (`see`). Times are seconds of one clock."""

    addresses: Sequence[str]
    plan: Plan
    _position: int = 0
    _stage: Stage | None = None
    _since: float = 0.0
    _took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def _steps(self) -> list[tuple[str, str]]:
        tests = [(LOAD, 1), *((test.name, test.steps) for test in self.plan.tests())]
        return [(address, name) for address in self.addresses for name, count in tests for _ in range(count)]

    @property
    def total(self) -> int:
        return len(self._steps())

    @property
    def done(self) -> int:
        """Number of finished steps; the skipped steps of a failed address count once the next address begins."""
        return self._position

    def see(self, stage: Stage, now: float) -> None:
        last = self._stage
        if last and (last.address, last.test, last.run) == (stage.address, stage.test, stage.run):
            return
        if last and last.test:
            steps = max(1, stage.run - last.run) if (stage.address, stage.test) == (last.address, last.test) else 1
            self._took[last.test] += [(now - self._since) / steps] * steps
        self._stage, self._since = stage, now
        self._position = self._steps().index((stage.address, stage.test), 0) + stage.run

    def left_s(self, now: float) -> float | None:
        """Return the estimated seconds until the end; None before the first generation is done.

        A test that has not run yet is assumed to take the mean of those that have.
        """
        runs = [seconds for name, durations in self._took.items() if name != LOAD for seconds in durations]
        if not runs:
            return None
        means = {name: fmean(durations) for name, durations in self._took.items()}
        fallback = {LOAD: means.get(LOAD, 0.0)}
        remaining = [means.get(name, fallback.get(name, fmean(runs))) for _, name in self._steps()[self._position :]]
        return max(0.0, sum(remaining) - min(now - self._since, remaining[0] if remaining else 0.0))


# The concurrency sweep.


@dataclass(frozen=True, slots=True)
class Level:
    """Results of one level of the sweep. Seconds and tokens per second."""

    requests: int
    output_tok_s: float
    total_tok_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    tpot_p50_s: float
    tpot_p99_s: float


def level(answers: Sequence[Answer]) -> Level:
    """Compute a level from its requests, of at least two tokens each. Raises ValueError if the clock stood still."""
    span = max(answer.arrived_s[-1] for answer in answers) - min(answer.sent_s for answer in answers)
    if span <= 0:
        raise ValueError("the clock did not advance")
    output = sum(len(answer.arrived_s) for answer in answers)
    ttft = [answer.ttft_s for answer in answers]
    tpot = [answer.tpot_s for answer in answers]
    return Level(
        requests=len(answers),
        output_tok_s=output / span,
        total_tok_s=(output + sum(answer.prompt_tokens for answer in answers)) / span,
        ttft_p50_s=float(np.percentile(ttft, 50)),
        ttft_p99_s=float(np.percentile(ttft, 99)),
        tpot_p50_s=float(np.percentile(tpot, 50)),
        tpot_p99_s=float(np.percentile(tpot, 99)),
    )


def measure(
    requests: Requests, address: str, prompts: Prompts, test: BenchTest, on_answer: Callable[[int], None]
) -> Level:
    """Measure one level of the sweep. `on_answer` is called with the number of finished requests."""
    return level(run_level(requests, address, prompts, test, on_answer))


def run_level(
    requests: Requests, address: str, prompts: Prompts, test: BenchTest, on_answer: Callable[[int], None]
) -> list[Answer]:
    """Return the answers of one level, without the warm-up, which is one request for each worker."""
    workers = test.concurrency or 1
    _wave(requests, address, prompts, test, workers, on_answer)
    return _wave(requests, address, prompts, test, test.runs, lambda done: on_answer(workers + done))


def _wave(
    requests: Requests, address: str, prompts: Prompts, test: BenchTest, count: int, on_answer: Callable[[int], None]
) -> list[Answer]:
    group = f"sweep-{uuid.uuid4().hex}"

    def answer() -> Answer:
        return requests.answer(address, prompts.take(test.prompt_tokens), test.output_tokens, group)

    answers = []
    with ThreadPoolExecutor(test.concurrency, thread_name_prefix="sweep") as pool:
        futures = [pool.submit(answer) for _ in range(count)]
        try:
            for future in as_completed(futures):
                answers.append(future.result())
                on_answer(len(answers))
        except BaseException:  # Ctrl+C too: leaving the pool waits for its workers, so their requests must end
            pool.shutdown(wait=False, cancel_futures=True)
            requests.abort()
            raise
    return answers


# Requests: uncached prompts, timed answers, stopping.


@dataclass(frozen=True, slots=True)
class Answer:
    """One generation, timed by the client and by the engine. Seconds.

    sent_s     when the request was sent; arrived_s: when each token arrived. One monotonic clock for all requests
    times_s    each token's time since the request was accepted, as the token states it
    prefill_s  the engine's time for the prompt if it reports one (`prefill_reported`), else the first token's
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
    """Prompts of any length, made of tokens of prose in random order.

    Prompts of one length take the same time, and share no prefix that a prefix cache could reuse.
    """

    def __init__(self, engine: Engine, address: str) -> None:
        self._words = engine.prompt(address, PROSE).ids
        self._random = random.Random()  # noqa: S311 - not for security

    def take(self, count: int) -> tuple[int, ...]:
        return tuple(self._random.choices(self._words, k=count))


class Requests:
    """Sends the requests of one measurement and can stop them. `stop` may be called from any thread."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.perf_counter) -> None:
        self._engine, self._clock = engine, clock
        self._stopped = threading.Event()
        self._active: set[str] = set()
        self._lock = threading.Lock()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        """Abort the running generations; later calls of `answer` raise Cancelled."""
        self._stopped.set()
        self.abort()

    def abort(self) -> None:
        """Abort the running generations."""
        with self._lock:
            active = list(self._active)
        for request_id in active:
            try:
                self._engine.abort(request_id)
            except PlaygroundError as error:
                log.info("abort of %s: %s", request_id, error)

    def answer(self, address: str, ids: tuple[int, ...], count: int, group: str = "") -> Answer:
        """Generate exactly `count` tokens. Raises Cancelled, EngineError if there are fewer.

        group  requests with the same group run concurrently; "": alone
        """
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
        with self._tracked(request.request_id):
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
        prefill_s = reported.prefill_s if reported else None
        return Answer(
            prompt_tokens=finish.prompt_tokens or len(ids),
            sent_s=sent,
            arrived_s=tuple(arrived),
            times_s=tuple(token.time_s for token in tokens),
            prefill_s=prefill_s or tokens[0].step_s,
            prefill_reported=bool(prefill_s),
            decode_tok_s=reported.decode_tok_s if reported else None,
            contended=finish.contended,
        )

    def _check(self) -> None:
        if self.stopped:
            raise Cancelled("The measurement was stopped.")

    @contextlib.contextmanager
    def _tracked(self, request_id: str) -> Iterator[None]:
        with self._lock:
            self._active.add(request_id)
        try:
            yield
        finally:
            with self._lock:
                self._active.discard(request_id)
