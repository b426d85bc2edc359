"""The transformers engine: one host process per device, several variants in it, started when first needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import httpx

from playground import models
from playground.core import Finish, ForcedTokens, Forcing, Generation, Loaded, Message, Progress, Prompt, Token
from playground.engines import http, wire
from playground.engines.base import IsCancelled, OnProgress
from playground.engines.servers import Restarting, ServerProcess, ServerSpec
from playground.errors import EngineError

MODULE = "playground.engines.host"
Item = TypeVar("Item")
LOOK_S = 2.0  # timeout of requests that the host answers without computing


class TransformersEngine:
    """Implements `base.Engine`: the host process and the one client to it."""

    name = "transformers"

    def __init__(self) -> None:
        self._client = http.new_client()
        self._server = Restarting(ServerSpec(self.name, MODULE), self._client)

    def start(self) -> None:
        """Start the host now instead of at the first load."""
        self._server.ready()

    def close(self) -> None:
        """End the host."""
        self._server.close()
        self._client.close()

    @property
    def process(self) -> ServerProcess | None:
        return self._server.current

    def health(self) -> dict[str, Any] | None:
        """Return the response of /health (device, memory, loaded variants), or None if the host is not running."""
        process = self._server.current
        if process is None:
            return None
        try:
            return dict(self._client.get(f"{process.url}/health", timeout=LOOK_S).json())
        except (httpx.HTTPError, json.JSONDecodeError):
            return None

    def load(
        self, variant: str, on_progress: OnProgress, is_cancelled: IsCancelled, keep: Sequence[str] = ()
    ) -> Loaded:
        spec = models.resolve(variant, on_progress, is_cancelled)
        if self._server.current is None:
            on_progress(Progress("Starting the engine"))
        process = self._server.ready()
        body = {**asdict(spec), "keep": [name for name in keep if name != spec.id]}
        with (
            http.watched(process),
            http.events(self._client, process, "/v1/load", body, is_cancelled=is_cancelled) as events,
        ):
            for arrival in events:
                if "loaded" in arrival.event:
                    return Loaded.from_dict(arrival.event["loaded"])
                on_progress(Progress(**arrival.event["progress"]))
        raise EngineError("The engine ended a load without a result.")

    def held(self, variant: str) -> Loaded | None:
        """Return the facts of `variant` if the host has loaded it, else None. Does not block."""
        process = self._server.current
        if process is None:
            return None
        try:
            answer = self._client.get(
                f"{process.url}/v1/models", headers=http.authorization(process.key), timeout=LOOK_S
            )
            rows = answer.json()["data"]
            return next((Loaded.from_dict(row) for row in rows if row["id"] == variant), None)
        except (httpx.HTTPError, json.JSONDecodeError, KeyError):
            return None

    def unload(self, variant: str) -> bool:
        """Unload `variant`. Return False if it was not loaded."""
        process = self._server.current
        if process is None:
            return False
        return bool(http.post(self._client, process, "/v1/unload", {"id": variant})["unloaded"])

    def unload_idle(self) -> str | None:
        """Unload one variant if nothing is generated and return its name, else None."""
        health = self.health()
        if health is None or health["active"] or health["waiting"] or not health["loaded"]:
            return None
        name = str(health["loaded"][0])
        return name if self.unload(name) else None

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        return self._tokenize({"model": variant}, messages)

    def tokenize(self, folder: str, messages: Sequence[Message] | str) -> Prompt:
        """Render and tokenize with the tokenizer of a local folder, for a model that another engine runs."""
        return self._tokenize({"path": folder}, messages)

    def _tokenize(self, where: dict[str, str], messages: Sequence[Message] | str) -> Prompt:
        text = {"prompt": messages} if isinstance(messages, str) else {"messages": list(messages)}
        answer = http.post(self._client, self._server.ready(), "/tokenize", {**where, **text})
        return Prompt(tuple(answer["tokens"]), answer["text"], answer["template"], answer["tokenizer_hash"])

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        return self._stream("/v1/completions", wire.completion_body(generation), wire.item_of)

    def force(self, forcing: Forcing) -> Iterator[Progress | ForcedTokens | Finish]:
        prompt_tokens = len(forcing.prompt_ids)
        return self._stream("/v1/force", asdict(forcing), lambda event: wire.forced_from(event, prompt_tokens))

    def _stream(self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], Item]) -> Iterator[Item]:
        process = self._server.ready()
        finished = False
        with http.watched(process), http.events(self._client, process, path, body) as events:
            for arrival in events:
                yield (item := read(arrival.event))
                finished = isinstance(item, Finish)
            if not finished:
                raise http.unfinished(process)

    def abort(self, request_id: str) -> None:
        process = self._server.current
        if process is not None:
            http.post(self._client, process, f"/v1/requests/{request_id}/abort", {})
