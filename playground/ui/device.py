"""One line about the machine: what is known, nothing else."""

from __future__ import annotations

from typing import Any


def device_line(engine: Any) -> str:
    return ""
