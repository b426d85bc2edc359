"""Facts of this machine, read without torch: cores, memory, CPU, versions, and the measured bandwidth once it is known.

What only torch can tell (device, its memory, its bandwidth) comes from a probe in a child process. Its answer is cached
under a key of hardware facts, so that a cache folder moved to another machine is not believed. The limits that a
container sets are read from control groups of version 2 and of version 1.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import psutil

from playground import process
from playground.files import write_whole
from playground.settings import settings

PROBE_MODULE = "playground.engines.host.probe"
PROBE_TIMEOUT_S = 120.0
PACKAGES = (
    "torch",
    "transformers",
    "bitsandbytes",
    "compressed-tensors",
    "llmcompressor",
    "lm-eval",
    "gguf",
    "accelerate",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "gradio",
)
_FORMAT = 1  # raise it when the probe measures differently
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8")
_ARM_FLAGS = ("asimddp", "i8mm", "bf16", "sve", "sve2")
ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of RAM this process may use, and who sets the limit."""

    total: int
    available: int
    limit: Literal["machine", "cgroup"] = "machine"


@dataclass(frozen=True, slots=True)
class Probe:
    """What torch said of its best device. `bandwidth` is measured, bytes/s; None where it could not be."""

    device: Literal["cuda", "mps", "cpu"]
    name: str
    memory_total: int
    memory_free: int
    torch: str
    threads: int
    bandwidth: float | None
    capability: str | None = None


