"""End a job: terminate its processes, remove partial files, and record its final state in the store.

Any process may do it, also several at once: the first state recorded stands. `explain` turns any exception into an
error with a hint.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from playground import formatting
from playground.errors import (
    Cancelled,
    JobDied,
    JobError,
    JobInterrupted,
    OutOfDisk,
    OutOfMemory,
    PlaygroundError,
    from_wire,
    to_wire,
)
from playground.jobs import kinds
from playground.process import process_identity
from playground.store import folders, jobs, runs, variants
from playground.store.schema import Job

log = logging.getLogger(__name__)
LOG = "log.txt"
ENVIRONMENT = "PLAYGROUND_JOB"  # holds the job's id in its worker and all descendants
PATIENCE_S = 5.0  # from SIGTERM to SIGKILL: on a busy machine the rest of the 10 s is needed to see that all are gone
LOG_LINES = 20
_FULL_CODES = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = ("No space left on device", "(os error 28)", "disk is full", "Disk quota exceeded")
_MEMORY_WORDS = ("can't allocate memory", "Cannot allocate memory", "CUDA out of memory", "std::bad_alloc")
RESULT = "result.json"
ERROR = "error.json"


def worker_lives(job: Job) -> bool:
    """Return whether a job's worker is alive. A job of before migration 0005 is recognized by its environment alone."""
    if job.pid is None:
        return False
    if job.pid_identity is None:
        return any(process.pid == job.pid for process in members(job.id))
    return process_identity(job.pid) == job.pid_identity


def app_lives(job: Job) -> bool:
    """Return whether the process that started a job's worker is alive."""
    if not job.app_pid or not job.app_identity:
        return False
    return process_identity(job.app_pid) == job.app_identity


def members(job_id: str) -> list[psutil.Process]:
    """Return the living processes of a job: its worker and all descendants, in any process group or session.

    They are recognized by the inherited environment. A process group would not do: its number may have been reused,
    and children may have left it.
    """
    processes = []
    for process in psutil.process_iter(["uids"]):
        with contextlib.suppress(psutil.Error, OSError):
            mine = process.info["uids"].real == os.getuid() and process.environ().get(ENVIRONMENT) == job_id
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


def end_processes(job_id: str, patience_s: float = PATIENCE_S) -> None:
    """End all processes of a job with SIGTERM and, after `patience_s`, SIGKILL. Returns when they are gone."""
    for process in members(job_id):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _wait_gone(job_id, patience_s)
    for process in members(job_id):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _wait_gone(job_id, 1.0)


def _wait_gone(job_id: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while members(job_id) and time.monotonic() < deadline:
        time.sleep(0.05)


def cancel(job_id: str, wait: bool = True) -> None:
    """Stop a job; one that is over is not changed. Raises UnknownJob.

    wait  end its worker before returning, within 10 s; else the runner that follows the job does it
    """
    jobs.get(job_id)
    if jobs.end(job_id, "cancelled", expected="queued"):
        return
    jobs.request_cancel(job_id)
    if wait and (job := jobs.get(job_id)).state == "running":
        settle_running(job)


def settle_running(job: Job, *, interrupted: str = "") -> None:
    """End the worker of a running job and record its final state."""
    end_processes(job.id)
    settle(job.id, interrupted=interrupted)


def settle(job_id: str, code: int | None = None, *, interrupted: str = "") -> None:
    """Record the final state of a job whose worker is gone, and remove its partial files.

    code         exit status of the worker, if this process started it
    interrupted  what ended the worker, if it was not the job itself
    """
    end_processes(job_id, patience_s=0)  # descendants of a worker that was killed
    job = jobs.get(job_id)
    if job.state != "running":
        return
    result = _read(folders.job(job.id) / RESULT) or _stored_result(job.id)
    if result is not None:
        _remove_partial(job)
        jobs.end(job.id, "done", result=result)
        return
    _remove_unknown(job)
    _remove_partial(job)
    failure = _read(folders.job(job.id) / ERROR)
    was_stopped = failure is not None and isinstance(from_wire(failure), Cancelled)
    if job.cancelled_at is not None:
        jobs.end(job.id, "cancelled")
    elif failure is not None and not was_stopped:
        jobs.end(job.id, "failed", error=failure)
    elif interrupted or was_stopped:
        cause = interrupted or "its worker was told to stop from outside"
        repetition = "goes on from where it was" if job.kind in kinds.GOES_ON else "starts from the beginning"
        error = JobInterrupted(f"The job was interrupted: {cause}.", hint=f"Run it again: it {repetition}.")
        jobs.end(job.id, "interrupted", error=to_wire(error))
    else:
        jobs.end(job.id, "failed", error=_with_log(died(code), job.id))


def never_began(job_id: str, code: int) -> None:
    """Record that a worker ended before it had claimed its job."""
    jobs.end(job_id, "failed", expected="queued", error=_with_log(died(code), job_id))


def refuse(job_id: str, error: PlaygroundError) -> None:
    """Record that a queued job is not started because of `error`."""
    jobs.end(job_id, "failed", expected="queued", error=to_wire(error))


def died(code: int | None) -> JobDied:
    """Return the error of a worker that ended without result or error file."""
    if code is None:
        how = ""
    elif code < 0:
        name = signal.Signals(-code).name
        how = f" (killed by {name}{', often the system running out of memory' if name == 'SIGKILL' else ''})"
    else:
        how = f" (exit code {code})"
    return JobDied(f"The job's worker died{how}.", hint="Its log may say why; it can be run again.")


def _with_log(error: PlaygroundError, job_id: str) -> dict[str, Any]:
    wire: dict[str, Any] = to_wire(error)
    wire["error"]["log_tail"] = log_tail(job_id)
    return wire


def log_tail(job_id: str, lines: int = LOG_LINES) -> str:
    """Return the last lines of a job's log; of a progress bar only its last state."""
    try:
        with (folders.job(job_id) / LOG).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 400 * lines))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    visible = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]
    return "\n".join([line for line in visible if line][-lines:])


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _stored_result(job_id: str) -> dict[str, Any] | None:
    """Return the result of a job that stored its variant or run but died before it wrote its result; None without."""
    run, variant = runs.of_job(job_id), variants.of_job(job_id)
    result = variant.card | {"variant": variant.id, "path": variant.path} if variant else {}
    return result | ({"run": run.id} if run else {}) or None


