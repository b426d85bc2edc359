"""Prefill and decode speed of the variants of an evaluation, as `bench` measures it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from playground.bench import bench
from playground.bench_rows import LOAD, Plan, Stage
from playground.core import Progress
from playground.engines.engines import Engines
from playground.errors import EvaluationError
from playground.evals.subjects import Subject

PLAN = Plan(prompt_tokens=256, output_tokens=64, runs=3)
OnProgress = Callable[[Progress], None]


def measure(engines: Engines, chosen: Sequence[Subject], on_progress: OnProgress) -> dict[str, dict[str, Any]]:
    """The `speed` of each variant, by its id, on the engine that its address names or else the first that can run it.

    Nothing else of this evaluation runs meanwhile, and what was loaded is unloaded after it. Raises EvaluationError.
    """

    def on_stage(stage: Stage) -> None:
        on_progress(Progress(f"{stage.address}: measuring speed", stage.run, stage.runs, "runs"))

    found: dict[str, dict[str, Any]] = {}
    for subject in chosen:
        tests = {row.test: row for row in bench(engines, [subject.id], PLAN, on_stage=on_stage)}
        failed = next((row for row in tests.values() if row.error), None)
        if failed is not None:
            what = "loaded" if failed.test == LOAD else "timed"
            raise EvaluationError(f"{subject.id} could not be {what}: {failed.error}", hint=failed.hint)
        prefill, decode = (tests[test.name] for test in PLAN.tests())
        found[subject.id] = {
            "decode_tok_s": decode.tok_s_mean,
            "sd": decode.tok_s_sd,
            "prefill_tok_s": prefill.tok_s_mean,
            "engine": decode.engine,
            "prompt_tokens": PLAN.prompt_tokens,
            "output_tokens": PLAN.output_tokens,
            "repetitions": PLAN.runs,
        }
        while engines.unload_idle():
            continue
    return found
