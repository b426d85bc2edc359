"""Print what torch reports of this machine as a JSON line: `python -m playground.engines.host.probe`.

Memory bandwidth is the best of several passes over an array much larger than the caches. Decoding reads every weight
once per token, so MBU (memory bandwidth utilization) is relative to it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

import torch

from playground.machine import Probe, cpu_name, memory

CPU_BYTES = 512 * 2**20
DEVICE_BYTES = 2**30
REPEATS = 7


def best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _seconds(device: torch.device, read: Callable[[], object]) -> float:
    """Return the seconds of one call of `read`, on CUDA by the device's clock."""
    if device.type == "cuda":
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        read()
        end.record()
        torch.cuda.synchronize(device)
        return float(start.elapsed_time(end)) / 1e3
    began = time.perf_counter()
    read()
    if device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - began


def bandwidth(device: torch.device, free: int) -> float | None:
    """Return bytes/s of the fastest pass over at most an eighth of the free memory; None if that is below 64 MiB."""
    size = min(CPU_BYTES if device.type == "cpu" else DEVICE_BYTES, free // 8) // 4096 * 4096
    if size < 64 * 2**20:
        return None
    array = torch.ones(size // 4, dtype=torch.float32, device=device)
    passes: list[tuple[int, Callable[[], object]]] = [(size, array.sum)]
    if device.type == "cpu":
        passes.append((size, array.view(torch.int64).sum))
    else:
        half = size // 8
        target, source = array[:half], array[half:]
        passes.append((size, lambda: target.copy_(source)))  # half is read, half is written
    best = 0.0
    for bytes_moved, read in passes:
        read()
        best = max(best, bytes_moved / min(_seconds(device, read) for _ in range(REPEATS)))
    return best


def probe() -> Probe:
    device = best_device()
    capability = None
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        free, total = torch.cuda.mem_get_info(device)
        capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
    elif device.type == "mps":
        name, total = cpu_name(), int(torch.mps.recommended_max_memory())
        free = total - int(torch.mps.driver_allocated_memory())
    else:
        ram = memory()
        name, total, free = cpu_name(), ram.total, ram.available
    return Probe(
        device=device.type,
        name=name,
        memory_total=int(total),
        memory_free=int(free),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        bandwidth=bandwidth(device, int(free)),
        capability=capability,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(probe())))
    sys.exit(0)
