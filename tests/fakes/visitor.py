"""Somebody on the network: drives every function of a served page by plain HTTP, as no browser would."""

from __future__ import annotations

import json
import uuid
import weakref
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Visitor:
    """One cookie jar and one session. `url` may be another name of the same page."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.url = self.url.rstrip("/")
        self.http = httpx.Client(base_url=self.url, headers=self.headers, timeout=60)
        weakref.finalize(self, self.http.close)
        self._config: dict[str, Any] | None = None
        self._named: dict[str, Any] | None = None

    @property
    def config(self) -> dict[str, Any]:
        if self._config is None:
            self._config = self.http.get("/config").json()
        return self._config

    def dependency(self, index: int) -> dict[str, Any]:
        return next(one for one in self.config["dependencies"] if one["id"] == index)

    def inputs(self, index: int, values: dict[str, Any]) -> list[Any]:
        """The inputs of a function as the page has them at first, with these instead, by elem_id."""
        by_id = {one["id"]: one["props"] for one in self.config["components"]}
        props = [by_id[found] for found in self.dependency(index)["inputs"]]
        return [values.get(str(one.get("elem_id")), one.get("value")) for one in props]

    def named(self, name: str, data: list[Any]) -> dict[str, Any]:
        """The arguments of a documented endpoint by their names."""
        if self._named is None:
            self._named = self.http.get("/gradio_api/info").json()["named_endpoints"]
        known = [one["parameter_name"] for one in self._named[f"/{name}"]["parameters"]]
        return dict(zip(known, data, strict=False))

    def call(self, name: str, *data: Any) -> Any:
        """A documented endpoint: its answer, or its error."""
        begun = self.http.post(f"/gradio_api/call/v2/{name}", json=self.named(name, list(data)))
        assert begun.status_code == 200, begun.text
        lines = self.http.get(f"/gradio_api/call/{name}/{begun.json()['event_id']}").text.splitlines()
        event, body = lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))
        return body[0] if event == "complete" else body

    def log_in(self, token: str) -> httpx.Response:
        return self.http.post("/access/login", json={"token": token})
