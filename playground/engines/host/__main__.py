"""Run the host: `python -m playground.engines.host --fd N`, or `--port N` by hand.

The parent binds the socket and passes it, so that no other process can take the port, passes the key in
PLAYGROUND_ENGINE_KEY, and holds the other end of standard input: when the parent ends, the pipe closes and this process
exits. It leads its own process group, so that Ctrl+C in the terminal reaches the parent first.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys

from playground.parent import end_with_parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m playground.engines.host")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, help="listening socket inherited from the parent")
    where.add_argument("--port", type=int, help="loopback port to listen on")
    parser.add_argument("--stay", action="store_true", help="keep running when standard input closes")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("bitsandbytes.autograd._functions").addFilter(_Once())
    if options.fd is not None:
        listener = socket.socket(fileno=options.fd)
    else:
        listener = socket.create_server(("127.0.0.1", options.port))
    if not options.stay:
        end_with_parent()
    sys.exit(_serve(listener))


class _Once(logging.Filter):
    """Logs each message once: bitsandbytes repeats a warning for every int8 product."""

    def __init__(self) -> None:
        super().__init__()
        self._logged: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        fresh = record.getMessage() not in self._logged
        self._logged.add(record.getMessage())
        return fresh


def _serve(listener: socket.socket) -> int:
    """Serve until a signal or until the decode thread fails. Return the exit code."""
    import uvicorn

    from playground.engines.host.imports import without_sklearn

    without_sklearn()  # before the next line imports transformers

    from playground.engines.host.loading import DeviceMemory, device_of_choice
    from playground.engines.host.scheduler import DecodeThread
    from playground.engines.host.server import create_app

    memory = DeviceMemory(device_of_choice())
    engine = DecodeThread(memory, on_death=lambda: died())
    app = create_app(engine, memory, os.environ.pop("PLAYGROUND_ENGINE_KEY", ""))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    code = 0

    def died() -> None:
        nonlocal code
        code, server.should_exit = 1, True  # the app notices the exit and reports it

    engine.start()
    asyncio.run(server.serve(sockets=[listener]))
    engine.close()
    return code


if __name__ == "__main__":
    main()
