"""Long file work in a child process that reports JSON lines, so that a cancel takes effect at once, wherever it is."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from playground.catalog.endpoints import without_keys
from playground.core import Progress
from playground.errors import Cancelled, CatalogError, from_wire

POLL_S = 0.1
GRACE_S = 2.0


def run(
    module: str,
    arguments: list[str],
    report: Callable[[Progress], None],
    stop: Callable[[], bool],
    what: str,
    message: str = "",
) -> dict[str, Any]:
    """Run `python -m module arguments` and return its `result`; `what` names the work in errors.

    `message` is one line on its standard input, for what no list of processes may show. The
    child prints `{"stage", "done", "total", "unit"}` lines, then `{"result"}` or an error body. Raises the
    child's typed error, Cancelled, or CatalogError with the last log lines.
    """
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if message else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**without_keys(os.environ), "PYTHONPATH": paths},
            start_new_session=True,
        )
        try:
            if child.stdin is not None:
                _tell(child.stdin, message)
            result = _listen(child, report, stop, what)
        finally:
            _end(child)
        if result is None:
            log.seek(0)
            raise CatalogError(f"{what} failed.", hint="See the log lines.", log_tail=log.read()[-2000:])
    return result


def _end(child: subprocess.Popen[str]) -> None:
    """End the child whatever it is doing: politely first, so that it removes its partial files."""
    if child.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(POLL_S)
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def _tell(stdin: IO[str], message: str) -> None:
    """The pipe stays open: its end tells the child that this process is gone."""
    with contextlib.suppress(BrokenPipeError):  # a child that ended already says why
        stdin.write(f"{message}\n")
        stdin.flush()


def _listen(
    child: subprocess.Popen[str], report: Callable[[Progress], None], stop: Callable[[], bool], what: str
) -> dict[str, Any] | None:
    lines: queue.Queue[str | None] = queue.Queue()
    assert child.stdout is not None  # noqa: S101  a pipe was asked for
    reader = threading.Thread(target=_pump, args=(child.stdout, lines), daemon=True)
    reader.start()
    while True:
        if stop():
            raise Cancelled(f"{what} was stopped.")
        try:
            line = lines.get(timeout=POLL_S)
        except queue.Empty:
            continue
        if line is None:
            reader.join()
            return None
        message = json.loads(line)
        if "error" in message:
            raise from_wire(message)
        if "result" in message:
            result: dict[str, Any] = message["result"]
            return result
        report(Progress(message["stage"], message["done"], message["total"], message["unit"]))


def _pump(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    with contextlib.suppress(ValueError):
        for line in stream:
            lines.put(line)
    lines.put(None)


def say(message: dict[str, Any]) -> None:
    """Print one message for the parent (used by the children)."""
    print(json.dumps(message), flush=True)
