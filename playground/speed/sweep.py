"""The concurrency sweep: what a server gives when several requests come at once.

c workers send a new request as soon as the last one is answered, as `--max-concurrency` of vLLM's serving benchmark
does. All times are the client's, from sending, so that queueing is in the time to the first token.
Over the requests of a level: throughput = output tokens / (last token − first sending) · TTFT = first token − sending ·
TPOT = (last − first token)/(n − 1) of each request · p50 and p99 as `numpy.percentile` interpolates them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from playground.speed.requests import Answer, Prompts, Requests
from playground.speed.spec import BenchTest


@dataclass(frozen=True, slots=True)
class Level:
    """One level. Seconds and tokens per second."""

    requests: int
    output_tok_s: float
    total_tok_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    tpot_p50_s: float
    tpot_p99_s: float


def level(answers: Sequence[Answer]) -> Level:
    """The numbers of one level from its requests, of at least two tokens each. Raises ValueError without a span."""
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
    """One level of the sweep. `on_answer` gets how many are done."""
    return level(answered(requests, address, prompts, test, on_answer))


def answered(
    requests: Requests, address: str, prompts: Prompts, test: BenchTest, on_answer: Callable[[int], None]
) -> list[Answer]:
    """The requests of one level as they ended; a first request of every worker is the warm-up and is not among them."""
    workers = test.concurrency or 1
    _wave(requests, address, prompts, test, workers, on_answer)
    return _wave(requests, address, prompts, test, test.runs, lambda done: on_answer(workers + done))


def _wave(
    requests: Requests, address: str, prompts: Prompts, test: BenchTest, count: int, on_answer: Callable[[int], None]
) -> list[Answer]:
    group = f"sweep-{uuid.uuid4().hex}"

    def one() -> Answer:
        return requests.answer(address, prompts.take(test.prompt_tokens), test.output_tokens, group)

    found = []
    with ThreadPoolExecutor(test.concurrency, thread_name_prefix="sweep") as pool:
        waiting = [pool.submit(one) for _ in range(count)]
        try:
            for done in as_completed(waiting):
                found.append(done.result())
                on_answer(len(found))
        except BaseException:  # Ctrl+C too: leaving the pool waits for its workers, so they must end now
            pool.shutdown(wait=False, cancel_futures=True)
            requests.abort()
            raise
    return found
