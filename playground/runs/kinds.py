"""The kinds of runs: what each is called, and the module of its feature that says what a run of it says.

The one table of them: exports, the list, the page and the command line ask it.
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
    """What a feature's module has for its kind of run."""

    @property
    def COLUMNS(self) -> tuple[str, ...]:
        """Of its table in CSV."""

    @property
    def NUMBER_OF(self) -> tuple[str, ...]:
        """The parts of `result` that `number` reads."""

    def parts(self, run: Run, /) -> tuple[Part, ...]:
        """Of its report, for exports."""

    def terminal(self, run: Run, /) -> Sequence[Part]:
        """What came of it, for a terminal."""

    def rows(self, run: Run, /) -> list[dict[str, Any]]:
        """Lines of `COLUMNS`."""

    def number(self, result: Mapping[str, Any], names: Mapping[str, str], /) -> tuple[str, str]:
        """The one figure that matters most, and what it is; two empty texts where nothing was measured. `names`: of
        the variants by id, the reference first.
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
}

if TYPE_CHECKING:  # each has what `Feature` asks for
    from playground.compare import report as _comparison
    from playground.evaluate import divergence_report as _divergence
    from playground.evaluate import report as _evaluation
    from playground.quantize import report as _quantization
    from playground.speed import report as _bench

    _features: list[Feature] = [_comparison, _evaluation, _divergence, _bench, _quantization]


def title(kind: str) -> str:
    """ "Speed"; of a kind of a later version its name."""
    return KINDS[kind].title if kind in KINDS else kind
