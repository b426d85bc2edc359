"""A queue without workers: the test says what the worker of a job would."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import Any

from playground.errors import PlaygroundError, UnknownJob, to_wire
from playground.jobs.kinds import Spec
from playground.store.schema import Job, State

Jobs = list[Job]
Events = list[dict[str, Any]]


@dataclass
class FakeQueue:
    """`jobs.queue.JobQueue` in memory. Jobs stay queued until `start`, and run until `end`."""

    jobs: dict[str, Job] = field(default_factory=dict)
    told: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    refusal: PlaygroundError | None = None
    closed: bool = False
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def submit(self, spec: Spec, device: str = "cpu") -> str:
        if self.refusal:
            raise self.refusal
        return self._add(spec.kind, spec.title, spec.model_dump(mode="json"), device)

    def again(self, job_id: str) -> str:
        job = self.get(job_id)
        return self._add(job.kind, job.title, job.spec, job.device)

    def _add(self, kind: str, title: str, spec: dict[str, Any], device: str) -> str:
        job_id = f"job{next(self._numbers)}"
        self.jobs[job_id] = Job(
            id=job_id, kind=kind, title=title, spec=spec, device=device, state="queued", created_at=time.time()
        )
        self.told[job_id] = []
        return job_id

    def list(self) -> Jobs:
        return list(self.jobs.values())[::-1]

    def get(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise UnknownJob(f"There is no job {job_id!r}.", hint="List them.")
        return self.jobs[job_id]

    def cancel(self, job_id: str) -> None:
        job = self.get(job_id)
        if job.state == "queued":
            self.end(job_id, "cancelled")
        elif not job.over:
            job.cancelled_at = time.time()

    def events(self, job_id: str, position: int = 0) -> tuple[Events, int]:
        found = self.told[job_id]
        return found[position:], len(found)

    def log(self, job_id: str, lines: int = 20) -> str:
        return "\n".join(self.logs.get(job_id, "").splitlines()[-lines:])

    def close(self) -> None:
        self.closed = True

    # ---- the worker's side
    def start(self, job_id: str, *, ago: float = 0.0) -> None:
        """The job runs, since `ago` seconds."""
        job = self.get(job_id)
        job.state, job.started_at = "running", time.time() - ago

    def tell(self, job_id: str, kind: str, at: float = 0.0, **values: Any) -> None:
        """One event, as `jobs.progress` writes it."""
        self.told[job_id].append({"at": at, "kind": kind, **values})

    def stage(self, job_id: str, name: str, done: float = 0, total: float = 0, unit: str = "", at: float = 0.0) -> None:
        self.tell(job_id, "stage", at, stage=name, done=done, total=total, unit=unit)

    def end(
        self, job_id: str, state: State, error: PlaygroundError | None = None, result: dict[str, Any] | None = None
    ) -> None:
        job = self.get(job_id)
        job.state, job.ended_at, job.result = state, time.time(), result
        job.error = to_wire(error) if error else None
