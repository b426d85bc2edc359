"""The memory of a worker and its children, over time.

The worker samples itself, so that the curve goes on when the app is restarted meanwhile.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
import sys
import threading
import time
from types import TracebackType

import psutil

from playground.jobs.progress import Report
from playground.machine import resident

EVERY_S = 1.0
SHARE = 0.01  # of the worker's time
CHILDREN_EVERY = 5  # samples: finding them means looking at every process of the machine, and each look at a file there
# lets go of the interpreter that the body wants


class Sampler:
    """Reports resident bytes while it is entered, about every second or as often as costs no time that anyone notices,
    and the exact peak of this process at the end."""

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
        me = psutil.Process()
        for number in itertools.count():
            began = time.monotonic()
            over = self._done.is_set()
            if number % CHILDREN_EVERY == 0:
                members = tree(me)
            with contextlib.suppress(OSError):  # of a full disk the body itself will hear
                self._report.memory(max(resident(members), peak_bytes() if over else 0))
            if over:
                return
            self._done.wait(max(self._every_s, (time.monotonic() - began) / SHARE))


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it, now."""
    return [process, *process.children(recursive=True)]


def peak_bytes() -> int:
    """The most this process alone ever had resident, as the kernel counted."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
