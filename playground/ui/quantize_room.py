"""Room for a job before it begins: idle models are unloaded first when memory is short."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from playground import machine
from playground.catalog.variants import open_checkpoint
from playground.engines.environments import zero_gpu
from playground.errors import EngineUnavailable, OutOfMemory
from playground.estimate import estimate, facts
from playground.jobs.spec import QuantizeSpec
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
        if job.kind != "quantize":
            return
        spec = QuantizeSpec.from_dict(job.spec)
        checkpoint = open_checkpoint(spec.model)
        needed = estimate(checkpoint, spec.recipe, facts(spec.out, measure=False)).peak_memory[1]
        unload = getattr(engine, "unload_idle", lambda: None)
        while (job.device != "cpu" or machine.memory().available < needed) and (name := unload()):
            log.info("%s was unloaded: job %s needs up to %.2f GB", name, job.id, needed / 1e9)
        found = estimate(checkpoint, spec.recipe, facts(spec.out, measure=False))
        if not found.fits:
            raise OutOfMemory(found.refusal, hint=found.hint)

    return make_room
