"""What one row of the methods table holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OnLoad:
    """A variant that is made while the weights load, without a job.

    name          the suffix of the variant id: `smollm2:nf4`
    dtype         torch name of the compute type when it differs from the reference's, else None
    stored_bytes  bytes that a linear weight of n values takes in this form (without its bias); None: n × dtype
    """

    name: str
    label: str
    scheme: str
    summary: str
    dtype: str | None = None
    stored_bytes: Callable[[int], int] | None = None

    @property
    def quantizes(self) -> bool:
        return self.stored_bytes is not None


@dataclass(frozen=True, slots=True)
class Method:
    """One algorithm: what it makes, what it needs, who runs the result, where it is described.

    requires: importable packages. devices: where the result runs in this project's engines.
    """

    name: str
    title: str
    schemes: tuple[str, ...]
    needs_calibration: bool
    output_format: str
    engines: tuple[str, ...]
    devices: tuple[str, ...]
    paper: str
    good_at: str
    bad_at: str
    on_load: tuple[OnLoad, ...] = ()
    requires: tuple[str, ...] = ()
