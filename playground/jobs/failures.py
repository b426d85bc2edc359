"""Whatever ended a job, as one sentence with what to do about it."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from playground.errors import JobError, OutOfDisk, OutOfMemory, PlaygroundError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = ("No space left on device", "(os error 28)", "disk is full", "Disk quota exceeded")
_MEMORY_WORDS = ("can't allocate memory", "Cannot allocate memory", "CUDA out of memory", "std::bad_alloc")


def explain(error: BaseException, where: Path) -> PlaygroundError:
    """The sentence for any exception of a body, whose traceback belongs in the log. `where` is on its disk."""
    for cause in _causes(error):
        if _is_full(cause):
            return OutOfDisk(
                f"The disk is full: {_free(where)} are free at {where}.",
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
    """The error and what it came from. Below a sentence of ours only what it names as its cause."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        ours = isinstance(at, PlaygroundError)
        at = at.__cause__ or (None if ours or at.__suppress_context__ else at.__context__)


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return not isinstance(error, PlaygroundError) and any(words in str(error) for words in _FULL_WORDS)


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return not isinstance(error, PlaygroundError) and any(words in str(error) for words in _MEMORY_WORDS)


def _free(where: Path) -> str:
    try:
        return f"{shutil.disk_usage(where).free / 1e6:,.0f} MB"
    except OSError:
        return "0 MB"
