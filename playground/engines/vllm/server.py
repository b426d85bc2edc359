"""Starting a server for a variant until it answers, or saying in vLLM's own words why it does not."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

from playground import machine
from playground.core import LoadSpec, Reported
from playground.engines import client
from playground.engines.base import IsCancelled, OnProgress
from playground.engines.servers import ServerProcess, Servers
from playground.engines.vllm import command, facts, server_log
from playground.engines.vllm.command import Device
from playground.errors import EngineDied, EngineUnavailable, OutOfMemory, PlaygroundError, UnsupportedModel
from playground.settings import settings

TIMEOUT_S = 600.0  # a big model compiles for minutes
PORTS = 3
_NO_MEMORY = re.compile(r"out of memory|Free memory on device|No available memory|larger than the available KV", re.I)
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")

# Three Python processes with torch in each: 3.0 GB (proportional set size) less 1 GiB of KV cache and 0.27 GB of
# weights, read on Linux with the CPU build 0.32 right after a start.
PROCESS_BYTES = 1_650_000_000
SOURCE = "vLLM /metrics"
FINISHED = "vllm:e2e_request_latency_seconds_count"
RUNNING = "vllm:num_requests_running"
_TTFT = "vllm:time_to_first_token_seconds"
_PREFILL = "vllm:request_prefill_time_seconds"
_ITL = "vllm:inter_token_latency_seconds"
_SAMPLE = re.compile(r'^(vllm:\w+)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})? ([-+0-9.eE]+)$', re.MULTILINE)


def start(
    spec: LoadSpec,
    on: command.Device,
    interpreter: Path,
    servers: Servers,
    http: httpx.Client,
    on_progress: OnProgress,
    is_cancelled: IsCancelled,
) -> ServerProcess:
    """A server of `servers` that answers for this variant. Raises EngineError, UnsupportedModel, Cancelled.

    vLLM binds after a long import, so its port may be taken by then; it is given another, three in all.
    """
    config = facts.config(Path(spec.path))
    arguments = command.arguments(spec, on, config)
    for _ in range(PORTS):
        process = ServerProcess(
            "vllm",
            command.MODULE,
            arguments,
            binds=True,
            python=str(interpreter),
            environment=command.environment(on, config),
            log_name=f"vllm-{_UNSAFE.sub('-', spec.id)[-80:]}",
        )
        servers.started(spec.id, process)
        try:
            process.wait_ready(http, TIMEOUT_S, server_log.Stages(on_progress).line, is_cancelled)
            if _is_ours(process, http, spec.id):
                return process
        except EngineDied as error:
            if not server_log.PORT_TAKEN.search(process.log_text()):
                raise refusal(spec, process, error) from None
        finally:
            if not process.alive:
                servers.stop(spec.id)
        servers.stop(spec.id)
    raise EngineUnavailable(
        f"vLLM could not get a port: {PORTS} were taken by other programs before it was ready.", hint="Run again."
    )


def models(process: ServerProcess, http: httpx.Client) -> list[dict[str, Any]]:
    """What the server says it serves."""
    answer = http.get(f"{process.url}/v1/models", headers=client.authorization(process.key), timeout=10.0)
    return list(answer.raise_for_status().json()["data"])


def _is_ours(process: ServerProcess, http: httpx.Client, variant: str) -> bool:
    """Whether what answers on the port is this process, and not another server that took it."""
    try:
        return variant in [row["id"] for row in models(process, http)]
    except (httpx.HTTPError, json.JSONDecodeError, KeyError, TypeError):
        return False


def refusal(spec: LoadSpec, process: ServerProcess, error: EngineDied) -> PlaygroundError:
    """Why a server ended before its first answer: in vLLM's own sentence where it wrote one, else `error`."""
    said = server_log.rejection(process.log_text())
    tail = server_log.tail(process.log_text())
    if not said:
        return error
    if _NO_MEMORY.search(said):
        return OutOfMemory(f"{spec.id} does not fit into vLLM: {said}", hint="Unload another variant.", log_tail=tail)
    return UnsupportedModel(
        f"vLLM does not run {spec.id} here: {said}", hint="Choose another engine or another variant.", log_tail=tail
    )


# Memory of vLLM's processes, and what one more will need. On a GPU the driver's own tool is asked.


def needed(weight_bytes: int, on: Device) -> int:
    """Bytes a server of such weights takes: its share of the GPU, or weights, KV cache and processes in RAM."""
    if on == "cuda":
        return int(settings().vllm_memory_share * gpu()[1])
    return weight_bytes + settings().vllm_kv_cache_gb * 2**30 + PROCESS_BYTES


def free(on: Device) -> int:
    return gpu()[0] if on == "cuda" else machine.memory().available


def gpu() -> tuple[int, int]:
    """(free, total) bytes of the first GPU; zeros where nvidia-smi does not answer, so that vLLM itself decides."""
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        query = ["nvidia-smi", "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"]
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout
        left, total = answer.splitlines()[0].split(",")
        return int(left) * 2**20, int(total) * 2**20
    return 0, 0


def of_processes(pid: int) -> int:
    """Bytes of RAM that `pid` and its children hold, shared pages counted once where the system tells (Linux)."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                found = process.memory_full_info()
                total += int(getattr(found, "pss", found.rss))
    return total


# What vLLM measured of one request: the difference of its Prometheus histograms before and after it.


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
