"""Build the page over an engine and a queue of jobs, and serve it."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from types import FrameType
from typing import Any

import gradio as gr

from playground.engines.engine import Engine
from playground.settings import settings
from playground.ui import (
    api,
    compare_tab,
    evaluate_api,
    evaluate_tab,
    pages,
    quantize_files,
    quantize_room,
    quantize_tab,
    run_files,
    run_routes,
    runs_tab,
    speed_tab,
    theme,
)
from playground.ui.compare_events import Compare
from playground.ui.device import device_line
from playground.ui.endpoints_events import Endpoints
from playground.ui.evaluate_events import Evaluate
from playground.ui.job_cards import Queue
from playground.ui.owner import Owner, loopback
from playground.ui.quantize_events import Quantize
from playground.ui.runs_events import Runs
from playground.ui.session import Sessions
from playground.ui.speed_events import Speed
from playground.ui.speed_session import SpeedTabs

log = logging.getLogger(__name__)


def build(engine: Engine, owner: Owner, queue: Queue) -> gr.Blocks:
    """The whole page; starts nothing. `owner` decides who may change what outlives a visit."""
    sessions, speeds = Sessions(), SpeedTabs()
    with gr.Blocks(title="Quantization Playground", analytics_enabled=False, fill_width=True) as demo:
        tab = compare_tab.layout()
        pages.navigation(tab.device.parent)
        compare = Compare(tab, engine, sessions, lambda: device_line(engine))
        compare.wire(demo)
        endpoints = Endpoints(tab.endpoints, owner)
        endpoints.wire(demo, compare.offered, [tab.model, *(slot.variant for slot in tab.slots)])
        quantize = Quantize(quantize_tab.layout(), queue, owner, compare.show, compare.picked)
        quantize.wire(demo)
        Evaluate(evaluate_tab.layout(), queue, owner).wire()
        Speed(speed_tab.layout(), engine, speeds).wire(demo)
        Runs(runs_tab.layout(), owner).wire()
        api.endpoints(engine, owner, queue)
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
) -> gr.Blocks:
    """Serve the page until interrupted (`block=False` returns at once); the engine and the queue close with it."""
    chosen = settings()
    address = host or chosen.host
    if not loopback(address) or share:
        log.warning(
            "Anyone who can reach %s can use this page and load models on this machine: it has no login.",
            "the share link" if share else address,
        )
    if engine is None:
        from playground.engines.engines import Engines

        engine = Engines()
    if queue is None:
        from playground.jobs.queue import JobQueue

        queue = JobQueue(before_start=quantize_room.before_start(engine))
    demo = build(engine, Owner(address, share), queue)
    over = _over_at_signal() if block else None  # before the page answers: a signal may come at once
    demo.queue(default_concurrency_limit=8, api_open=False)
    demo.launch(
        server_name=address,
        server_port=(port if port is not None else chosen.port) or _free_port(address),
        share=share,
        prevent_thread_lock=True,
        quiet=not block,
        ssr_mode=False,
        run_history=False,
        footer_links=[],
        allowed_paths=[],
        max_file_size="1kb",
        show_error=False,
        **theme.options(),
    )
    quantize_files.serve(demo.app, Owner(address, share))
    run_files.serve(demo.app, Owner(address, share))
    run_routes.serve(demo.app, Owner(address, share))
    if chosen.prewarm and hasattr(engine, "start"):
        threading.Thread(target=_prewarm, args=(engine,), name="prewarm", daemon=True).start()
    if over is not None:
        try:
            over.wait()
        finally:
            close(demo, engine)
    return demo


def _free_port(address: str) -> int:
    """Any free port; gradio itself would go through a hundred from 7860 and leave a socket open at each taken one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address.strip("[]"), 0), family=family) as listener:
        return int(listener.getsockname()[1])


def _over_at_signal() -> threading.Event:
    """Set at Ctrl+C and at SIGTERM."""
    over = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return over


def close(demo: gr.Blocks, engine: Any) -> None:
    """End every run, the server, the queue and the engine."""
    demo.sessions.close_all()
    demo.speeds.close_all()
    demo.endpoints.close_all()
    demo.quantize.close()
    demo.close()
    demo.jobs.close()
    if hasattr(engine, "close"):
        engine.close()


def _prewarm(engine: Any) -> None:
    try:
        engine.start()
    except Exception as error:  # noqa: BLE001 - the first run tries again and shows the error where it belongs
        log.warning("the engine did not start: %s", error)
