"""One run of each kind, as it is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from playground.store.schema import Run
from tests.fakes import exported_runs
from tests.fakes.evaluation_run import evaluation

RUNS: dict[str, Callable[[], Run]] = {
    "comparison": exported_runs.comparison,
    "evaluation": lambda: evaluation(files=False),
    "divergence": exported_runs.divergence,
    "bench": lambda: exported_runs.bench(failed=True),
    "quantization": exported_runs.quantization,
}


@pytest.fixture(params=list(RUNS))
def run(request: pytest.FixtureRequest, home: Path) -> Run:
    return RUNS[request.param]()
