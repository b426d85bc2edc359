"""Free memory for a job before it begins, by unloading idle models."""

from __future__ import annotations

import logging
from collections.abc import Callable

from playground import formatting, machine
from playground.engines.base import Engine, zero_gpu
from playground.errors import EngineUnavailable
from playground.jobs import kinds
from playground.store.schema import Job

log = logging.getLogger(__name__)


def before_start(engine: Engine) -> Callable[[Job], None]:
    """Return the function that a queue calls before a job.

    It raises OutOfMemory if the job does not fit even with all idle models unloaded, and EngineUnavailable on ZeroGPU.
    """

    def make_room(job: Job) -> None:
        if zero_gpu():
            raise EngineUnavailable(
                "A ZeroGPU Space has one process, and a job is a second one.",
                hint="Use a Space with a GPU or CPU of its own, or another machine.",
            )
        kind = kinds.kind(job.kind)
        spec = kind.Spec.from_stored(job.spec)
        needed = kind.needs(spec)
        while (job.device != "cpu" or machine.memory().available < needed) and (name := engine.unload_idle()):
            log.info("%s was unloaded: job %s needs up to %s", name, job.id, formatting.size(needed))
        kind.check(spec, job.device)

    return make_room
