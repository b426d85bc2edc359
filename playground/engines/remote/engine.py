"""The remote engine: any OpenAI-compatible endpoint that the owner has added (a vLLM cluster, llama-server, an API).

Nothing is loaded here and the weights are not known. Times are those of arrival, including the network. The endpoint
tokenizes prompts if it can.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from playground.core import (
    Finish,
    ForcedTokens,
    Forcing,
    Generation,
    Loaded,
    Message,
    Progress,
    Prompt,
    Sampling,
    Token,
)
from playground.engines import base
from playground.engines.base import IsCancelled, OnProgress
from playground.engines.remote.errors import Missing, Rejected, TooLarge, missing_model, shown, unreadable
from playground.engines.remote.http import IsStopped, RemoteHttp, stream
from playground.engines.remote.served import KINDS, UNKNOWN, Served, neutral
from playground.engines.wire import Chunks, Scrub
from playground.errors import (
    Cancelled,
    EngineError,
    EngineUnavailable,
    InvalidRequest,
    UnknownModel,
    UnknownVariant,
    UnsupportedModel,
)
from playground.methods import did_you_mean
from playground.models import endpoints, names
from playground.models.endpoints import Endpoint

log = logging.getLogger(__name__)
_GREETING: tuple[Message, ...] = ({"role": "user", "content": "Hi"},)
_PROBE = Sampling(max_tokens=2)


class RemoteEngine:
    """Implements `base.Engine` for `@NAME/MODEL`."""

    name = "remote"

    def __init__(self) -> None:
        self._http = RemoteHttp()
        self._served: dict[str, Served] = {}
        self._aborted: dict[str, threading.Event] = {}

    def start(self) -> None:
        """Nothing is started: endpoints run elsewhere."""

    def health(self) -> dict[str, Any]:
        """Return the models that were loaded, without a request."""
        return {"loaded": list(self._served)}

    def held(self, variant: str) -> Loaded | None:
        served = self._known(variant)
        return served.loaded(variant, 0.0) if served else None

    def unload_idle(self) -> str | None:
        """None: an endpoint takes no memory of this machine."""
        return None

    def close(self) -> None:
        """End every generation and close the connections."""
        for aborted in list(self._aborted.values()):
            aborted.set()
        self._http.close()

    def models(self, name: str, is_stopped: IsStopped = lambda: False) -> list[str] | None:
        """Return the models in the endpoint's list; None if it has no list."""
        rows = self._rows(endpoints.find(name), is_stopped)
        return None if rows is None else [row["id"] for row in rows]

    def load(
        self,
        variant: str,
        on_progress: OnProgress,
        is_cancelled: IsCancelled,
        keep: Sequence[str] = (),  # noqa: ARG002 - nothing is unloaded here
    ) -> Loaded:
        """Check that the endpoint serves the model, and test with two tokens which requests it supports."""
        began = time.monotonic()
        parsed = _parsed(variant)
        endpoint = endpoints.find(parsed.endpoint)
        if held := self.held(variant):
            return held
        on_progress(Progress(f"Asking {endpoint.host}"))
        served = self._find(endpoint, parsed.repo or endpoint.model, is_cancelled)
        served = self._learn(served, is_cancelled)
        self._served[variant] = served
        return served.loaded(variant, time.monotonic() - began)

    def neutral(self, variant: str) -> dict[str, Any]:
        """Return request fields that override the endpoint's own sampling defaults. Raises UnknownVariant."""
        served = self._ready(variant)
        return neutral(served.kind, served.refused)

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        served = self._ready(variant)
        if isinstance(messages, str):
            if not served.tokenizes or not served.takes_ids:
                raise UnsupportedModel(
                    f"Endpoint {served.endpoint.name} takes only chats, so a raw text cannot be continued there.",
                    hint="Ask it as a chat, or use an endpoint of vLLM or llama.cpp.",
                )
            return tokenized(self._http, served, messages)
        if served.templates and served.takes_ids:
            return tokenized(self._http, served, messages)
        if served.takes_chats:
            return Prompt((), "", "remote", served.tokenizer_hash)
        return tokenized(self._http, served, "\n\n".join(message["content"] for message in messages))

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        served = self._ready(generation.variant)
        source: Sequence[int] | Sequence[Message] = generation.prompt_ids if served.takes_ids else ()
        source = source or generation.messages
        if not source:
            raise InvalidRequest(
                f"Endpoint {served.endpoint.name} was given neither token ids that it takes nor a chat.",
                hint="Send the conversation as messages.",
            )
        request, aborted = generation.request_id or uuid.uuid4().hex, threading.Event()
        self._aborted[request] = aborted
        scrub = Scrub(served.endpoint.secret())
        chunks = Chunks(scrub)
        try:
            yield Progress(f"Waiting for {served.endpoint.host}")
            with contextlib.closing(
                stream(self._http, served, source, generation.sampling, generation.top_logprobs, aborted.is_set, chunks)
            ) as tokens:
                yield from tokens
            yield self._finish(chunks, chunks.finish or "stop", len(generation.prompt_ids))
        except Cancelled:
            yield self._finish(chunks, "abort", len(generation.prompt_ids))
        except (EngineError, UnknownModel):
            self._served.pop(generation.variant, None)  # the server may have changed: the next load checks again
            raise
        finally:
            self._aborted.pop(request, None)

    def force(self, _forcing: Forcing) -> Iterator[Progress | ForcedTokens | Finish]:
        raise EngineUnavailable(base.no_distribution(self.name))

    def abort(self, request_id: str) -> None:
        if aborted := self._aborted.get(request_id):
            aborted.set()

    @staticmethod
    def _finish(chunks: Chunks, reason: Any, prompt_tokens: int) -> Finish:
        return Finish(
            reason,
            chunks.prompt_tokens or prompt_tokens,
            chunks.count if reason == "abort" else chunks.output_tokens or chunks.count,
            text=chunks.rest(),
        )

    def _ready(self, variant: str) -> Served:
        served = self._known(variant)
        if served is None:
            raise UnknownVariant(
                f"{variant} has not been asked for yet, or its endpoint has changed.", hint="Run it again."
            )
        return served

    def _known(self, variant: str) -> Served | None:
        """Return what a load found out about `variant`, if its endpoint has not changed since."""
        served = self._served.get(variant)
        return served if served and endpoints.find(served.endpoint.name) == served.endpoint else None

    def _rows(self, endpoint: Endpoint, is_stopped: IsStopped) -> list[dict[str, Any]] | None:
        try:
            answer = self._http.ask(endpoint, f"{endpoint.url}/models", is_stopped=is_stopped)
        except (Missing, TooLarge) as error:
            log.info("%s", error)
            return None
        rows = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise unreadable(endpoint, "no list of models")
        return [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]

    def _find(self, endpoint: Endpoint, wanted: str, is_stopped: IsStopped) -> Served:
        """Return the model's row in the endpoint's list. Raises UnknownModel, which lists the models."""
        rows = self._rows(endpoint, is_stopped)
        if rows is None:
            if wanted:
                return Served(endpoint, wanted, UNKNOWN, {})
            raise missing_model(endpoint, "", f"It lists no models: write @{endpoint.name}/MODEL.")
        if not wanted and len(rows) == 1:
            wanted = rows[0]["id"]
        for row in rows:
            aliases = row.get("aliases")
            if row["id"] in (wanted, f"models/{wanted}") or (isinstance(aliases, list) and wanted in aliases):
                return Served(endpoint, wanted, KINDS.get(str(row.get("owned_by")), UNKNOWN), row)
        ids = [shown(row["id"])[:80] for row in rows[:12]]
        if not wanted:
            raise missing_model(
                endpoint, "", f"Write @{endpoint.name}/MODEL. It serves: {', '.join(ids) or 'nothing'}."
            )
        raise missing_model(endpoint, wanted, did_you_mean(wanted, ids))

    def _learn(self, served: Served, is_stopped: IsStopped) -> Served:
        """Request two tokens: by ids if the endpoint tokenizes and accepts them, else as a chat."""
        templates = self._tries(served, _GREETING, is_stopped)
        tokenizes = self._tries(served, "Hi", is_stopped)
        ids = templates or tokenizes
        served = replace(served, templates=templates is not None, tokenizes=tokenizes is not None)
        if ids:
            with contextlib.suppress(Missing, Rejected):
                served = replace(self._probe(served, ids.ids, is_stopped), takes_ids=True)
        if served.takes_ids and served.templates:
            return served
        try:
            return self._probe(served, _GREETING, is_stopped)
        except (Missing, Rejected):
            if not served.takes_ids:
                raise
            return replace(served, takes_chats=False)

    def _tries(self, served: Served, source: Sequence[Message] | str, is_stopped: IsStopped) -> Prompt | None:
        try:
            return tokenized(self._http, served, source, is_stopped) or None
        except EngineError as error:
            log.info("no tokenizer at %s: %s", served.endpoint.host, error)
            return None

    def _probe(self, served: Served, source: Sequence[int] | Sequence[Message], is_stopped: IsStopped) -> Served:
        chunks = Chunks(Scrub(served.endpoint.secret()))
        learned = [served]
        for _ in stream(self._http, served, source, _PROBE, 1, is_stopped, chunks, learned):
            pass
        return replace(learned[-1], counting=chunks.counting or "chunks")


