"""Room for a job before it begins: idle models are unloaded first when memory is short."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from playground import machine
from playground.catalog.variants import open_checkpoint
from playground.engines.environments import zero_gpu
from playground.errors import EngineUnavailable, OutOfMemory
from playground.estimate import Estimate, estimate, facts
from playground.jobs import kinds, room
from playground.jobs.divergence_spec import DivergenceSpec
from playground.jobs.evaluate_spec import EvaluateSpec
from playground.jobs.review_spec import ReviewSpec
from playground.jobs.spec import QuantizeSpec, Spec
from playground.store.schema import Job

log = logging.getLogger(__name__)


def before_start(engine: Any) -> Callable[[Job], None]:
    """What a queue calls before a job. Raises OutOfMemory when not even the idle models' memory is enough."""

    def make_room(job: Job) -> None:
        if zero_gpu():
            raise EngineUnavailable(
                "A ZeroGPU Space has one process, and a job is a second one.",
                hint="Use a Space with a GPU or CPU of its own, or another machine.",
            )
        spec = kinds.kind(job.kind).spec(job.spec)
        needed = _needed(spec)
        unload = getattr(engine, "unload_idle", lambda: None)
        while (job.device != "cpu" or machine.memory().available < needed) and (name := unload()):
            log.info("%s was unloaded: job %s needs up to %.2f GB", name, job.id, needed / 1e9)
        _check(spec, job.device)

    return make_room


def _needed(spec: Spec) -> int:
    """Bytes at the worst moment; 0 of a kind that holds no model."""
    match spec:
        case QuantizeSpec():
            return _quantizing(spec).room
        case EvaluateSpec() | DivergenceSpec():
            return room.needed(spec).high
        case ReviewSpec():
            return room.together(spec.variants)
        case _:
            return 0


def _check(spec: Spec, device: str) -> None:
    """Raise OutOfMemory where a job cannot fit even now."""
    if isinstance(spec, QuantizeSpec):
        found = _quantizing(spec)
        if not found.fits:
            raise OutOfMemory(found.refusal, hint=found.hint)
    elif isinstance(spec, EvaluateSpec | DivergenceSpec) and device == "cpu":  # of a GPU's memory the worker knows more
        low, free = room.needed(spec).low, machine.memory().available
        if low > free:
            raise OutOfMemory(
                f"It needs at least {low / 1e9:.2f} GB of memory and {free / 1e9:.2f} GB are free.",
                hint="Unload models on the Compare page, measure smaller variants, or leave the divergence out.",
            )


def _quantizing(spec: QuantizeSpec) -> Estimate:
    """What could be unloaded has been: what engines still hold is not counted as free any more."""
    here = replace(facts(spec.out, measure=False), memory_held=0)
    return estimate(open_checkpoint(spec.model), spec.recipe, here)
