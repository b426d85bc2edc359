"""Memory of the device, as the engine sees it: RSS on a CPU, allocated VRAM on a GPU."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

from playground import machine
from playground.settings import settings

_PROCESS = psutil.Process()
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK_RSS = "5"  # proc(5): resets VmHWM to the current RSS


class DeviceMemory:
    """Reads and frees the memory of one torch device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def settle(self) -> None:
        """Take what this thread's first product keeps for good, so that no variant's size includes it: cuBLAS has a
        workspace for each thread, 34 MB on an H100."""
        if self.device.type == "cuda":
            one = torch.ones(64, 64, device=self.device, dtype=torch.bfloat16)
            torch.nn.functional.linear(one, one)
            torch.nn.functional.linear(one, one, one[0])

    def used(self) -> int:
        """Bytes this process holds on the device."""
        if self.device.type == "cuda":
            return int(torch.cuda.memory_allocated(self.device))
        if self.device.type == "mps":
            return int(torch.mps.current_allocated_memory())
        return int(_PROCESS.memory_info().rss)

    def total(self) -> int:
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[1])
        if self.device.type == "mps":
            return int(torch.mps.recommended_max_memory())
        return int(psutil.virtual_memory().total)

    def free(self) -> int:
        """Bytes a load may still take: what the device has left, or what the user's limit leaves."""
        if self.device.type == "cuda":
            reusable = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
            left = int(torch.cuda.mem_get_info(self.device)[0]) + int(reusable)
        elif self.device.type == "mps":
            left = self.total() - int(torch.mps.driver_allocated_memory())
        else:
            left = machine.memory().available
        limit = settings().memory_limit
        return left if limit is None else min(left, limit - self.used())

    def reset_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif self.device.type == "cpu" and _CLEAR_REFS.exists():
            try:
                _CLEAR_REFS.write_text(_RESET_PEAK_RSS)
            except OSError:  # a container may forbid it; peak() then over-reports, which is the safe side
                return

    def peak(self) -> int:
        """Highest `used` since `reset_peak`; where the system keeps no such mark, the present use."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        if self.device.type == "cpu" and _STATUS.exists():
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return self.used()

    def synchronize(self) -> None:
        """Wait until the device has finished: a time stamp before this would only time the launch."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def release(self) -> None:
        """Give freed memory back to the system, so that the next reading is of what is really held."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()
        elif sys.platform == "linux":
            libc: Any = ctypes.CDLL(None)
            if hasattr(libc, "malloc_trim"):
                libc.malloc_trim(0)
