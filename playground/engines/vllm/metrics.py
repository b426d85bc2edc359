"""What vLLM measured of one request: the difference of its Prometheus histograms before and after it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from playground.core import Reported

SOURCE = "vLLM /metrics"
FINISHED = "vllm:e2e_request_latency_seconds_count"
RUNNING = "vllm:num_requests_running"
_TTFT = "vllm:time_to_first_token_seconds"
_PREFILL = "vllm:request_prefill_time_seconds"
_ITL = "vllm:inter_token_latency_seconds"
_SAMPLE = re.compile(r'^(vllm:\w+)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})? ([-+0-9.eE]+)$', re.MULTILINE)


def read(text: str) -> dict[str, float]:
    """Every vLLM sample of a /metrics page, summed over its labels (there is one model in a server)."""
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> Reported | None:
    """The one request between both readings; None when it was not exactly one, or others ran across a reading."""

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    started = grown(f"{_TTFT}_count")
    if grown(FINISHED) != 1 or started != 1 or before.get(RUNNING, 0.0) or after.get(RUNNING, 0.0):
        return None
    gaps, seconds = grown(f"{_ITL}_count"), grown(f"{_ITL}_sum")
    return Reported(
        source=SOURCE,
        ttft_s=grown(f"{_TTFT}_sum"),
        prefill_s=grown(f"{_PREFILL}_sum"),
        decode_tok_s=gaps / seconds if gaps and seconds > 0 else None,
    )
