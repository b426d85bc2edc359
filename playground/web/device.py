"""One line about the machine: what is known, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playground import machine
from playground.engines.base import Engine


def device_line(engine: Engine) -> str:
    """ "CPU · 2 cores · 29 GB/s · 3.1 of 23 GB used". Never measures, never waits for an engine to start."""
    health = getattr(engine, "health", lambda: None)()
    return words(machine.known(), machine.memory(), machine.cores(), health)


def words(
    probe: machine.Probe | None, memory: machine.Memory, cores: int, health: Mapping[str, Any] | None = None
) -> str:
    """The line from its facts. A GPU's memory is known while its engine runs, a CPU's always."""
    device = probe.device if probe else str(health["device"]) if health else ""
    parts = [probe.name if probe and device == "cuda" else {"cpu": "CPU", "mps": "Apple GPU"}.get(device, device)]
    if device == "cpu":
        parts.append(f"{cores} core{'s' if cores > 1 else ''}")
    if probe and probe.bandwidth:
        parts.append(f"{probe.bandwidth / 1e9:.0f} GB/s")
    if device == "cuda" and health:
        parts.append(_used(health["memory_used_bytes"], health["memory_total_bytes"]))
    elif device != "cuda":
        parts.append(_used(memory.total - memory.available, memory.total))
    return " · ".join(part for part in parts if part)


def _used(used: float, total: float) -> str:
    return f"{used / 1e9:.1f} of {total / 1e9:.0f} GB used"