def _parsed(variant: str) -> names.Model:
    parsed = names.parse(variant)
    if parsed.kind != "remote":
        raise UnsupportedModel(
            f"{variant} is no model of an endpoint.", hint="The remote engine runs @NAME/MODEL alone."
        )
    return parsed


def tokenized(
    http: RemoteHttp, served: Served, source: Sequence[Message] | str, is_stopped: IsStopped = lambda: False
) -> Prompt:
    """Return the prompt as the endpoint tokenizes it, by llama.cpp's or vLLM's API. Raises EngineError."""
    endpoint, text = served.endpoint, source if isinstance(source, str) else None
    kind: Literal["chat", "raw"] = "raw" if text is not None else "chat"
    if served.kind is KINDS["llamacpp"]:
        if text is None:
            chat = {"messages": list(source)}
            text = _field(http.ask(endpoint, f"{endpoint.root}/apply-template", chat, is_stopped), "prompt")
        request: dict[str, Any] = {"content": text, "add_special": True, "parse_special": kind == "chat"}
    elif text is not None:
        request = {"model": served.model, "prompt": text}
    else:
        request = {"model": served.model, "messages": list(source), "add_generation_prompt": True}
    answer = http.ask(endpoint, f"{endpoint.root}/tokenize", request, is_stopped)
    ids = _field(answer, "tokens")
    if not isinstance(ids, list) or not ids or not all(type(token_id) is int and token_id >= 0 for token_id in ids):
        raise unreadable(endpoint, "no token ids")
    if text is None:
        text = _field(answer, "text")  # our own host's; vLLM tells none
    if _field(answer, "template") == "raw":
        kind = "raw"
    return Prompt(tuple(ids), text if isinstance(text, str) else "", kind, served.tokenizer_hash)


def _field(answer: Any, name: str) -> Any:
    return answer.get(name) if isinstance(answer, dict) else None
