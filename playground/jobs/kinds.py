"""Which kinds of job there are, and all that the queue, the worker and the room for a job know of one.

A kind is the name of a feature, whose `job` module is a `Kind`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, cast

from playground.errors import JobError
from playground.jobs.progress import Report

# "divergence" is the second job of Evaluate: `kld` on the command line. Stored jobs go by these names.
KINDS = {
    "quantize": "playground.quantize.job",
    "evaluate": "playground.evaluate.job",
    "divergence": "playground.evaluate.divergence_job",
    "review": "playground.review.job",
}
GOES_ON = ("evaluate", "divergence")  # keep what they have measured so far


class Spec(Protocol):
    """What the queue needs to know of any kind of job."""

    @property
    def kind(self) -> str:
        """Which body runs it: a name in `jobs.kinds`."""
        ...

    @property
    def title(self) -> str:
        """One line for the list of jobs."""
        ...

    @classmethod
    def from_stored(cls, raw: Mapping[str, Any]) -> Self:
        """Read back a row that this or an older version wrote. Raises InvalidRequest."""
        ...

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """JSON's types only, with `mode="json"`."""
        ...


T = TypeVar("T")
Submit = Callable[[Spec, str], T]  # puts a job of this spec into the queue of a device


class Kind(Protocol):
    """A job module. The page reads specs with it, so it imports torch and its like only when a job runs."""

    Spec: type[Spec]

    def start(self, spec: Any, submit: Submit[T]) -> T:
        """Submit a job, unless it is clear already that it cannot work. Page, API and command line begin one so.

        Raises PlaygroundError.
        """
        ...

    def run(self, spec: Any, folder: Path, report: Report) -> dict[str, Any]:
        """Do the work; what comes back is the job's result. Raises PlaygroundError."""
        ...

    def needs(self, spec: Any) -> int:
        """Bytes of memory at the worst moment; 0 where no model is held."""
        ...

    def check(self, spec: Any, device: str) -> None:
        """Raise OutOfMemory where the job cannot fit even now, with every idle model unloaded."""
        ...


def start(spec: Spec, submit: Submit[T]) -> T:
    """Begin a job of any kind: what `submit` returns. Raises PlaygroundError."""
    return kind(spec.kind).start(spec, submit)


def kind(name: str) -> Kind:
    """Raises JobError for a job that a newer version of this program has queued."""
    if name not in KINDS:
        raise JobError(f"There is no kind of job {name[:40]!r}.", hint=f"This version knows {', '.join(KINDS)}.")
    return cast(Kind, importlib.import_module(KINDS[name]))
