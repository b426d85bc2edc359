"""The kinds of runs: title, and the module that builds the report of a run.

Exports, the list, the page and the command line use this table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from playground.report.parts import Part
    from playground.store.schema import Run


class Feature(Protocol):
    """The report module of a kind of run."""

    @property
    def COLUMNS(self) -> tuple[str, ...]:
        """Columns of the CSV table."""

    @property
    def NUMBER_OF(self) -> tuple[str, ...]:
        """Keys of `result` that `number` reads."""

    def parts(self, run: Run, /) -> tuple[Part, ...]:
        """Return the parts of the report, for exports."""

    def terminal(self, run: Run, /) -> Sequence[Part]:
        """Return the parts that a terminal shows."""

    def rows(self, run: Run, /) -> list[dict[str, Any]]:
        """Return the rows of the CSV table, keys from `COLUMNS`."""

    def number(self, result: Mapping[str, Any], names: Mapping[str, str], /) -> tuple[str, str]:
        """Return the most important figure and its name; two empty texts where nothing was measured.

        `names`: display names of the variants by id, the reference first.
        """


@dataclass(frozen=True, slots=True)
class Kind:
    title: str
    module: str

    @property
    def feature(self) -> Feature:
        return cast("Feature", import_module(self.module))


KINDS = {
    "comparison": Kind("Comparison", "playground.compare.report"),
    "evaluation": Kind("Evaluation", "playground.evaluate.report"),
    "divergence": Kind("Divergence", "playground.evaluate.divergence_report"),
    "bench": Kind("Speed", "playground.speed.report"),
    "quantization": Kind("Quantization", "playground.quantize.report"),
    "review": Kind("Review", "playground.review.report"),
}

if TYPE_CHECKING:  # mypy checks that each has the members of `Feature`
    from playground.compare import report as _comparison
    from playground.evaluate import divergence_report as _divergence
    from playground.evaluate import report as _evaluation
    from playground.quantize import report as _quantization
    from playground.review import report as _review
    from playground.speed import report as _bench

    _features: list[Feature] = [_comparison, _evaluation, _divergence, _bench, _quantization, _review]


def title(kind: str) -> str:
    """Return the title of a kind, "Speed"; for a kind of a later version its key."""
    return KINDS[kind].title if kind in KINDS else kind
