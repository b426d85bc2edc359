"""Types of the methods table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from playground.methods.llm_compressor import Modifiers
from playground.methods.recipe import Recipe
from playground.methods.schemes import SCHEMES


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
class Option:
    """An option of one method: an argument of its llm-compressor modifier, with llm-compressor's default.

    low, high  bounds of a number, None: unbounded
    """

    name: str
    default: float | int | bool | str | tuple[str, ...]
    summary: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the methods table: one algorithm, its schemes, requirements, engines and paper.

    needs_calibration  whether the method needs activations with every scheme; see `calibrates`
    group_size         the rule, in words; "" if there is nothing to choose
    output_format      format of the files
    engines, devices   engines that run the result, and devices on which this project's engines do
    hardware           where the result is fast, and where it only works
    architectures      supported architectures; () for every causal language model
    job                made by a quantize job; False: only while loading
    modifiers          returns llm-compressor's modifiers of a recipe, by name with their arguments; None if a job uses
                       a `quantize.writers.Writer`, or if no job makes it
    options            arguments of the method itself
    requires           importable packages
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
    group_size: str = ""
    hardware: str = ""
    architectures: tuple[str, ...] = ()
    job: bool = False
    options: tuple[Option, ...] = ()
    modifiers: Callable[[Recipe], Modifiers] | None = None

    def calibrates(self, scheme: str) -> bool:
        """Return whether making `scheme` with this method needs calibration text."""
        entry = SCHEMES.get(scheme)
        return self.needs_calibration or (entry is not None and entry.needs_calibration)
