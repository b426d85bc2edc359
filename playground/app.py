"""Build the page over an engine and a queue of jobs, and serve it.

Also here: the line about the machine, the health route, the endpoint `/jobs` for gradio_client and plain HTTP, and the
responses of MCP tools as JSON, because gradio 6.31 sends Python's `str` of a response, which no client can parse.
"""

from __future__ import annotations

import json
import logging
import signal
import socket
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from playground import machine
from playground.compare import api as compare_api
from playground.compare import page as compare_page
from playground.compare.endpoints import Endpoints
from playground.compare.page import Compare
from playground.compare.session import Sessions
from playground.engines.base import Engine
from playground.errors import PlaygroundError
from playground.evaluate import api as evaluate_api
from playground.evaluate import board
from playground.evaluate import page as evaluate_page
from playground.evaluate.page import Evaluate
from playground.jobs import room
from playground.quantize import api as quantize_api
from playground.quantize import files
from playground.quantize import page as quantize_page
from playground.quantize.page import Quantize
from playground.review import page as review_page
from playground.review import routes as review_routes
from playground.review.page import Reviews
from playground.runs import listing
from playground.runs import routes as runs_routes
from playground.runs.listing import Runs
from playground.settings import settings
from playground.speed import page
from playground.speed.page import Speed
from playground.speed.session import SpeedTabs
from playground.store.schema import Job
from playground.web import access, theme
from playground.web import gradio as gr
from playground.web.jobs import Queue
from playground.web.owner import Owner, Rules

log = logging.getLogger(__name__)
MAX_EVENTS = 200  # waiting or running in gradio's queue; further ones are refused
HEALTH_PATH = "/health"


def build(engine: Engine, owner: Owner, queue: Queue) -> gr.Blocks:
    """Return the page; starts no thread or process. `owner` decides who may change stored things."""
    sessions, speeds, rules = Sessions(), SpeedTabs(), Rules(owner)
    with gr.Blocks(title="Quantization Playground", analytics_enabled=False, fill_width=True) as demo:
        tab = compare_page.layout()
        theme.navigation(tab.device.parent)
        access.add_login(tab.device.parent)
        compare = Compare(tab, engine, sessions, lambda: device_line(engine), rules)
        compare.wire(demo)
        endpoints = Endpoints(tab.endpoints, owner)
        endpoints.wire(demo, compare.refresh_choices, [tab.model, *(slot.variant for slot in tab.slots)])
        quantize = Quantize(quantize_page.layout(), queue, rules, compare.show, compare.pane_outputs)
        quantize.wire(demo)
        Evaluate(evaluate_page.layout(), queue, rules).wire()
        Speed(page.layout(), engine, speeds, rules).wire(demo)
        Runs(listing.layout(), owner).wire()
        Reviews(review_page.layout(), queue, owner).wire()
        compare_api.endpoints(engine, rules)
        quantize_api.endpoints(owner, queue)
        add_jobs(owner, queue)
        evaluate_api.endpoints(owner, queue)
    demo.sessions, demo.speeds, demo.endpoints, demo.jobs, demo.quantize = sessions, speeds, endpoints, queue, quantize
    return demo


def launch(
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    engine: Engine | None = None,
    block: bool = True,
    queue: Queue | None = None,
    mcp: bool | None = None,
) -> gr.Blocks:
    """Serve the page until interrupted (`block=False` returns at once); the engine and the queue close with it.

    mcp  whether the documented endpoints are MCP tools too; None: as PLAYGROUND_MCP says
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
    demo = build(engine, owner, queue)
    stop = _stop_event() if block else None  # before the page answers: a signal may come at once
    demo.queue(default_concurrency_limit=8, api_open=False, max_size=MAX_EVENTS)
    demo.launch(
        server_name=address,
        server_port=(port if port is not None else config.port) or _free_port(address),
        share=share,
        prevent_thread_lock=True,
        quiet=not block,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        allowed_paths=[],
        max_file_size="1kb",
        show_error=False,
        mcp_server=config.mcp if mcp is None else mcp,
        app_kwargs=guard.options,
        **theme.options(),
    )
    guard.opened(demo)
    files.serve(demo.app, owner)
    runs_routes.serve_files(demo.app, owner)
    runs_routes.serve(demo.app, owner)
    serve(demo.app)
    if demo.mcp_server_obj is not None:
        as_json(demo.mcp_server_obj)
    if demo.mcp_error:
        log.warning("There are no MCP tools: %s", demo.mcp_error)
    review_routes.serve(demo.app)
    if config.prewarm:
        threading.Thread(target=_prewarm, args=(engine,), name="prewarm", daemon=True).start()
    if stop is not None:
        try:
            stop.wait()
        finally:
            close(demo, engine)
    return demo


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


def close(demo: gr.Blocks, engine: Engine) -> None:
    """End every run, the server, the queue and the engine."""
    demo.sessions.close_all()
    demo.speeds.close_all()
    demo.endpoints.close_all()
    demo.quantize.close()
    demo.close()
    demo.jobs.close()
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


def serve(app: Any) -> None:
    """Add the health route before gradio's routes."""
    app.router.routes.insert(0, Route(HEALTH_PATH, health, methods=["GET"]))


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


def add_jobs(owner: Owner, queue: Queue) -> None:
    """Add `/jobs` to the current Blocks."""

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

    gr.api(jobs, api_name="jobs")


def _job(job: Job) -> dict[str, Any]:
    """Return the row of a job without paths of this machine and without pasted text."""
    if job.kind in ("evaluate", "divergence"):
        return board.measuring_job(job, job.as_row())
    return quantize_api.row(job)
