"""A connection that breaks off, again and again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress


class Proxy:
    """A TCP proxy that cuts its first streams after so many bytes, in the middle of whatever passes."""

    def __init__(self, port: int, limits: Iterable[int] = (700, 1500, 901, 333)) -> None:
        self._port, self.limits, self.cuts = port, list(limits), 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head, passed, limit = b"", 0, None
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            threading.Thread(target=_forward, args=(client, server), daemon=True).start()
            while data := server.recv(100):
                if limit is None:
                    head = (head + data)[-200:]
                    if b"text/event-stream" in head and self.limits:
                        limit = self.limits.pop(0)
                if limit is not None and passed + len(data) > limit:
                    client.sendall(data[: limit - passed])
                    self.cuts += 1
                    break
                passed += len(data) if limit is not None else 0
                client.sendall(data)
            for side in (client, server):  # `close` alone would wait for the thread that reads
                with suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


def _forward(client: socket.socket, server: socket.socket) -> None:
    """Pass on what the client sends, until either side has closed."""
    with suppress(OSError):
        while data := client.recv(65536):
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)
