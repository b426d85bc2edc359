"""The queue of the page and the command line. Jobs are in the store; this module has the threads that run them.

Several processes on one home may each have a queue: a job runs once, and one at a time per device, because its worker
takes the device's lock and then claims the job.

A `Runner` starts the worker of a device's oldest job, follows it to its end, and continues with the next. The worker
does not need the runner: one that another process or an earlier run of the app started is followed in the same way.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from playground import machine, process
from playground.errors import PlaygroundError, StoreUnavailable
from playground.jobs import ending, progress
from playground.jobs.ending import explain
from playground.jobs.kinds import Spec
from playground.process import DATABASE_URL
from playground.settings import settings
from playground.store import folders, jobs
from playground.store.schema import Job

log = logging.getLogger(__name__)
WORKER = "playground.jobs.worker"
LOOK_S = 1.0  # interval of queries to the store for a cancellation by another process
POLL_S = 0.1  # interval of checks whether the worker has ended
IDLE_S = 1.0  # interval of queries for a job that another process has queued
GRACE_S = 1.0  # for the process that started a worker to record how it ended: only that one knows the exit status

BeforeStart = Callable[[Job], None]
Events = list[dict[str, Any]]
NICE = 5  # chatting with a model has priority over jobs


class Runner:
    """Runs the jobs of a device until `close`, or until the job `last` is over.

    worker        module of the worker
    before_start  called before a job begins, to free memory; if it raises, the job fails
    nice          added to the worker's niceness
    """

    def __init__(
        self,
        device: str,
        *,
        worker: str = WORKER,
        before_start: BeforeStart | None = None,
        nice: int = 0,
        last: str = "",
    ) -> None:
        self.device = device
        self._worker, self._nice, self._last = worker, nice, last
        self._before_start = before_start or (lambda _: None)
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"jobs on {device}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Query the store now: a job was queued or is to be cancelled."""
        self._wake.set()

    def wait(self, seconds: float) -> None:
        """Wait, but return early when the job `last` is over. If the thread has ended before, sleep."""
        if self._thread.is_alive():
            self._thread.join(seconds)
        else:
            time.sleep(seconds)

    def close(self) -> None:
        """Stop; a worker that this process started is ended and its job marked interrupted. Returns within 10 s."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                if self._last and jobs.get(self._last).over:
                    return
                if not self._step():
                    self._pause(IDLE_S)
            except (SQLAlchemyError, OSError, PlaygroundError):  # may be temporary: a full disk, for example
                log.exception("The queue of %s goes on after an error", self.device)
                self._closing.wait(IDLE_S)

    def _step(self) -> bool:
        """Run or follow one job to its end; False if there is none."""
        if running := jobs.first("running", self.device):
            self._follow(running)
        elif queued := jobs.first("queued", self.device):
            self._start(queued)
        else:
            return False
        return True

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _start(self, job: Job) -> None:
        try:
            self._before_start(job)
        except Exception as error:
            log.warning("Job %s is not begun", job.id, exc_info=error)
            ending.refuse(job.id, explain(error, folders.jobs()))
            return
        if self._closing.is_set():
            return
        process = spawn(job.id, self._worker, self._nice)
        log.info("Job %s (%s) started: pid %d", job.id, job.title, process.pid)
        try:
            self._attend(job.id, process)
        finally:
            if process.poll() is None:
                ending.end_processes(job.id)
            process.wait()

    def _attend(self, job_id: str, process: subprocess.Popen[bytes]) -> None:
        """Follow a worker that this process started."""
        while True:
            code = process.poll()
            job = jobs.get(job_id)
            is_own = job.state == "running" and job.pid == process.pid
            if code is not None:
                if is_own:
                    ending.settle(job_id, code)
                elif job.state == "queued":
                    ending.never_began(job_id, code)
                return
            if is_own and (job.cancelled_at is not None or self._closing.is_set()):
                self._stop(job)
                return
            if job.over or self._closing.is_set():
                return
            self._wait_for_change(process)

    def _wait_for_change(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the worker ends, `wake` is called, or LOOK_S have passed."""
        until = time.monotonic() + LOOK_S
        while process.poll() is None and time.monotonic() < until:
            if self._wake.wait(POLL_S):
                self._wake.clear()
                return

    def _follow(self, job: Job) -> None:
        """Follow a worker that another process or an earlier run of the app started."""
        if not ending.worker_lives(job):
            self._closing.wait(GRACE_S if ending.app_lives(job) else 0)
            ending.settle(job.id, interrupted="the app and its worker had ended before it was done")
            return
        log.info("Job %s (%s) is running: pid %s", job.id, job.title, job.pid)
        while (job := jobs.get(job.id)).state == "running":
            if not ending.worker_lives(job):
                self._closing.wait(GRACE_S if ending.app_lives(job) else 0)
                ending.settle(job.id)
            elif job.cancelled_at is not None:
                self._stop(job)
            elif self._closing.is_set():
                if not ending.app_lives(job):
                    self._stop(job)
                return
            else:
                self._pause(LOOK_S)

    def _stop(self, job: Job) -> None:
        ending.settle_running(job, interrupted="the app was closed")