def _remove_partial(job: Job) -> None:
    """Remove the job's partial folder, and restore a variant that it had set aside."""
    partial = folders.partial(job.id, str(job.spec.get("out") or ""))
    _remove(partial)
    before = folders.set_aside(partial)
    if before.exists():
        marker = _read(before / folders.MARKER) or {}
        place = Path(str(marker.get("result", {}).get("path") or before))
        if place.exists():
            _remove(before)
        else:
            before.rename(place)


def _remove_unknown(job: Job) -> None:
    """Remove a folder that has its final name but was not stored before the worker died."""
    out = str(job.spec.get("out") or "")
    places = [Path(out).expanduser()] if out else [marker.parent for marker in folders.markers()]
    for place in places:
        if (_read(place / folders.MARKER) or {}).get("job_id") == job.id:
            _remove(place)


def sweep() -> None:
    """Remove the partial folders of jobs that are over or deleted."""
    partials = list(folders.variants().glob(".partial-*"))  # before the jobs are read: one may begin meanwhile
    active = {job.id for job in jobs.all_jobs(("queued", "running"))} if partials else set()
    for path in partials:
        if path.name.removeprefix(".partial-").removesuffix(folders.BEFORE) not in active:
            _remove(path)


def _remove(path: Path) -> None:
    try:
        folders.remove(path)
    except OSError as error:
        log.warning("%s could not be removed: %s", path, error)


# Failures.


def explain(error: BaseException, where: Path) -> PlaygroundError:
    """Return the PlaygroundError for any exception of a job. `where` is a path on the disk that it wrote to."""
    for cause in _causes(error):
        if _is_full(cause):
            return OutOfDisk(
                f"The disk is full: {_free_space(where)} are free at {where}.",
                hint="Delete variants that are no longer needed or make room, then run the job again.",
            )
        if _is_memory(cause):
            return OutOfMemory(
                "The job needed more memory than the device has.",
                hint="Unload variants, take fewer or shorter calibration samples, or choose a smaller model.",
            )
    if isinstance(error, PlaygroundError):
        return error
    first = str(error).strip().split("\n")[0][:300]
    return JobError(
        f"The job failed: {type(error).__name__}{f': {first}' if first else ''}".rstrip(".") + ".",
        hint="Its log has the details.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes. The implicit context of a PlaygroundError is skipped."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        ours = isinstance(current, PlaygroundError)
        current = current.__cause__ or (None if ours or current.__suppress_context__ else current.__context__)


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL_CODES:
        return True
    return not isinstance(error, PlaygroundError) and any(words in str(error) for words in _FULL_WORDS)


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return not isinstance(error, PlaygroundError) and any(words in str(error) for words in _MEMORY_WORDS)


def _free_space(where: Path) -> str:
    try:
        return formatting.size(shutil.disk_usage(where).free)
    except OSError:
        return formatting.size(0)
