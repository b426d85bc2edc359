"""One job as the page shows it: its events added up, read once each, never the whole file again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from playground.store.schema import Job

MAX_POINTS = 240  # of a memory curve: more than its pixels
MAX_LAYERS = 1200
MAX_NOTES = 20
ETA_AFTER_S = 2.0  # of one stage, before anything can be said


@dataclass(slots=True)
class View:
    """What the events of a job say so far."""

    position: int = 0
    stage: Mapping[str, Any] = field(default_factory=dict)
    _begun: tuple[float, float] = (0.0, 0.0)  # of this stage: when, and how much was done then
    stages: list[str] = field(default_factory=list)
    layers: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    memory: list[tuple[float, int]] = field(default_factory=list)
    peak: int = 0
    notes: list[str] = field(default_factory=list)
    _every: int = 1
    _skipped: int = 0

    def take(self, events: Iterable[Mapping[str, Any]], position: int) -> None:
        """Add what was read up to `position`."""
        for event in events:
            match event.get("kind"):
                case "stage":
                    self._at_stage(event)
                case "layer":
                    found = self.layers.setdefault(str(event["what"]), [])
                    if len(found) < MAX_LAYERS:
                        found.append((str(event["name"]), float(event["error"])))
                case "memory":
                    self._at_memory(float(event["at"]), int(event["bytes"]))
                case "note" if len(self.notes) < MAX_NOTES:
                    self.notes.append(str(event["text"]))
        self.position = position

    def _at_stage(self, event: Mapping[str, Any]) -> None:
        if event.get("stage") != self.stage.get("stage"):
            self.stages.append(str(event["stage"]))
            self._begun = (float(event["at"]), float(event["done"]))
        self.stage = event

    def _at_memory(self, at: float, count: int) -> None:
        """Keeps every point, then every second one, and so on: the curve's shape at a bounded size."""
        self.peak = max(self.peak, count)
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        self.memory.append((round(at, 1), count))
        if len(self.memory) > MAX_POINTS:
            self.memory, self._every = self.memory[::2], self._every * 2

    def left_s(self) -> float | None:
        """Of the stage that runs, at its pace so far."""
        done, total = float(self.stage.get("done") or 0), float(self.stage.get("total") or 0)
        began, first = self._begun
        spent = float(self.stage.get("at") or 0) - began
        if done <= first or total <= done or spent < ETA_AFTER_S:
            return None
        return spent * (total - done) / (done - first)


def shown(job: Job, view: View, ahead: int, words: Mapping[str, Any], log: str | None = None) -> dict[str, Any]:
    """The job for the page. `ahead`: how many of its device come before it. `words`: what it is asked to do, as the
    page of its kind says it: at least "title", "model" and "words".
    """
    error = job.failure
    now = job.ended_at or time.time()
    return {
        "id": job.id,
        **words,
        "state": job.state,
        "device": job.device,
        "ahead": ahead,
        "stopping": job.cancelled_at is not None,
        "created": job.created_at,
        "elapsed_s": None if job.started_at is None else round(now - job.started_at, 1),
        "stage": [view.stage["stage"], view.stage["done"], view.stage["total"], view.stage["unit"]]
        if view.stage
        else None,
        "left_s": view.left_s() if job.state == "running" else None,
        "layers": [[what, found] for what, found in view.layers.items()],
        "memory": view.memory,
        "peak": view.peak or None,
        "notes": view.notes,
        "error": [error.message, error.hint] if error else None,
        "log": log if log is not None else (error.log_tail if error else None) or None,
    }
