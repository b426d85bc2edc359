"""One run of each kind, as it is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from playground.store.schema import Run
from tests.fakes import stored_runs
from tests.fakes.evaluation_run import evaluation

RUNS: dict[str, Callable[[], Run]] = {
    "comparison": stored_runs.comparison,
    "evaluation": lambda: evaluation(files=False),
    "divergence": stored_runs.divergence,
    "bench": lambda: stored_runs.bench(failed=True),
    "quantization": stored_runs.quantization,
}


@pytest.fixture(params=list(RUNS))
def run(request: pytest.FixtureRequest, home: Path) -> Run:
    return RUNS[request.param]()
