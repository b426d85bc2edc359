"""Numbered rows for a page, and their stream of server-sent events, which goes on where a connection broke off.

The work belongs to a session and not to a request: any thread appends rows, any number of readers follow. `Readers`
says when nobody has read for so long that the work should end.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from playground.errors import TooMany, UnknownSession

CHUNK_S = 0.05  # between two chunks: at most twenty per second
COMMENT_S = 10.0  # of silence, after which a comment shows a proxy that the stream is alive
MAX_STREAMS = 8
DROPPED_S = 15.0  # for a client whose connection broke off to come back
LEFT_S = 1.5  # for a page that was closed: a reload comes back sooner

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number, its group, and its JSON."""

    number: int
    group: Hashable
    text: str


class Rows:
    """An append-only log, numbered from 1. Thread-safe; a reader keeps the number of the last row that it has.

    Each row belongs to a group. A row that restarts its group drops the group's earlier rows, so that somebody who
    reads from the beginning gets only what still counts.
    """

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._last = 0
        self._lock = threading.Lock()

    @property
    def last(self) -> int:
        """The number of the last row, 0 before any."""
        return self._last

    def append(self, value: Sequence[Any], group: Hashable = None, *, restart: bool = False) -> int:
        """Append a JSON value and return its number. Raises ValueError for NaN."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        with self._lock:
            if restart:
                self._rows = [row for row in self._rows if row.group != group]
            self._last += 1
            self._rows.append(Row(self._last, group, text))
            return self._last

    def drop(self, group: Hashable) -> None:
        """Drop the rows of a group: they count no more."""
        with self._lock:
            self._rows = [row for row in self._rows if row.group != group]

    def ends_with(self, group: Hashable) -> bool:
        """Return whether the last row is of this group."""
        with self._lock:
            return bool(self._rows) and self._rows[-1].group == group

    def after(self, number: int) -> list[Row]:
        """Return the rows with higher numbers."""
        with self._lock:
            return self._rows[bisect.bisect_right(self._rows, number, key=lambda row: row.number) :]

    async def read(self, after: int, is_over: Callable[[], bool]) -> AsyncIterator[list[Row]]:
        """Yield rows as they come, together where they come fast, and an empty list after `COMMENT_S` without any.

        Ends once everything was yielded and `is_over` says that nothing more will come.
        """
        silent = 0.0
        while True:
            over = is_over()  # before the rows: what is appended meanwhile is still read
            if rows := self.after(after):
                after, silent = rows[-1].number, 0.0
                yield rows
            elif over:
                return
            elif silent >= COMMENT_S:
                silent = 0.0
                yield []
            await asyncio.sleep(CHUNK_S)
            silent += CHUNK_S


@dataclass(eq=False, slots=True)
class Reader:
    """One connection. `left`: its page was closed, though its connection may not have noticed yet."""

    page: str
    left: bool = False


class Readers:
    """Who reads a session's rows, and since when nobody does. Thread-safe."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._readers: list[Reader] = []
        self._deadline: float | None = None  # None while somebody reads, and before any work
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._readers)

    @property
    def abandoned(self) -> bool:
        """Whether the work should end: nobody reads, and nobody came back in time."""
        with self._lock:
            return self._deadline is not None and self._clock() >= self._deadline

    def renew(self) -> None:
        """Work begins, or a page says that it will read: it has `DROPPED_S` to connect."""
        with self._lock:
            self._deadline = None if self._present() else self._clock() + DROPPED_S

    def check(self) -> None:
        """Raise TooMany where no other stream may be opened."""
        if len(self._readers) >= MAX_STREAMS:
            raise TooMany(f"{MAX_STREAMS} streams of this session are open.", hint="Close one of its pages.")

    def join(self, page: str = "") -> Reader:
        with self._lock:
            reader = Reader(page)
            self._readers.append(reader)
            self._deadline = None
            return reader

    def part(self, reader: Reader) -> None:
        """A connection ended."""
        with self._lock:
            self._readers.remove(reader)
            if not self._present() and self._deadline is None:
                self._deadline = self._clock() + DROPPED_S

    def leave(self, page: str = "") -> None:
        """A page was closed. Other pages of the session go on."""
        with self._lock:
            for reader in self._readers:
                reader.left = reader.left or reader.page in (page, "")
            if not self._present():
                soon = self._clock() + LEFT_S
                self._deadline = soon if self._deadline is None else min(soon, self._deadline)

    def _present(self) -> bool:
        return any(not reader.left for reader in self._readers)


class EventStream(StreamingResponse):
    """The response that sends rows to one reader, who counts as present while it lasts."""

    def __init__(self, rows: Rows, readers: Readers, page: str, after: int, is_over: Callable[[], bool]) -> None:
        super().__init__(
            _events(rows, after, is_over),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._readers, self._page = readers, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader = self._readers.join(self._page)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._readers.part(reader)


async def _events(rows: Rows, after: int, is_over: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Each batch as one chunk. A lone surrogate, which UTF-8 cannot hold, becomes a question mark."""
    async for batch in rows.read(after, is_over):
        text = "".join(f"id: {row.number}\ndata: {row.text}\n\n" for row in batch) or ": \n\n"
        yield text.encode("utf-8", errors="replace")
    yield b"event: end\ndata: {}\n\n"  # else a browser would connect again


def last_seen(after: int, header: str) -> int:
    """Return the number of the last row that a client has: of `Last-Event-ID` where a browser reconnects by itself."""
    return max(after, int(header)) if header.isascii() and header.isdigit() and len(header) < 16 else after


class Source(Protocol):
    """What a stream is read from. `working`: more rows may come."""

    rows: Rows
    readers: Readers

    @property
    def working(self) -> bool: ...


def router(*finders: Callable[[str, Request], Source]) -> APIRouter:
    """Return the route `/stream/{id}`. A finder returns the source of an id, or raises UnknownSession."""
    routes = APIRouter(tags=["stream"])

    @routes.get("/stream/{id}")
    def stream(id: str, request: Request, after: int = 0, page: str = "") -> Response:
        """The rows after number `after`, as server-sent events; the id of an event is its row's number."""
        source = _find(finders, id, request)
        source.readers.check()
        seen = last_seen(after, request.headers.get("last-event-id", ""))
        return EventStream(source.rows, source.readers, page[:64], seen, lambda: not source.working)

    return routes


def _find(finders: Sequence[Callable[[str, Request], Source]], id: str, request: Request) -> Source:
    for find in finders[:-1]:
        try:
            return find(id, request)
        except UnknownSession:
            continue
    return finders[-1](id, request)
