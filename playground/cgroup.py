"""The limits a container sets on this process, read from control groups of version 2 and of version 1."""

from __future__ import annotations

import contextlib
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


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
