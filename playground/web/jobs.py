"""The jobs of a page and their progress, read from the store, so that a restart loses nothing.

Each event of a job is read once. Callable from one thread at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from playground.errors import UnknownJob
from playground.jobs.kinds import Spec
from playground.store.jobs import ahead
from playground.store.schema import Job

ENDED_SHOWN = 6  # jobs that ended without a result; older ones are in `playground jobs list`
LOG_LINES = 80
Jobs = list[Job]
Events = list[dict[str, Any]]
MAX_POINTS = 240  # of a memory curve: more than its width in pixels
MAX_LAYERS = 1200
MAX_NOTES = 20
ETA_AFTER_S = 2.0  # seconds of a stage before its remaining time is estimated


class Queue(Protocol):
    """The part of `jobs.queue.JobQueue` that the pages use."""

    def submit(self, spec: Spec, device: str = "cpu") -> str: ...

    def again(self, job_id: str) -> str: ...

    def list(self) -> Jobs: ...

    def get(self, job_id: str) -> Job: ...

    def cancel(self, job_id: str) -> None: ...

    def events(self, job_id: str, position: int = 0) -> tuple[Events, int]: ...

    def log(self, job_id: str, lines: int = 20) -> str: ...

    def close(self) -> None: ...


class JobCards:
    """The cards of all jobs of some kinds.

    words   returns the description of a job: "title", "model", "words", and further keys for the page
    public  returns the part of a job's card that visitors may see
    """

    def __init__(
        self,
        queue: Queue,
        kinds: Collection[str],
        words: Callable[[Job], Mapping[str, Any]],
        public: Callable[[Job, dict[str, Any]], dict[str, Any]] = lambda _, card: card,
    ) -> None:
        self._queue, self._kinds, self._words, self._public = queue, frozenset(kinds), words, public
        self._views: dict[str, View] = {}

    def rows(self, logs: Collection[str], owner: bool, replaced: Callable[[Job], bool]) -> dict[str, Any]:
        """Return the active jobs in their order, then the newest ended ones; "older" counts the rest.

        logs      ids of jobs whose log is included; only for the owner
        replaced  returns whether the page shows the job's result instead of the job
        """
        all_jobs = self._queue.list()
        unfinished = [job for job in all_jobs if not job.over]  # of every page: they share the devices
        jobs = [job for job in all_jobs if job.kind in self._kinds]
        active = [job for job in jobs if not job.over]
        ended = [job for job in jobs if job.over and not (job.state == "done" and replaced(job))]
        shown_jobs = [*active[::-1], *ended[:ENDED_SHOWN]]  # the oldest of the active runs first
        self._views = {job.id: self._views.get(job.id) or View() for job in shown_jobs}
        for job in shown_jobs:
            view = self._views[job.id]
            view.take(*self._queue.events(job.id, view.position))
        return {
            "jobs": [self._card(job, ahead(job, unfinished), logs, owner) for job in shown_jobs],
            "older": max(0, len(ended) - ENDED_SHOWN),
            "active": bool(active),
        }

    def _card(self, job: Job, before: int, logs: Collection[str], owner: bool) -> dict[str, Any]:
        card = job_card(job, self._views[job.id], before, self._words(job), self._log(job.id, logs, owner))
        return card if owner else self._public(job, card)

    def _log(self, job_id: str, logs: Collection[str], owner: bool) -> str | None:
        if not owner:
            return ""
        if job_id not in logs:
            return None
        try:
            return self._queue.log(job_id, LOG_LINES)
        except UnknownJob:
            return None


# One job.


@dataclass(slots=True)
class View:
    """The state of a job, aggregated from its events."""

    position: int = 0
    stage: Mapping[str, Any] = field(default_factory=dict)
    _begun: tuple[float, float] = (0.0, 0.0)  # start of the current stage in seconds, and units done at the start
    stages: list[str] = field(default_factory=list)
    layers: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    memory: list[tuple[float, int]] = field(default_factory=list)
    peak: int = 0
    notes: list[str] = field(default_factory=list)
    _every: int = 1
    _skipped: int = 0

    def take(self, events: Iterable[Mapping[str, Any]], position: int) -> None:
        """Add events that were read up to byte `position`."""
        for event in events:
            match event.get("kind"):
                case "stage":
                    self._at_stage(event)
                case "layer":
                    rows = self.layers.setdefault(str(event["what"]), [])
                    if len(rows) < MAX_LAYERS:
                        rows.append((str(event["name"]), float(event["error"])))
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
        """Add a point, and keep only every second one whenever there are more than MAX_POINTS."""
        self.peak = max(self.peak, count)
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        self.memory.append((round(at, 1), count))
        if len(self.memory) > MAX_POINTS:
            self.memory, self._every = self.memory[::2], self._every * 2

    def left_s(self) -> float | None:
        """Return the remaining seconds of the current stage at its pace so far; None if they cannot be estimated."""
        done, total = float(self.stage.get("done") or 0), float(self.stage.get("total") or 0)
        began, first = self._begun
        spent = float(self.stage.get("at") or 0) - began
        if done <= first or total <= done or spent < ETA_AFTER_S:
            return None
        return spent * (total - done) / (done - first)


def job_card(job: Job, view: View, ahead: int, words: Mapping[str, Any], log: str | None = None) -> dict[str, Any]:
    """Return the JSON of a job's card.

    ahead  number of jobs before it on its device
    words  description of the job by the page of its kind: at least "title", "model" and "words"
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
        "layers": [[what, rows] for what, rows in view.layers.items()],
        "memory": view.memory,
        "peak": view.peak or None,
        "notes": view.notes,
        "error": [error.message, error.hint] if error else None,
        "log": log if log is not None else (error.log_tail if error else None) or None,
    }
