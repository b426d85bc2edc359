"""The real app, started and ended inside a test's process, over whichever engine and queue of jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from playground import app
from playground.engines.base import Engine
from tests.fakes.queue import FakeQueue


@contextmanager
def without_loops() -> Iterator[None]:
    """Gradio makes an event loop for every lock and never closes it; locks need none."""
    with (
        mock.patch("gradio.queueing.safe_get_lock", asyncio.Lock),
        mock.patch("gradio.utils.safe_get_lock", asyncio.Lock),
        mock.patch("gradio.utils.safe_get_stop_event", asyncio.Event),
    ):
        yield


@contextmanager
def serving(
    engine: Engine, host: str = "127.0.0.1", queue: FakeQueue | None = None, mcp: bool = False
) -> Iterator[str]:
    """The address of the page."""
    with without_loops():
        demo = app.launch(host=host, port=0, engine=engine, block=False, queue=queue or FakeQueue(), mcp=mcp)
    try:
        yield str(demo.local_url)
    finally:
        app.close(demo, engine)
