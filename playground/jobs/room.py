"""Room for a job before it begins: idle models are unloaded first when memory is short."""

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
    """What a queue calls before a job. Raises OutOfMemory when not even the idle models' memory is enough."""

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
