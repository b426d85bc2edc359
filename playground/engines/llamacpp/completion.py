"""One generation in llama-server: its stream, and the abort that cuts the connection under it."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import psutil

from playground.core import UNKNOWN_ID, Finish, Generation, Loaded, Progress, Token
from playground.engines import client as http
from playground.engines.llamacpp.stream import Piece, Stream, body, finish, piece
from playground.engines.servers import ServerProcess
from playground.errors import EngineError

_DATA = "data: "


class Completion:
    """A generation that llama-server was asked for, or will be. Only `abort` may be called from another thread.

    names    text of every id of the vocabulary
    end_ids  token ids that end the answer, beside those that llama.cpp knows
    """

    def __init__(
        self,
        client: httpx.Client,
        process: ServerProcess,
        loaded: Loaded,
        generation: Generation,
        names: Sequence[str],
        end_ids: frozenset[int] = frozenset(),
    ) -> None:
        self._client = client
        self._process = process
        self._loaded = loaded
        self._generation = generation
        self._end_ids = frozenset() if generation.sampling.ignore_eos else end_ids
        self._stream = Stream(lru_cache(maxsize=256)(self._pieces), generation.top_logprobs, names)
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self.aborted = threading.Event()

    def items(self, waited_s: float) -> Iterator[Progress | Token | Finish]:
        """Everything up to the Finish, which says that it waited `waited_s` before. Raises EngineError, EngineDied."""
        with http.watched(self._process):
            try:
                with self._open() as response:
                    for line in response.iter_lines():
                        if self.aborted.is_set():
                            break
                        if not line.startswith(_DATA):
                            continue
                        chunk = json.loads(line.removeprefix(_DATA))
                        pending = self._stream.unsent
                        for item in self._stream.read(chunk):
                            if isinstance(item, Token) and item.id in self._end_ids and not chunk["stop"]:
                                yield replace(item, text="")
                                yield self._finish({**chunk, "stop_type": "eos", "content": ""}, pending, waited_s)
                                return  # which closes the connection
                            if isinstance(item, Token):
                                pending = [] if item.text else [*pending, item.id]
                            yield item
                        if chunk.get("stop"):
                            unsent = self._stream.unsent
                            held = {"eos": unsent[:-1], "word": []}.get(chunk["stop_type"], unsent)
                            yield self._finish(chunk, held, waited_s)
                            return
            except httpx.TransportError:
                if not self.aborted.is_set():
                    raise
            if self.aborted.is_set():
                yield self.unfinished(waited_s)
                return
        raise EngineError("llama.cpp closed the stream before the end.", log_tail=self._process.log_tail())

    def unfinished(self, waited_s: float) -> Finish:
        """The end of one that was aborted, whether it has begun or not."""
        return Finish("abort", len(self._generation.prompt_ids), self._stream.count, waited_s=waited_s)

    def abort(self) -> None:
        """llama-server stops decoding when the connection closes."""
        with self._lock:
            self.aborted.set()
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _open(self) -> Iterator[httpx.Response]:
        """The answer, whose connection `abort` may cut while it lasts."""
        with self._client.stream(
            "POST",
            f"{self._process.url}/completion",
            json=body(self._generation, self._loaded.context),
            headers=http.authorization(self._process.key),
        ) as response:
            http.check(response)
            with self._lock:
                self._connection = response.extensions["network_stream"].get_extra_info("socket")
            try:
                yield response
            finally:
                with self._lock:
                    self._connection = None

    def _post(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        return http.post(self._client, self._process, path, asked)

    def _pieces(self, text: str) -> tuple[Piece, ...]:
        asked = {"content": text, "add_special": False, "with_pieces": True}
        return tuple(piece(found) for found in self._post("/tokenize", asked)["tokens"])

    def _finish(self, last: dict[str, Any], held: Sequence[int], waited_s: float) -> Finish:
        """The end of an answer. `held`: ids that llama-server kept back as the beginning of a stop string."""
        text = ""
        if held and UNKNOWN_ID not in held and self._generation.sampling.stop:
            text = str(self._post("/detokenize", {"tokens": list(held)})["content"])
        return finish(last, text, _peak_bytes(self._process, self._loaded), waited_s)


def _peak_bytes(process: ServerProcess, loaded: Loaded) -> int | None:
    """Highest resident memory of the server; on a GPU what it allocated there, which is all at load time."""
    if loaded.device != "cpu":
        return loaded.resident_bytes
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        peak = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        return int(peak[1]) * 1024 if peak else None
    try:
        return int(psutil.Process(process.pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return None
