"""Prefill and decode speed of the variants of an evaluation, measured by `bench`."""

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
    """Return the speed of each variant by its id, and a warning for each variant that could not be measured.

    A variant is measured on the engine of its address or of its tasks, else on the reference's if that can run it
    (`base.together`), so that speeds can be compared. Each variant is unloaded afterwards.
    """

    def on_stage(stage: Stage) -> None:
        on_progress(Progress(f"{stage.address}: measuring speed", stage.run, stage.runs, "runs"))

    speeds: dict[str, dict[str, Any]] = {}
    doubts = []
    for subject, address in zip(chosen, base.together(list(map(_address, chosen))), strict=True):
        tests = {row.test: row for row in bench(engines, [address], PLAN, on_stage=on_stage)}
        failed = next((row for row in tests.values() if row.error), None)
        if failed is not None:
            step = "loaded" if failed.test == LOAD else "timed"
            message = f"{subject.id} has no speed: it could not be {step}. {failed.error}"
            doubts.append(TrustWarning("no-speed", f"{message} {failed.hint or ''}".strip(), (subject.id,)))
        else:
            prefill, decode = (tests[test.name] for test in PLAN.tests())
            speeds[subject.id] = {
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
    return speeds, doubts


def _address(subject: Subject) -> str:
    """Return the subject's address, with its engine if that is vLLM; transformers is only the default of the tasks."""
    address = Address.parse(subject.id)
    if not address.engine and subject.engine == "vllm":
        return str(replace(address, engine=subject.engine))
    return subject.id
