"""Memory of vLLM's processes, and what one more will need. On a GPU the driver's own tool is asked."""

from __future__ import annotations

import contextlib
import subprocess

import psutil

from playground import machine
from playground.engines.vllm.command import Device
from playground.settings import settings

# Three Python processes with torch in each: 3.0 GB (proportional set size) less 1 GiB of KV cache and 0.27 GB of
# weights, read on Linux with the CPU build 0.32 right after a start.
PROCESS_BYTES = 1_650_000_000


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
