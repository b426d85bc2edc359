"""The routes of one feature behind a plain FastAPI, without the rest of the page, and a client of them."""

from __future__ import annotations

import json
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import APIRouter, FastAPI

from playground.web import api


def app(*routers: APIRouter) -> FastAPI:
    made = FastAPI()
    api.install(made)
    for router in routers:
        made.include_router(router)
    return made


@contextmanager
def serving(*routers: APIRouter) -> Iterator[str]:
    """The address of a server with these routes."""
    config = uvicorn.Config(app(*routers), port=0, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive() and time.monotonic() < end, "it does not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Refused(Exception):
    """A refusal: its status and the fields of its error."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(f"{error['message']} {error['hint']}".strip())
        self.status, self.error = status, error


class Page:
    """One page of a browser: it calls the routes, and keeps the rows that it has read."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60)
        weakref.finalize(self, self.http.close)
        self.name, self.after = uuid.uuid4().hex, 0
        self.rows: list[list[Any]] = []
        self.numbers: list[int] = []
        self.state: dict[str, Any] = {}

    def open(self, session: str = "") -> Page:
        self.post("open", session=session)
        return self

    def post(self, verb: str, **body: Any) -> dict[str, Any]:
        """The state after it. Raises Refused."""
        body = {"session": self.state.get("session", "")} | body
        self.state = self.read(self.http.post(f"/api/compare/{verb}", json=body))
        return self.state

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        return self.read(self.http.get(path, params={"session": self.state.get("session", "")} | params))

    @staticmethod
    def read(answer: Any) -> dict[str, Any]:
        body: dict[str, Any] = answer.json()
        if answer.status_code >= 400:
            raise Refused(answer.status_code, body["error"])
        return body

    def follow(self) -> list[list[Any]]:
        """Read the stream to its end; return all rows so far."""
        url = f"/stream/{self.state['session']}"
        with self.http.stream("GET", url, params={"after": self.after, "page": self.name}) as answer:
            if answer.status_code != 200:
                raise Refused(answer.status_code, json.loads(answer.read())["error"])
            self.take(answer.iter_lines())
        return self.rows

    def take(self, lines: Iterator[str]) -> None:
        number = 0
        for line in lines:
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: ") and number:  # the event at the end has no number
                self.rows.append(json.loads(line[6:]))
                self.numbers.append(number)
                self.after, number = number, 0

    def kinds(self, slot: int, kind: str = "") -> list[list[Any]]:
        """The rows of a slot without its number."""
        return [row[1:] for row in self.rows if row[0] == slot and kind in ("", row[1])]

    def text(self, slot: int) -> str:
        return "".join(row[2] for row in self.kinds(slot, "tok"))