def cores() -> int:
    """Logical cores this process may run on: its affinity, and a container's CPU quota rounded up."""
    process = psutil.Process()
    allowed = len(process.cpu_affinity() or ()) if hasattr(process, "cpu_affinity") else 0
    count = allowed or os.cpu_count() or 1
    quota = cpu_quota(own_groups())
    return count if quota is None else max(1, min(count, -int(-quota // 1)))


def memory() -> Memory:
    """RAM of the machine, or of the container where that is tighter."""
    machine = psutil.virtual_memory()
    return tightest(int(machine.total), int(machine.available), memory_limits(own_groups()))


def held_by_children() -> int:
    """Bytes of RAM of the processes that this one started: engines and jobs."""
    return resident(psutil.Process().children(recursive=True))


def resident(processes: Iterable[psutil.Process]) -> int:
    """Bytes of RAM of those that are still there."""
    found = 0
    for child in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            found += int(child.memory_info().rss)
    return found


def tightest(total: int, available: int, limits: list[tuple[int, int]]) -> Memory:
    """The memory under cgroup limits `(limit, used)`; a limit at or above the machine's RAM is none."""
    inside = [(limit, used) for limit, used in limits if limit < total]
    if not inside:
        return Memory(total, available)
    left = min(limit - used for limit, used in inside)
    return Memory(min(limit for limit, _ in inside), max(0, min(available, left)), "cgroup")


@lru_cache(maxsize=1)
def _cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


@lru_cache(maxsize=1)
def cpu_name() -> str:
    """The CPU as its maker calls it; the architecture where nobody says more (arm64 Linux)."""
    if name := _cpuinfo().get("model name"):
        return name
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            brand = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(brand, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    return platform.processor() or platform.machine()


def cpu_flags() -> tuple[str, ...]:
    """The instruction sets that decide which matrix kernels a CPU gets."""
    present = set((_cpuinfo().get("flags") or _cpuinfo().get("Features") or "").split())
    return tuple(flag for flag in _FLAGS + _ARM_FLAGS if flag in present)


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """Installed version of each package, from its metadata: nothing is imported."""
    return {package: _version(package) for package in packages}


@cache
def _version(package: str) -> str | None:
    """Asked once: a page asks for each engine of each variant, and what is installed stays as it was at the start."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpus() -> list[str]:
    """What a driver shows of NVIDIA GPUs, so that another card is another machine."""
    models = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    with contextlib.suppress(OSError):
        return [line for file in models for line in file.read_text().splitlines() if line.startswith("Model")]
    return [str(len(models))]


def key() -> str:
    """Names this hardware under this torch, without naming the host."""
    facts = [
        _FORMAT,
        platform.system(),
        platform.machine(),
        cpu_name(),
        cores(),
        round(psutil.virtual_memory().total / 2**30),
        _gpus(),
        os.environ.get("CUDA_VISIBLE_DEVICES"),
        versions(("torch",))["torch"],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _cache() -> Path:
    return settings().cache / "machine.json"


def known() -> Probe | None:
    """The stored probe of this machine; never measures."""
    try:
        stored = json.loads(_cache().read_bytes())
        return Probe(**stored["probe"]) if stored["key"] == key() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def bandwidth() -> float | None:
    """Measured memory bandwidth of the device, bytes/s, if it is known; never measures."""
    found = known()
    return found.bandwidth if found else None


def probe(*, again: bool = False) -> Probe:
    """The stored probe, or a new one: torch in a child process, a few seconds. Raises EngineUnavailable.

    The best bandwidth ever read on this hardware is kept: a busy machine only ever measures too little.
    """
    found = known()
    if found is not None and not again:
        return found
    fresh = _ask_torch()
    if found is not None and found.device == fresh.device:
        fresh = replace(fresh, bandwidth=max((b for b in (found.bandwidth, fresh.bandwidth) if b), default=None))
    with contextlib.suppress(OSError):  # a read-only home costs the next caller a measurement, nothing else
        _store({"key": key(), "probe": asdict(fresh)})
    return fresh


def described(device: str = "") -> dict[str, Any]:
    """What a run keeps of where it was measured. Raises EngineUnavailable.

    device  where an engine says that it computed. Of a CPU nothing is measured then: its bandwidth is null where it is
            not known yet. Without it, or of a GPU, torch is asked once.
    """
    found = known() if device.startswith("cpu") else probe()
    return {
        "device": found.device if found else "cpu",
        "name": found.name if found else cpu_name(),
        "cores": cores(),
        "memory": memory().total,
        "bandwidth": found.bandwidth if found else None,
    }


def _ask_torch() -> Probe:
    return process.ask(
        PROBE_MODULE,
        lambda row: Probe(**row),
        PROBE_TIMEOUT_S,
        late="torch did not describe its device",
        failed="torch cannot be used here",
    )


def _store(entry: dict[str, Any]) -> None:
    write_whole(_cache(), json.dumps(entry, indent=1))


def busy() -> float:
    """Runnable threads per core in the last minute; 0 where a system does not say."""
    return os.getloadavg()[0] / cores() if hasattr(os, "getloadavg") else 0.0


# Limits of a container.


def own_groups() -> dict[str, str]:
    """Controller → path of this process's control group; "" is the one of cgroup v2."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    fields = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    return {controller: path for _, names, path in fields for controller in names.split(",")}


def _up(root: Path, own: str) -> list[Path]:
    """The folder of a control group and of everything above it: any of them may set the limit."""
    inside = root / own.strip("/")
    return [inside, *(parent for parent in inside.parents if parent.is_relative_to(root))]


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # absent, or "max"
        return None


def _reclaimable(path: Path, name: str) -> int:
    """Page cache that a control group counts as used, though it gives way."""
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(f"{name} "):
                return int(line.split()[1])
    return 0


def memory_limits(groups: dict[str, str], root: Path = ROOT) -> list[tuple[int, int]]:
    """`(limit, used)` in bytes of every group with a memory limit, reclaimable page cache left out."""
    found = []
    places = [
        *((where, "memory.max", "memory.current", "inactive_file") for where in _up(root, groups.get("", "/"))),
        *(
            (where, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            for where in _up(root / "memory", groups.get("memory", "/"))
        ),
    ]
    for where, limit_name, used_name, cache_name in places:
        limit, used = _number(where / limit_name), _number(where / used_name)
        if limit is not None and used is not None:
            found.append((limit, max(0, used - _reclaimable(where / "memory.stat", cache_name))))
    return found


def cpu_quota(groups: dict[str, str], root: Path = ROOT) -> float | None:
    """Cores' worth of CPU time the tightest group grants; None without a quota."""
    quotas = []
    for where in _up(root, groups.get("", "/")):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (where / "cpu.max").read_text().split()
            quotas.append(int(quota) / int(period))
    for where in _up(root / "cpu", groups.get("cpu", "/")):
        limit, span = _number(where / "cpu.cfs_quota_us"), _number(where / "cpu.cfs_period_us")
        if limit is not None and limit > 0 and span:
            quotas.append(limit / span)
    return min(quotas, default=None)
