"""Facts of this machine, read without torch: cores, memory, CPU, versions, and the stored memory bandwidth.

What only torch knows (the device, its memory and bandwidth) comes from a probe in a child process. Its result is cached
under a key of hardware facts, so that a cache copied from another machine is not used. Limits of a container are read
from control groups, version 2 and version 1.
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
    """RAM that this process may use, in bytes, and what sets the limit."""

    total: int
    available: int
    limit: Literal["machine", "cgroup"] = "machine"


@dataclass(frozen=True, slots=True)
class Probe:
    """torch's best device. Memory in bytes; `bandwidth` in bytes/s as measured, None where that failed."""

    device: Literal["cuda", "mps", "cpu"]
    name: str
    memory_total: int
    memory_free: int
    torch: str
    threads: int
    bandwidth: float | None
    capability: str | None = None


def cores() -> int:
    """Logical cores that this process may use: its CPU affinity, limited by a container's quota rounded up."""
    process = psutil.Process()
    allowed = len(process.cpu_affinity() or ()) if hasattr(process, "cpu_affinity") else 0
    count = allowed or os.cpu_count() or 1
    quota = cpu_quota(own_groups())
    return count if quota is None else max(1, min(count, -int(-quota // 1)))


def memory() -> Memory:
    """RAM of the machine, or of the container if its limit is lower."""
    machine = psutil.virtual_memory()
    return tightest(int(machine.total), int(machine.available), memory_limits(own_groups()))


def held_by_children() -> int:
    """RSS of this process's descendants (engines and jobs), in bytes."""
    return resident(psutil.Process().children(recursive=True))


def resident(processes: Iterable[psutil.Process]) -> int:
    """RSS of those processes that still exist, in bytes."""
    total = 0
    for child in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += int(child.memory_info().rss)
    return total


def tightest(total: int, available: int, limits: list[tuple[int, int]]) -> Memory:
    """The memory under cgroup limits `(limit, used)`, in bytes. A limit at or above the machine's RAM is ignored."""
    limited = [(limit, used) for limit, used in limits if limit < total]
    if not limited:
        return Memory(total, available)
    remaining = min(limit - used for limit, used in limited)
    return Memory(min(limit for limit, _ in limited), max(0, min(available, remaining)), "cgroup")


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
    """The CPU's model name; the architecture where there is none (arm64 Linux)."""
    if name := _cpuinfo().get("model name"):
        return name
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            brand = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(brand, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    return platform.processor() or platform.machine()


def cpu_flags() -> tuple[str, ...]:
    """The CPU's instruction sets among those that select matrix kernels."""
    present = set((_cpuinfo().get("flags") or _cpuinfo().get("Features") or "").split())
    return tuple(flag for flag in _FLAGS + _ARM_FLAGS if flag in present)


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """The installed version of each package from its metadata, without importing it; None if it is not installed."""
    return {package: _version(package) for package in packages}


@cache
def _version(package: str) -> str | None:
    """Cached: the page asks for each engine of each variant, and a new package needs a restart anyway."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpus() -> list[str]:
    """The NVIDIA GPUs as the driver lists them."""
    models = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    with contextlib.suppress(OSError):
        return [line for file in models for line in file.read_text().splitlines() if line.startswith("Model")]
    return [str(len(models))]


def key() -> str:
    """A hash of the hardware and torch's version; it does not contain the host's name."""
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
    """The stored probe of this machine, None without one; never measures."""
    try:
        stored = json.loads(_cache().read_bytes())
        return Probe(**stored["probe"]) if stored["key"] == key() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def bandwidth() -> float | None:
    """The stored memory bandwidth of the device in bytes/s, None without one; never measures."""
    stored = known()
    return stored.bandwidth if stored else None


def probe(*, again: bool = False) -> Probe:
    """The stored probe; without one, or with `again`, a new one. It imports torch in a child process, which takes a few
    seconds. Raises EngineUnavailable.

    The highest bandwidth ever measured on this hardware is kept, because a busy machine measures too little.
    """
    stored = known()
    if stored is not None and not again:
        return stored
    fresh = _ask_torch()
    if stored is not None and stored.device == fresh.device:
        fresh = replace(fresh, bandwidth=max((b for b in (stored.bandwidth, fresh.bandwidth) if b), default=None))
    with contextlib.suppress(OSError):  # without a writable cache the next caller measures again
        _store({"key": key(), "probe": asdict(fresh)})
    return fresh


def device_facts(device: str = "") -> dict[str, Any]:
    """The device's facts in a stored run. Raises EngineUnavailable.

    device  as the engine reports it. For a CPU nothing is measured: the bandwidth is None if it is not stored. For
            another or an empty device, `probe` is called.
    """
    device_probe = known() if device.startswith("cpu") else probe()
    return {
        "device": device_probe.device if device_probe else "cpu",
        "name": device_probe.name if device_probe else cpu_name(),
        "cores": cores(),
        "memory": memory().total,
        "bandwidth": device_probe.bandwidth if device_probe else None,
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
    """Runnable threads per core in the last minute; 0 where the system does not report it."""
    return os.getloadavg()[0] / cores() if hasattr(os, "getloadavg") else 0.0


# Limits of a container.


def own_groups() -> dict[str, str]:
    """The path of this process's control group, by controller; "" is that of cgroup v2."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    fields = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    return {controller: path for _, names, path in fields for controller in names.split(",")}


def _ancestors(root: Path, group: str) -> list[Path]:
    """The folders of a control group and its ancestors, any of which may set a limit."""
    innermost = root / group.strip("/")
    return [innermost, *(parent for parent in innermost.parents if parent.is_relative_to(root))]


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # absent, or "max"
        return None


def _reclaimable(path: Path, name: str) -> int:
    """Bytes of reclaimable page cache, which a control group counts as used."""
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(f"{name} "):
                return int(line.split()[1])
    return 0


def memory_limits(groups: dict[str, str], root: Path = ROOT) -> list[tuple[int, int]]:
    """`(limit, used)` in bytes of every group with a memory limit; `used` is without reclaimable page cache."""
    limits = []
    files = [
        *((group, "memory.max", "memory.current", "inactive_file") for group in _ancestors(root, groups.get("", "/"))),
        *(
            (group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            for group in _ancestors(root / "memory", groups.get("memory", "/"))
        ),
    ]
    for group, limit_name, used_name, cache_name in files:
        limit, used = _number(group / limit_name), _number(group / used_name)
        if limit is not None and used is not None:
            limits.append((limit, max(0, used - _reclaimable(group / "memory.stat", cache_name))))
    return limits


def cpu_quota(groups: dict[str, str], root: Path = ROOT) -> float | None:
    """The lowest CPU quota of all groups, in cores; None without one."""
    quotas = []
    for group in _ancestors(root, groups.get("", "/")):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()
            quotas.append(int(quota) / int(period))
    for group in _ancestors(root / "cpu", groups.get("cpu", "/")):
        limit, span = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if limit is not None and limit > 0 and span:
            quotas.append(limit / span)
    return min(quotas, default=None)
