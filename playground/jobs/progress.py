"""The events of a worker: JSON lines, appended to `events.jsonl` in the job's folder and never rewritten.

{"at": seconds since the job began, "kind": "stage",    "stage": …, "done": …, "total": …, "unit": …}
{"at": …,                           "kind": "layer",    "name": …, "error": …, "what": …}
{"at": …,                           "kind": "memory",   "bytes": …}
{"at": …,                           "kind": "note",     "text": …}
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playground.core import Progress

EVENTS = "events.jsonl"


class Report:
    """Appends events to a job's folder. Callable from any thread."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / EVENTS).open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._peak = 0

    @property
    def peak_memory_bytes(self) -> int:
        """Return the highest value that `memory` has reported."""
        return self._peak

    def _write(self, kind: str, **values: Any) -> None:
        event = {"at": round(time.monotonic() - self._began, 3), "kind": kind, **values}
        with self._lock:
            self._file.write(json.dumps(event, allow_nan=False) + "\n")
            self._file.flush()

    def progress(self, item: Progress) -> None:
        """Report a stage and its progress; `total` 0 means that the length is unknown."""
        self._write("stage", stage=item.stage, done=item.done, total=item.total, unit=item.unit)

    def layer(self, name: str, error: float, what: str) -> None:
        """Report the error of a layer; `what` names the metric ("GPTQ loss", "relative weight error")."""
        self._write("layer", name=name, error=error, what=what)

    def memory(self, count: int) -> None:
        """Report the resident bytes of the worker and its children."""
        self._peak = max(self._peak, count)
        self._write("memory", bytes=count)

    def note(self, text: str) -> None:
        """Report a sentence for the user."""
        self._write("note", text=text)

    def close(self) -> None:
        self._file.close()


def read(folder: Path, position: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the events after byte `position`, and the position of the next. An incomplete last line is left out."""
    try:
        with (folder / EVENTS).open("rb") as file:
            file.seek(position)
            whole, newline, _ = file.read().rpartition(b"\n")
    except FileNotFoundError:
        return [], position
    return list(_parse(whole)), position + len(whole) + len(newline)


def _parse(lines: bytes) -> Iterator[dict[str, Any]]:
    for line in lines.splitlines():
        if line.strip():
            yield json.loads(line)


@dataclass(slots=True)
class Clock:
    """Measures the seconds of each stage."""

    laps: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _lap: float = field(default_factory=time.monotonic)

    def lap(self, name: str) -> None:
        """End the current stage and record its seconds under `name`."""
        now = time.monotonic()
        self.laps[name] = round(now - self._lap, 3)
        self._lap = now

    @property
    def total(self) -> float:
        return round(time.monotonic() - self._began, 3)
