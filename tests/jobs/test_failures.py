"""Whatever a body raises is one sentence."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from playground.errors import InvalidRequest, JobError, OutOfDisk, OutOfMemory, PlaygroundError
from playground.jobs import ending
from playground.jobs.ending import explain
from playground.store import folders


class SafetensorError(Exception):
    """As the Rust library words it."""


def wrapped(cause: BaseException, how: type[Exception] = RuntimeError) -> BaseException:
    """`cause`, as a library that wraps it would raise it."""
    try:
        try:
            raise cause
        except type(cause) as error:
            raise how("could not save") from error
    except Exception as error:  # noqa: BLE001
        return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutOfDisk),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), OutOfDisk),
        (SafetensorError("I/O error: No space left on device (os error 28)"), OutOfDisk),
        (wrapped(OSError(errno.ENOSPC, "No space left on device")), OutOfDisk),
        (wrapped(OSError(errno.ENOSPC, "No space left on device"), InvalidRequest), OutOfDisk),
        (MemoryError(), OutOfMemory),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), OutOfMemory),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory."), OutOfMemory),
        (InvalidRequest("Nothing to do.", hint="Go."), InvalidRequest),
        (OSError(errno.EACCES, "Permission denied"), JobError),
        (ValueError("line one\nline two"), JobError),
    ],
    ids=lambda value: getattr(value, "__name__", None) or type(value).__name__,
)
def test_explain(tmp_path: Path, error: BaseException, kind: type[PlaygroundError]) -> None:
    found = explain(error, tmp_path)
    assert type(found) is kind and found.hint
    assert "\n" not in str(found) and "Traceback" not in str(found)


def test_a_sentence_stays_as_it_is_even_when_something_else_was_handled_before(tmp_path: Path) -> None:
    error = InvalidRequest("Take 64.", hint="Or 32.")
    error.__context__ = MemoryError()
    assert explain(error, tmp_path) is error
    error.__cause__ = MemoryError()
    assert isinstance(explain(error, tmp_path), OutOfMemory)


def test_the_log_shows_the_last_state_of_a_bar(home: Path) -> None:
    log = folders.job("x") / ending.LOG
    assert ending.log_tail("x") == ""
    log.parent.mkdir(parents=True)
    log.write_bytes("one\n\r 1% |\r50% |\r100% |█\n\ntwo\n\r 1%\r 2%".encode())
    assert ending.log_tail("x") == "one\n100% |█\ntwo\n 2%"
    assert ending.log_tail("x", 2) == "two\n 2%"


def test_the_free_bytes_of_the_disk_are_said(tmp_path: Path) -> None:
    told = explain(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    assert str(tmp_path) in told.message and "B are free" in told.message
