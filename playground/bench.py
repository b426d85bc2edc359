"""Prefill and decode speed of variants, one at a time, with repetitions: the numbers to quote.

pp<N>: N prompt tokens are read. tg<N>: N tokens are generated after a prompt of one. As in llama-bench, prompts are
plain text cut to length, end tokens are ignored, and a first repetition of each test is a warm-up and discarded.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from playground.core import Generation, Loaded, Progress, Sampling, Token, Trace
from playground.engines.engine import Engine
from playground.errors import EngineError, InvalidRequest
from playground.metrics.footprint import mbu
from playground.metrics.timing import timing

OnStage = Callable[[str, Progress], None]
PROSE = (
    "A bridge has to carry its own weight before it can carry anyone else's. The engineer who drew this one began "
    "with the river: how deep it runs in spring, where the ice piles up, and what the bed is made of. "
)


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One test of one variant; field names are those of the documented JSON. Speeds in tokens per second."""

    variant: str
    engine: str
    test: str
    tok_s_mean: float
    tok_s_sd: float
    runs: int
    mbu: float | None
    weight_bytes: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def bench(
    engine: Engine,
    variants: Sequence[str],
    prompt_tokens: int = 512,
    output_tokens: int = 128,
    runs: int = 5,
    bandwidth: float | None = None,
    on_stage: OnStage = lambda _variant, _progress: None,
) -> Iterator[BenchRow]:
    """Rows as they are measured. `bandwidth`: this device's measured bytes per second, for the MBU of decoding.

    `prompt_tokens` or `output_tokens` 0 leaves that test out.
    """
    if min(prompt_tokens, output_tokens) < 0 or prompt_tokens + output_tokens == 0 or runs < 1:
        raise InvalidRequest("bench needs a positive prompt or output length and at least one run.")
    if output_tokens == 1:
        raise InvalidRequest("Decode speed needs at least two output tokens.", hint="Use -n 2 or more, or -n 0.")
    for variant in variants:
        loaded = engine.load(variant, lambda progress, v=variant: on_stage(v, progress), lambda: False, [variant])  # type: ignore[misc]
        if prompt_tokens:
            ids = prompt_ids(engine, loaded.id, prompt_tokens)
            speeds = [_prefill_speed(engine, loaded.id, ids) for _ in _repeated(runs, variant, "pp", on_stage)]
            yield _row(loaded, f"pp{prompt_tokens}", speeds[1:], None)
        if output_tokens:
            ids = prompt_ids(engine, loaded.id, 1)
            speeds = [
                _decode_speed(engine, loaded.id, ids, output_tokens) for _ in _repeated(runs, variant, "tg", on_stage)
            ]
            utilisation = _mbu(loaded, output_tokens, statistics.fmean(speeds[1:]), bandwidth)
            yield _row(loaded, f"tg{output_tokens}", speeds[1:], utilisation)


def prompt_ids(engine: Engine, variant: str, count: int) -> tuple[int, ...]:
    """`count` token ids of ordinary prose."""
    text = PROSE
    while len(ids := engine.prompt(variant, text).ids) < count:
        text *= 2
    return ids[:count]


def _repeated(runs: int, variant: str, test: str, on_stage: OnStage) -> Iterator[int]:
    for run in range(runs + 1):
        on_stage(variant, Progress(f"{test}: {'warm-up' if run == 0 else f'run {run}'}", run, runs, "runs"))
        yield run


def _tokens(engine: Engine, variant: str, ids: tuple[int, ...], count: int) -> list[Token]:
    request = Generation(variant, ids, Sampling(max_tokens=count, ignore_eos=True), top_logprobs=0)
    tokens = [item for item in engine.generate(request) if isinstance(item, Token)]
    if len(tokens) != count:
        raise EngineError(f"{variant} generated {len(tokens)} tokens instead of {count}.")
    return tokens


def _prefill_speed(engine: Engine, variant: str, ids: tuple[int, ...]) -> float:
    return len(ids) / _tokens(engine, variant, ids, 1)[0].step_s


def _decode_speed(engine: Engine, variant: str, ids: tuple[int, ...], count: int) -> float:
    tokens = _tokens(engine, variant, ids, count)
    speed = timing(Trace(len(ids), tuple(token.time_s for token in tokens))).decode_tok_s
    if speed is None:
        raise EngineError(f"{variant}: the engine's clock did not advance.")
    return speed


def _mbu(loaded: Loaded, output_tokens: int, speed: float, bandwidth: float | None) -> float | None:
    if loaded.streamed_bytes is None or not bandwidth:
        return None
    mean_context = 1 + output_tokens / 2  # the prompt of one, and half of the answer
    return mbu(loaded.streamed_bytes, loaded.kv_bytes_per_token, mean_context, speed, bandwidth)


def _row(loaded: Loaded, test: str, speeds: Sequence[float], utilisation: float | None) -> BenchRow:
    return BenchRow(
        variant=loaded.id,
        engine=loaded.engine,
        test=test,
        tok_s_mean=statistics.fmean(speeds),
        tok_s_sd=statistics.stdev(speeds) if len(speeds) > 1 else 0.0,
        runs=len(speeds),
        mbu=utilisation,
        weight_bytes=loaded.weight_bytes,
    )
