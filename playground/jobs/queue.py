"""The queue as the page and the command line use it. The jobs are in the store; here are the threads that run them.

Several processes on one home may each have a queue: a job runs once, and one per device, because its worker takes the
device's lock and then the job.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from playground import machine
from playground.errors import StoreUnavailable
from playground.jobs import ending, report
from playground.jobs.kinds import Spec
from playground.jobs.runner import IDLE_S, WORKER, BeforeStart, Runner, log
from playground.store import folders, jobs
from playground.store.schema import Job

Events = list[dict[str, Any]]
NICE = 5  # whoever chats with a model while a job runs goes first


class JobQueue:
    """Runs queued jobs, one per device at a time, in order of arrival, from its making to `close`.

    Jobs that an earlier process left running are followed to their end; those whose worker is gone too are marked
    interrupted. Every method may be called from any thread, and returns at once but `close`.

    before_start  called before a job begins: the place to unload idle engines. What it raises fails the job
    worker        module that runs a job
    nice          added to a worker's niceness
    """

    def __init__(self, *, before_start: BeforeStart | None = None, worker: str = WORKER, nice: int = NICE) -> None:
        self._before_start, self._worker, self._nice = before_start, worker, nice
        self._runners: dict[str, Runner] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="jobs", daemon=True)
        self._thread.start()

    def __enter__(self) -> JobQueue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, spec: Spec, device: str = "cpu") -> str:
        """Queue a job; its id."""
        job = submit(spec, device)
        self._run(job.device)
        return job.id

    def again(self, job_id: str) -> str:
        """Queue the same once more; the new job's id. Raises UnknownJob."""
        job = again(job_id)
        self._run(job.device)
        return job.id

    def list(self) -> list[Job]:
        """Newest first."""
        return jobs.all_jobs()[::-1]

    def get(self, job_id: str) -> Job:
        """Raises UnknownJob."""
        return jobs.get(job_id)

    def cancel(self, job_id: str) -> None:
        """Ask for a job's end; within 10 s it is over. Raises UnknownJob."""
        ending.cancel(job_id, wait=False)
        self._run(jobs.get(job_id).device)

    def events(self, job_id: str, position: int = 0) -> tuple[Events, int]:
        """What the worker told after `position`, and the position of what comes next (`jobs.report`)."""
        return report.read(folders.job(job_id), position)

    def log(self, job_id: str, lines: int = ending.LOG_LINES) -> str:
        """The last lines that the worker printed."""
        return ending.log_tail(job_id, lines)

    def close(self) -> None:
        """Stop following. A worker that is this process's to end is ended, and its job marked interrupted."""
        self._closing.set()
        self._thread.join()
        runners = list(self._runners.values())
        threads = [threading.Thread(target=runner.close) for runner in runners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _watch(self) -> None:
        """Sees the devices that another process has queued jobs for."""
        swept = False
        while True:
            try:
                if not swept:
                    ending.sweep()
                    swept = True
                for job in jobs.all_jobs(("queued", "running")):
                    self._run(job.device)
            except (SQLAlchemyError, OSError, StoreUnavailable):
                log.exception("The queue cannot be read")
            if self._closing.wait(IDLE_S):
                return

    def _run(self, device: str) -> None:
        with self._lock:
            if self._closing.is_set():
                return
            if device not in self._runners:
                self._runners[device] = Runner(
                    device, worker=self._worker, before_start=self._before_start, nice=self._nice
                )
                self._runners[device].start()
            self._runners[device].wake()


def best_device() -> str:
    """Where a job runs unless it is told: the device that torch calls its best. A few seconds where nobody has asked
    it yet. Raises EngineUnavailable.
    """
    found = machine.probe().device
    return f"{found}:0" if found == "cuda" else found


def again(job_id: str) -> Job:
    """Put the same into the store once more. Raises UnknownJob."""
    job = jobs.get(job_id)
    return jobs.add(job.kind, job.title, job.spec, job.device)


def submit(spec: Spec, device: str = "cpu") -> Job:
    """Put a job into the store; whichever queue of this home sees it runs it."""
    return jobs.add(spec.kind, spec.title, spec.as_dict(), device)
