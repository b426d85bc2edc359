"""Requests to an app in this process, from this machine; no server, and no cookie is kept."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.fakes.loops import finished

ORIGIN = "http://127.0.0.1:7860"


class Client:
    def __init__(self, app: Any) -> None:
        self._transport = httpx.ASGITransport(app, client=("127.0.0.1", 50_000))
        self.origin = ORIGIN

    def get(self, address: str, params: dict[str, str] | None = None) -> httpx.Response:
        return self._send(httpx.Request("GET", f"{self.origin}{address}", params=params))

    def post(self, address: str, body: object = None, **headers: str) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        sent = {"Origin": self.origin, "Content-Type": "application/json", **headers}
        return self._send(httpx.Request("POST", f"{self.origin}{address}", content=raw, headers=sent))

    def _send(self, request: httpx.Request) -> httpx.Response:
        async def answer() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport) as client:
                return await client.send(request)

        return finished(answer())
