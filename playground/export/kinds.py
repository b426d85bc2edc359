"""Which module tells of which kind of run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from playground.errors import InvalidRequest
from playground.export import comparison, evaluation, paths, quantization, speed
from playground.export.account import Account
from playground.store.schema import Run


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of run is told, and as which lines of which columns."""

    account: Callable[[Run], Account]
    rows: Callable[[Run], list[dict[str, Any]]]
    columns: tuple[str, ...]


KINDS = {
    "comparison": Kind(comparison.account, comparison.rows, comparison.COLUMNS),
    "evaluation": Kind(evaluation.account, evaluation.rows, evaluation.COLUMNS),
    "divergence": Kind(evaluation.divergence, evaluation.divergence_rows, evaluation.DIVERGENCE_COLUMNS),
    "bench": Kind(speed.account, speed.rows, speed.COLUMNS),
    "quantization": Kind(quantization.account, quantization.rows, quantization.COLUMNS),
}


def kind(name: str) -> Kind:
    """Raises InvalidRequest."""
    if name not in KINDS:
        raise InvalidRequest(f"A run of the kind {name[:40]!r} cannot be exported.", hint=f"Known: {', '.join(KINDS)}.")
    return KINDS[name]


def travelling(run: Run) -> Run:
    """The same run without paths of this machine."""
    return Run(**paths.run(run.as_row()))


def account(run: Run, title: str = "", note: str = "") -> Account:
    """What a run says, without paths of this machine. `title` and `note` are the owner's words, where there are any."""
    told = kind(run.kind).account(travelling(run))
    return replace(told, title=title or told.title, note=note)
