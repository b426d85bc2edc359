"""Run a job in its own process: `python -m playground.jobs.worker ID`.

It leads its session, so that it outlives the app and can be ended with all its children. It holds the lock of its
device and claims the job in the store before it begins: of several workers for a job only one runs it. It appends
events to events.jsonl and writes result.json or error.json; its standard output is the log. It samples its own memory
and that of its children, so that the curve continues when the app is restarted.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType

import filelock
import psutil

from playground import process
from playground.errors import Cancelled, to_wire
from playground.files import write_whole
from playground.jobs import ending, kinds
from playground.jobs.ending import ERROR, RESULT
from playground.jobs.progress import Report
from playground.machine import resident
from playground.store import folders, jobs
from playground.store.schema import Job

LOOK_S = 0.2  # interval of attempts to lock the device
EVERY_S = 1.0  # interval of memory samples, at least
SHARE = 0.01  # of the worker's time that sampling may take
# In samples. Listing children reads files of every process on the machine, and competes with the job for the GIL.
CHILDREN_EVERY = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit status 0 if result.json was written or another worker has the job, 1 if error.json was written."""
    parser = argparse.ArgumentParser(prog="playground.jobs.worker", description=__doc__)
    parser.add_argument("job", help="id of a queued job")
    parser.add_argument("--app", type=int, default=0, help="process that started this one")
    parser.add_argument("--nice", type=int, default=0, help="added to the niceness of the worker")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _cancel)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if options.nice:
        os.nice(options.nice)
    job = jobs.get(options.job)
    with _device(job) as free:
        return _work(job) if free and _claim(job, options.app) else 0


def _cancel(*_: int | FrameType | None) -> None:
    """Handle SIGTERM in the main thread. A second one is ignored: it would interrupt the cleanup."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Cancelled("The job was stopped.", hint="It can be run again.")


@contextlib.contextmanager
def _device(job: Job) -> Iterator[bool]:
    """Hold the device's lock. Yields False if the job was cancelled or run by another worker during the wait."""
    lock = filelock.FileLock(folders.device_lock(job.device))
    while jobs.get(job.id).state == "queued":
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=0)
            break
        time.sleep(LOOK_S)
    try:
        yield lock.is_locked
    finally:
        lock.release()


def _claim(job: Job, app: int) -> bool:
    pid = os.getpid()
    return jobs.claim(job.id, pid, process.process_identity(pid), app, process.process_identity(app))


def _work(job: Job) -> int:
    folder = folders.job(job.id)
    partial = folders.partial(job.id, str(job.spec.get("out") or ""))
    try:
        kind = kinds.kind(job.kind)
        report = Report(folder)
        with contextlib.closing(report), Sampler(report):
            result = kind.run(kind.Spec.from_stored(job.spec), folder, report)
        write_whole(folder / RESULT, json.dumps(result, allow_nan=False))
    except Exception as error:  # noqa: BLE001  libraries raise anything; every error becomes one with a hint
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with contextlib.suppress(OSError):  # on a full disk the log cannot be written either
            traceback.print_exc()
        failure = ending.explain(error, partial.parent)
        with contextlib.suppress(OSError):
            folders.remove(partial)  # before error.json, which needs disk space
        write_whole(folder / ERROR, json.dumps(to_wire(failure), allow_nan=False))
        return 1
    return 0


class Sampler:
    """Context manager that reports resident bytes about every second, and the exact peak of this process at the end.

    Sampling takes at most `SHARE` of the worker's time.
    """

    def __init__(self, report: Report, every_s: float = EVERY_S) -> None:
        self._report, self._every_s = report, every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        worker = psutil.Process()
        for number in itertools.count():
            began = time.monotonic()
            over = self._done.is_set()
            if number % CHILDREN_EVERY == 0:
                members = tree(worker)
            with contextlib.suppress(OSError):  # a full disk also stops the job itself
                self._report.memory(max(resident(members), peak_bytes() if over else 0))
            if over:
                return
            self._done.wait(max(self._every_s, (time.monotonic() - began) / SHARE))


def tree(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    return [process, *process.children(recursive=True)]


def peak_bytes() -> int:
    """Return the peak of this process's resident bytes, without children."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    sys.exit(main())
