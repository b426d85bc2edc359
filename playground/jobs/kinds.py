"""The kinds of job, and the protocol by which queue and worker use them.

A kind is named like its feature, whose `job` module is a `Kind`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, cast

from playground.errors import JobError
from playground.jobs.progress import Report

# "divergence" is the second job of Evaluate: `kld` on the command line. Stored jobs have these names.
KINDS = {
    "quantize": "playground.quantize.job",
    "evaluate": "playground.evaluate.job",
    "divergence": "playground.evaluate.divergence_job",
    "review": "playground.review.job",
}
GOES_ON = ("evaluate", "divergence")  # kinds that resume from saved measurements when run again


class Spec(Protocol):
    """The part of a job's spec that the queue uses."""

    @property
    def kind(self) -> str:
        """Return a key of KINDS."""
        ...

    @property
    def title(self) -> str:
        """Return one line for the list of jobs."""
        ...

    @classmethod
    def from_stored(cls, raw: Mapping[str, Any]) -> Self:
        """Read a stored spec of this or an older version. Raises InvalidRequest."""
        ...

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Return the fields, with `mode="json"` in JSON types."""
        ...


T = TypeVar("T")
Submit = Callable[[Spec, str], T]  # queues a job with this spec on a device


class Kind(Protocol):
    """A job module. The page imports it too, so it must not import torch before `run`."""

    Spec: type[Spec]

    def start(self, spec: Any, submit: Submit[T]) -> T:
        """Check and submit a job, for page, API and command line. Returns what `submit` returns.

        Raises PlaygroundError if it is already clear that the job cannot work.
        """
        ...

    def run(self, spec: Any, folder: Path, report: Report) -> dict[str, Any]:
        """Run the job and return its result. Raises PlaygroundError."""
        ...

    def needs(self, spec: Any) -> int:
        """Return the peak memory in bytes; 0 if no model is loaded."""
        ...

    def check(self, spec: Any, device: str) -> None:
        """Raise OutOfMemory if the job does not fit now that idle models are unloaded."""
        ...


def start(spec: Spec, submit: Submit[T]) -> T:
    """Check and submit a job of any kind. Returns what `submit` returns. Raises PlaygroundError."""
    return kind(spec.kind).start(spec, submit)


def kind(name: str) -> Kind:
    """Return the job module of a kind. Raises JobError for an unknown kind, as of a newer version's job."""
    if name not in KINDS:
        raise JobError(f"There is no kind of job {name[:40]!r}.", hint=f"This version knows {', '.join(KINDS)}.")
    return cast(Kind, importlib.import_module(KINDS[name]))
