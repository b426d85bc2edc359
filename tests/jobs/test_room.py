"""Idle models give way to a job of any kind, when memory is short and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground import machine
from playground.errors import OutOfMemory
from playground.evaluate import estimate
from playground.evaluate.spec import Conditions, DivergenceSpec, EvaluateSpec
from playground.jobs import room
from playground.jobs.kinds import Spec
from playground.methods.recipe import Recipe
from playground.quantize.spec import QuantizeSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.queue import FakeQueue

TASKS = Conditions(tasks=("bundled_facts",))
BOTH = ("smollm2", "smollm2:nf4")


@pytest.mark.parametrize(
    "spec",
    [
        QuantizeSpec(model="smollm2", recipe=Recipe(method="rtn", scheme="W4A16")),
        EvaluateSpec(variants=BOTH, conditions=TASKS),
        DivergenceSpec(variants=BOTH),
    ],
    ids=lambda spec: spec.kind,
)
def test_idle_models_make_room_before_a_job_and_only_then(
    home: Path, monkeypatch: pytest.MonkeyPatch, spec: Spec
) -> None:
    engine, queue = FakeEngine(), FakeQueue()
    engine.loaded = {"a", "b", "c"}
    job = queue.get(queue.submit(spec))
    free = {"bytes": 10**12}
    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(10**12, free["bytes"]))
    begin = room.before_start(engine)
    begin(job)
    assert engine.loaded == {"a", "b", "c"}
    free["bytes"] = 10**6
    unload = engine.unload_idle

    def told() -> str | None:
        free["bytes"] += 4 * 10**9
        return unload()

    monkeypatch.setattr(engine, "unload_idle", told)
    begin(job)
    assert engine.loaded == {"b", "c"}
    free["bytes"] = 10**6
    monkeypatch.setattr(engine, "unload_idle", lambda: None)
    monkeypatch.setattr(machine, "held_by_children", lambda: 10**12)  # a busy model: nobody may unload it
    with pytest.raises(OutOfMemory, match="of memory and"):
        begin(job)


def test_a_divergence_holds_two_models_and_tasks_hold_one(home: Path) -> None:
    tasks, both = (
        estimate.memory(EvaluateSpec(variants=BOTH, conditions=TASKS)),
        estimate.memory(DivergenceSpec(variants=BOTH)),
    )
    weights = 269_030_016
    assert tasks.low - estimate.WORKER_BYTES == pytest.approx(weights, rel=0.01)
    assert both.low - estimate.WORKER_BYTES == pytest.approx(3 * weights, rel=0.01), (
        "BF16, and FP32 for the noise floor"
    )
    beside = estimate.memory(
        EvaluateSpec(variants=BOTH, conditions=TASKS, divergence={"text": "bundled", "tokens": 64})
    )
    assert beside == both
    assert estimate.memory(EvaluateSpec(variants=("smollm2@vllm",), conditions=TASKS)).low == estimate.WORKER_BYTES, (
        "vLLM keeps its own account"
    )
