"""Build the server over an engine and a queue of jobs, and serve it: the page, its JSON API, and the named functions.

Also here: the line about the machine, the health route, the function `/jobs` for gradio_client and plain HTTP, and the
responses of MCP tools as JSON, because gradio 6.31 sends Python's `str` of a response, which no client can parse.
"""

from __future__ import annotations

import json
import logging
import signal
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from playground import machine
from playground.compare import api as compare_api
from playground.compare.choose import Compare
from playground.compare.endpoints import Endpoints
from playground.compare.session import Sessions
from playground.engines.base import Engine
from playground.errors import PlaygroundError
from playground.evaluate import api as evaluate_api
from playground.evaluate import board
from playground.jobs import room
from playground.push import api as push_api
from playground.push.pushes import Pushes
from playground.quantize import api as quantize_api
from playground.review import api as review_api
from playground.review import routes as review_routes
from playground.runs import api as runs_api
from playground.runs import routes as runs_routes
from playground.settings import settings
from playground.spec import Spec
from playground.speed import api as speed_api
from playground.speed.session import Measurements
from playground.store.jobs import ahead
from playground.store.schema import Job
from playground.web import access, api, shell, stream
from playground.web import gradio as gr
from playground.web.gate import PageToken
from playground.web.jobs import Queue, View, job_card
from playground.web.owner import Owner, Rules

log = logging.getLogger(__name__)
MAX_EVENTS = 200  # waiting or running in gradio's queue; further ones are refused
HEALTH_PATH = "/health"


@dataclass(frozen=True)
class Site:
    """A server and what it closes when it ends. `app` has the routes; `blocks` exists once it is launched."""

    app: gr.Server
    sessions: Sessions
    measurements: Measurements
    endpoints: Endpoints
    pushes: Pushes
    jobs: Queue

    @property
    def blocks(self) -> gr.Blocks:
        return self.app.get_blocks()

    @property
    def local_url(self) -> str:
        return str(self.blocks.local_url)


def build(engine: Engine, owner: Owner, queue: Queue, token: PageToken | None = None) -> Site:
    """Return the server with all its routes; starts no thread or process.

    owner  decides who may change things
    token  what the page shows to the gate
    """
    sessions, measurements, pushes, rules = Sessions(), Measurements(), Pushes(), Rules(owner)
    endpoints = Endpoints(owner)
    compare = Compare(engine, sessions, lambda: device_line(engine), rules)
    app = gr.Server(
        title="Quantization Playground",
        docs_url=None,
        redoc_url=None,
    )
    access.sign_in(app)
    api.install(app)
    for routes in (
        compare_api.router(compare, endpoints),
        compare_api.script_router(engine, rules),
        quantize_api.router(rules, queue, pushes),
        push_api.router(owner, pushes),
        evaluate_api.router(owner, rules, queue),
        speed_api.router(engine, measurements, rules),
        runs_api.router(owner),
        jobs_router(owner, queue),
        review_api.router(queue, owner),
        stream.router(compare.find, lambda name, request: measurements.of(name, request, owner)),
    ):
        app.include_router(routes)
    compare_api.endpoints(app, engine, rules)
    quantize_api.endpoints(app, owner, queue)
    add_jobs(app, owner, queue)
    evaluate_api.endpoints(app, owner, queue)
    serve(app, owner, engine, token or PageToken())
    return Site(app, sessions, measurements, endpoints, pushes, queue)


def serve(app: gr.Server, owner: Owner, engine: Engine, token: PageToken) -> None:
    """Add the page, its files and the routes that are no part of the API."""

    def page(request: Request) -> Response:
        if run_id := request.query_params.get("run", ""):  # links of earlier versions
            other = request.query_params.get("with", "")
            return RedirectResponse(
                f"run/{quote(run_id, safe='')}" + (f"?with={quote(other, safe='')}" if other else "")
            )
        return shell.document(request)

    def run(request: Request) -> Response:
        return runs_routes.document(request.path_params["run_id"], request, owner)

    app.router.routes[:0] = [
        Route("/", page, methods=["GET"]),
        Route("/run/{run_id}", run, methods=["GET"]),
        Route(HEALTH_PATH, health, methods=["GET"]),
    ]

    access.serve(app, owner, token, lambda: device_line(engine))
    runs_routes.serve_files(app, owner)
    review_routes.serve(app)
    shell.serve(app)


def launch(
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    engine: Engine | None = None,
    block: bool = True,
    queue: Queue | None = None,
    mcp: bool | None = None,
) -> Site:
    """Serve the page until interrupted (`block=False` returns at once); the engine and the queue close with it.

    mcp  whether the named functions are MCP tools too; None: as PLAYGROUND_MCP says
    """
    config = settings()
    address = host or config.host
    owner, guard = access.guard(address, share)
    if engine is None:
        from playground.engines.router import Engines

        engine = Engines()
    if queue is None:
        from playground.jobs.queue import JobQueue

        queue = JobQueue(before_start=room.before_start(engine))
    site = build(engine, owner, queue, guard.page)
    stop = _stop_event() if block else None  # before the page answers: a signal may come at once
    site.app.launch(
        server_name=address,
        server_port=(port if port is not None else config.port) or _free_port(address),
        share=share,
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        allowed_paths=[],
        max_file_size="1kb",
        show_error=False,
        mcp_server=config.mcp if mcp is None else mcp,
        app_kwargs={"lifespan": guard.lifespan},
    )
    if block:
        print(f"* Running on {site.local_url}", flush=True)
    guard.opened(site.blocks)
    if site.blocks.mcp_server_obj is not None:
        as_json(site.blocks.mcp_server_obj)
    if site.blocks.mcp_error:
        log.warning("There are no MCP tools: %s", site.blocks.mcp_error)
    if config.prewarm:
        threading.Thread(target=_prewarm, args=(engine,), name="prewarm", daemon=True).start()
    if stop is not None:
        try:
            stop.wait()
        finally:
            close(site, engine)
    return site


