"""Starting a server for a variant until it answers, or saying in llama.cpp's own words why it does not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import httpx

from playground.core import LoadSpec, Progress
from playground.engines.base import IsCancelled, OnProgress
from playground.engines.llamacpp import facts
from playground.engines.llamacpp.facts import Facts
from playground.engines.servers import START_TIMEOUT_S, ServerProcess, Servers
from playground.errors import EngineDied, EngineError, EngineUnavailable, OutOfMemory
from playground.settings import settings

MODULE = "playground.engines.llamacpp.host"
PORTS = 3  # attempts to find a port that nobody takes before the server does
LOAD_TIMEOUT_S = 3600.0  # of a file on a slow disk; a dead process is noticed at once


def start(
    spec: LoadSpec,
    context: int,
    servers: Servers,
    client: httpx.Client,
    on_progress: OnProgress,
    is_cancelled: IsCancelled,
) -> tuple[ServerProcess, Facts]:
    """A ready server of `servers`, and what it said. Raises EngineError with llama.cpp's own sentence, Cancelled."""
    log_name = f"llamacpp-{re.sub(r'[^A-Za-z0-9._-]+', '-', spec.id)[-80:].strip('-')}"
    for _ in range(PORTS):
        on_progress(Progress("Starting llama.cpp"))
        process = ServerProcess("llama.cpp", MODULE, _arguments(spec, context), binds=True, log_name=log_name)
        servers.started(spec.id, process)
        try:
            process.wait_ready(client, LOAD_TIMEOUT_S, _stages(on_progress), is_cancelled)
            return process, _wait_facts(process)
        except EngineDied as error:
            log = process.log_text()
            if facts.port_taken(log):
                servers.stop(spec.id)
                continue
            raise _refused(spec.id, facts.refusal(log), error) from None
    raise EngineUnavailable(
        f"llama.cpp found its port taken {PORTS} times in a row.", hint="Run it again.", log_tail=process.log_tail()
    )


def _arguments(spec: LoadSpec, context: int) -> list[str]:
    chosen = settings()
    arguments = ["--model", spec.path, "--context", str(context)]
    arguments += ["--flash-attention", chosen.llamacpp_flash_attention]
    arguments += ["--cache-k", chosen.llamacpp_cache_k, "--cache-v", chosen.llamacpp_cache_v]
    return [*arguments, "--gpu-layers", str(chosen.llamacpp_gpu_layers)]


def _stages(on_progress: OnProgress) -> Callable[[str], None]:
    """Progress from the lines of llama.cpp's log."""

    def on_log(line: str) -> None:
        if "loading model tensors" in line:
            on_progress(Progress("Reading weights"))

    return on_log


def _wait_facts(process: ServerProcess) -> Facts:
    """What the host says when it is ready. Another program's answer on a taken port is not mistaken for ours."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while (found := facts.facts(process.log_text())) is None:
        if not process.alive:
            raise process.obituary("could not start")
        if time.monotonic() > deadline:
            raise EngineUnavailable("llama.cpp did not get ready.", hint=f"Its log: {process.log_path}")
        time.sleep(0.02)
    return found


def _refused(variant: str, why: str, error: EngineDied) -> EngineError:
    if not why:
        return error
    if re.search(r"alloc|out of memory", why):
        return OutOfMemory(
            f"llama.cpp has no memory for {variant}: {why}.", hint="Close other programs.", log_tail=error.log_tail
        )
    return EngineError(
        f"llama.cpp cannot load {variant}: {why.rstrip('.')}.",
        hint="Use another file of this model, or another setting of PLAYGROUND_LLAMACPP_*.",
        log_tail=error.log_tail,
    )
