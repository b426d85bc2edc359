"""Prefill and decode speed of the variants of an evaluation, as `bench` measures it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from playground.core import Progress
from playground.engines import base
from playground.engines.router import Engines
from playground.engines.subjects import Subject
from playground.evaluate.items import TrustWarning
from playground.models.address import Address
from playground.speed.bench import bench
from playground.speed.spec import LOAD, Plan, Stage

PLAN = Plan(prompt_tokens=256, output_tokens=64, runs=3)
OnProgress = Callable[[Progress], None]


def measure(
    engines: Engines, chosen: Sequence[Subject], on_progress: OnProgress
) -> tuple[dict[str, dict[str, Any]], list[TrustWarning]]:
    """The `speed` of each variant, by its id, and of those that have none why.

    On the engine that its address names, or that it answers the tasks on; else on the reference's where that can run it
    (`base.together`), so that speeds can be compared. Nothing else of this evaluation runs meanwhile, and what was
    loaded is unloaded after it.
    """

    def on_stage(stage: Stage) -> None:
        on_progress(Progress(f"{stage.address}: measuring speed", stage.run, stage.runs, "runs"))

    found: dict[str, dict[str, Any]] = {}
    doubts = []
    for subject, address in zip(chosen, base.together(list(map(_address, chosen))), strict=True):
        tests = {row.test: row for row in bench(engines, [address], PLAN, on_stage=on_stage)}
        failed = next((row for row in tests.values() if row.error), None)
        if failed is not None:
            what = "loaded" if failed.test == LOAD else "timed"
            said = f"{subject.id} has no speed: it could not be {what}. {failed.error}"
            doubts.append(TrustWarning("no-speed", f"{said} {failed.hint or ''}".strip(), (subject.id,)))
        else:
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
    return found, doubts


def _address(subject: Subject) -> str:
    """With the engine of the tasks, where somebody chose one: transformers is what they run on unasked."""
    asked = Address.parse(subject.id)
    return str(replace(asked, engine=subject.engine)) if not asked.engine and subject.engine == "vllm" else subject.id