def spawn(job_id: str, module: str, nice: int) -> subprocess.Popen[bytes]:
    """Start a worker in its own session, so that it outlives this process; its standard output is the log.

    Unlike an engine it has network access to the hub, with the user's token, to download its model. It uses all cores.
    """
    folder = folders.job(job_id)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ending.LOG).open("ab") as log_file:
        return subprocess.Popen(
            process.command(module, job_id, "--app", str(os.getpid()), "--nice", str(nice)),
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            env=_environment() | {ending.ENVIRONMENT: job_id},
            start_new_session=True,
        )


def _environment() -> dict[str, str]:
    environment = process.environment()
    if DATABASE_URL in os.environ:  # unlike other children a worker writes to the store
        environment[DATABASE_URL] = os.environ[DATABASE_URL]
    if (threads := settings().threads) is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    if settings().offline:
        environment["HF_HUB_OFFLINE"] = "1"
    return environment | {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }


class JobQueue:
    """Runs queued jobs in order of arrival, one per device at a time, until `close`.

    Jobs that an earlier process left running are followed to their end; those whose worker is gone too are marked
    interrupted. Every method may be called from any thread. All but `close` return at once.

    before_start  called before a job begins, to unload idle engines; if it raises, the job fails
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
        """Queue a job and return its id."""
        job = submit(spec, device)
        self._run(job.device)
        return job.id

    def again(self, job_id: str) -> str:
        """Queue a job with the same spec and return the new id. Raises UnknownJob."""
        job = again(job_id)
        self._run(job.device)
        return job.id

    def list(self) -> list[Job]:
        """Return all jobs, newest first."""
        return jobs.all_jobs()[::-1]

    def get(self, job_id: str) -> Job:
        """Return a job. Raises UnknownJob."""
        return jobs.get(job_id)

    def cancel(self, job_id: str) -> None:
        """Request a job's cancellation; it ends within 10 s. Raises UnknownJob."""
        ending.cancel(job_id, wait=False)
        self._run(jobs.get(job_id).device)

    def events(self, job_id: str, position: int = 0) -> tuple[Events, int]:
        """Return the worker's events after byte `position`, and the position of the next (`jobs.progress`)."""
        return progress.read(folders.job(job_id), position)

    def log(self, job_id: str, lines: int = ending.LOG_LINES) -> str:
        """Return the last lines of the worker's log."""
        return ending.log_tail(job_id, lines)

    def close(self) -> None:
        """Stop all runners. A worker that this process started is ended and its job marked interrupted."""
        self._closing.set()
        self._thread.join()
        runners = list(self._runners.values())
        threads = [threading.Thread(target=runner.close) for runner in runners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _watch(self) -> None:
        """Start runners for devices on which another process has queued jobs."""
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
    """Return a job's default device: the best one according to torch. The first call takes a few seconds.

    Raises EngineUnavailable.
    """
    device = machine.probe().device
    return f"{device}:0" if device == "cuda" else device


def again(job_id: str) -> Job:
    """Store a new job with the same spec. Raises UnknownJob."""
    job = jobs.get(job_id)
    return jobs.add(job.kind, job.title, job.spec, job.device)


def submit(spec: Spec, device: str = "cpu") -> Job:
    """Store a new job; any queue on this home runs it."""
    return jobs.add(spec.kind, spec.title, spec.model_dump(mode="json"), device)
