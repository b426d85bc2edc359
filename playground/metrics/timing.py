"""Timing metrics of one generation, as functions of its trace. Seconds and tokens per second.

Definitions (n tokens at times t_0 … t_{n-1} after the request was accepted):
TTFT = t_0 · ITL = the n-1 gaps · TPOT = (t_{n-1} - t_0)/(n-1), as vLLM's serving benchmark defines it ·
decode = (n-1)/(t_{n-1} - t_0) · E2E = t_{n-1} · prefill = prompt tokens / time spent on the prompt.
A metric that the trace does not determine (TPOT of one token) is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from playground.core import Trace
from playground.metrics import stats

BLOCK = 4  # neighbouring steps averaged into one observation, because their times are correlated


@dataclass(frozen=True, slots=True)
class Timing:
    """Metrics of one trace; the field names are those of the documented JSON."""

    ttft_s: float | None
    prefill_tok_s: float | None
    itl_p50_s: float | None
    itl_p99_s: float | None
    tpot_s: float | None
    decode_tok_s: float | None
    e2e_s: float | None
    prompt_tokens: int
    output_tokens: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def inter_token_latencies(times_s: Sequence[float]) -> list[float]:
    """Return the n-1 gaps between consecutive tokens, seconds."""
    return [later - earlier for earlier, later in pairwise(times_s)]


def timing(trace: Trace) -> Timing:
    """Return all timing metrics of `trace`. Raises ValueError if its times decrease or are negative."""
    times = trace.times_s
    gaps = inter_token_latencies(times)
    if times and (times[0] < 0 or any(gap < 0 for gap in gaps)):
        raise ValueError("token times must start at or after 0 and never run backwards")
    span = times[-1] - times[0] if len(times) > 1 else 0.0
    measurable = span > 0
    return Timing(
        ttft_s=times[0] if times else None,
        prefill_tok_s=trace.prompt_tokens / trace.prefill_s if times and trace.prefill_s else None,
        itl_p50_s=float(np.percentile(gaps, 50)) if gaps else None,
        itl_p99_s=float(np.percentile(gaps, 99)) if gaps else None,
        tpot_s=span / len(gaps) if gaps else None,
        decode_tok_s=len(gaps) / span if measurable else None,
        e2e_s=times[-1] if times else None,
        prompt_tokens=trace.prompt_tokens,
        output_tokens=len(times),
    )


def speed_ratio_interval(
    reference: Sequence[float], other: Sequence[float], *, level: float = 0.95
) -> tuple[float, float, float] | None:
    """Return (ratio, low, high) of the decode speed of `other` over `reference`, from inter-token latencies.

    None below two blocks a side. The unit of observation is a block of four neighbouring steps, because a busy machine
    slows several steps in a row. Student's interval on the logarithm of the ratio (delta method), with the degrees of
    freedom of the side that has fewer blocks.
    """
    if min(len(reference), len(other)) < 2 * BLOCK:
        return None
    means, variance, freedom = [], 0.0, math.inf
    for gaps in (np.asarray(reference), np.asarray(other)):
        blocks = gaps[: len(gaps) // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=1)
        mean = float(gaps.mean())
        if mean <= 0:
            return None
        means.append(mean)
        variance += float(blocks.var(ddof=1)) / len(blocks) / mean**2
        freedom = min(freedom, len(blocks) - 1)
    ratio = means[0] / means[1]
    spread = math.exp(stats.quantile(1 - (1 - level) / 2, freedom) * math.sqrt(variance))
    return ratio, ratio / spread, ratio * spread
