"""Which kinds of job there are. A body is imported in its worker and nowhere else: it brings torch along."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground.errors import JobError
from playground.jobs.divergence_spec import DivergenceSpec
from playground.jobs.evaluate_spec import EvaluateSpec
from playground.jobs.report import Report
from playground.jobs.review_spec import ReviewSpec
from playground.jobs.spec import QuantizeSpec, Spec

Body = Callable[[Any, Path, Report], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """body: "module:function". spec: reads back what `Spec.as_dict` wrote."""

    body: str
    spec: Callable[[Mapping[str, Any]], Spec]

    def load(self) -> Body:
        module, _, function = self.body.partition(":")
        found: Body = getattr(importlib.import_module(module), function)
        return found


KINDS: dict[str, Kind] = {
    "quantize": Kind("playground.jobs.quantize:run", QuantizeSpec.from_dict),
    "evaluate": Kind("playground.jobs.evaluate:run", EvaluateSpec.from_dict),
    "divergence": Kind("playground.jobs.divergence:run", DivergenceSpec.from_dict),
    "review": Kind("playground.jobs.review:run", ReviewSpec.from_dict),
}


def kind(name: str) -> Kind:
    """Raises JobError for a job that a newer version of this program has queued."""
    if name not in KINDS:
        raise JobError(f"There is no kind of job {name[:40]!r}.", hint=f"This version knows {', '.join(KINDS)}.")
    return KINDS[name]