def _free_port(address: str) -> int:
    """Return a free port; gradio itself would try a hundred from 7860 and leak a socket at each taken one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address.strip("[]"), 0), family=family) as listener:
        return int(listener.getsockname()[1])


def _stop_event() -> threading.Event:
    """Return an event that Ctrl+C and SIGTERM set."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return stop


def close(site: Site, engine: Engine) -> None:
    """End every run, the server, the queue and the engine."""
    site.sessions.close_all()
    site.measurements.close_all()
    site.endpoints.close_all()
    site.pushes.close()
    site.blocks.close()
    site.jobs.close()
    engine.close()


def _prewarm(engine: Engine) -> None:
    try:
        engine.start()
    except Exception as error:  # noqa: BLE001 - the first run tries again and shows the error where it belongs
        log.warning("the engine did not start: %s", error)


def device_line(engine: Engine) -> str:
    """Return "CPU · 2 cores · 29 GB/s · 3.1 of 23 GB used", without a measurement or waiting for an engine."""
    return device_words(machine.known(), machine.memory(), machine.cores(), engine.health())


def device_words(
    probe: machine.Probe | None, memory: machine.Memory, cores: int, health: Mapping[str, Any] | None = None
) -> str:
    """Return the line about the machine. A GPU's memory is only known while its engine runs."""
    device = probe.device if probe else str(health["device"]) if health else ""
    parts = [probe.name if probe and device == "cuda" else {"cpu": "CPU", "mps": "Apple GPU"}.get(device, device)]
    if device == "cpu":
        parts.append(f"{cores} core{'s' if cores > 1 else ''}")
    if probe and probe.bandwidth:
        parts.append(f"{probe.bandwidth / 1e9:.0f} GB/s")
    if device == "cuda" and health:
        parts.append(_used_memory(health["memory_used_bytes"], health["memory_total_bytes"]))
    elif device != "cuda":
        parts.append(_used_memory(memory.total - memory.available, memory.total))
    return " · ".join(part for part in parts if part)


def _used_memory(used: float, total: float) -> str:
    return f"{used / 1e9:.1f} of {total / 1e9:.0f} GB used"


async def health(_request: Request) -> JSONResponse:
    """Answer from the event loop, without a thread, an engine or the disk, so that it is only late if the page hangs.

    It is open to everybody, without a login, and so contains nothing about this machine or its users.
    """
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


# MCP.


def as_json(server: Any) -> None:
    """Make gradio's MCP server send its tools' responses as JSON."""
    original = server.postprocess_output_data

    def json_output(data: Any, root_url: str) -> Any:
        return original(
            [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in data], root_url
        )

    server.postprocess_output_data = json_output


# The documented endpoints.


class JobId(Spec):
    id: str


def jobs_router(owner: Owner, queue: Queue) -> APIRouter:
    """Return the routes of `/api/jobs`: the list, and what can be done with one job of any kind. For the owner."""
    routes = APIRouter(prefix="/api/jobs", tags=["jobs"])

    @routes.get("")
    def jobs(request: Request) -> list[dict[str, Any]]:
        """All jobs, the newest first; one row per job as in the function `/jobs`."""
        owner.check(request)
        return [_job(job) for job in queue.list()]

    @routes.get("/{job_id}")
    def job(job_id: str, request: Request) -> dict[str, Any]:
        """One job: its row as in the list, and as `card` its stage, the time left, notes, and its place in the line."""
        owner.check(request)
        found, view = queue.get(job_id), View()
        view.take(*queue.events(job_id))
        error = found.failure
        log_tail = (error.log_tail or queue.log(job_id)) if error else None
        before = ahead(found, (other for other in queue.list() if not other.over))
        return _job(found) | {"card": job_card(found, view, before, {"title": found.title}, log_tail)}

    @routes.post("/cancel")
    def cancel(job: JobId, request: Request) -> dict[str, Any]:
        """Stop a job, or take it out of the queue. What it wrote so far is removed, unless its kind keeps it."""
        owner.check(request)
        queue.cancel(job.id)
        return {"id": job.id}

    @routes.post("/again")
    def again(job: JobId, request: Request) -> dict[str, Any]:
        """Submit a job that has ended once more; returns the id of the new job."""
        owner.check(request)
        return {"id": queue.again(job.id)}

    return routes


def add_jobs(app: gr.Server, owner: Owner, queue: Queue) -> None:
    """Add the function `/jobs`."""

    def jobs(request: gr.Request) -> list[dict[str, Any]]:
        """All jobs, the newest first. For the owner, because they name the runs that they left.

        Returns:
            One row per job: id, kind, title, device, state (queued, running, done, failed, cancelled, interrupted),
            created_at, started_at, ended_at, spec, error, result. Paths are null here, as in /models.
        """
        try:
            owner.check(request)
            return [_job(job) for job in queue.list()]
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    app.api(jobs, name="jobs")


def _job(job: Job) -> dict[str, Any]:
    """Return the row of a job without paths of this machine and without pasted text."""
    if job.kind in ("evaluate", "divergence"):
        return board.measuring_job(job, job.as_row())
    return quantize_api.row(job)
