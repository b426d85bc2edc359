"""The transformers host: an OpenAI-compatible HTTP server on loopback around one decode thread.

A completion is streamed or sent whole. Streams are server-sent events that end with [DONE].
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import threading
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

import psutil
from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from playground.core import Finish, Generation, Progress, Token
from playground.engines import wire
from playground.engines.host.active import Active
from playground.engines.host.forced import Forced
from playground.engines.host.loading import DeviceMemory, render, tokenizer_of
from playground.engines.host.scheduler import DecodeThread
from playground.errors import Cancelled, InvalidRequest, PlaygroundError, to_wire

log = logging.getLogger(__name__)
POLL_S = 0.1  # interval of checks for a closed connection


class Unauthorized(PlaygroundError):
    code = "unauthorized"
    status = 401


def create_app(engine: DecodeThread, memory: DeviceMemory, key: str) -> FastAPI:
    """Return the server of a running decode thread. All calls but /health need `Authorization: Bearer <key>`."""
    app = FastAPI(title="Quantization Playground: transformers host", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])

    def authorize(authorization: str = Header("")) -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {key}".encode()):
            raise Unauthorized("This engine needs its key.")

    @app.exception_handler(PlaygroundError)
    async def typed_error(_request: Request, error: PlaygroundError) -> JSONResponse:
        return JSONResponse(to_wire(error), status_code=error.status)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return JSONResponse(to_wire(InvalidRequest(f"{where}: {first['msg']}")), status_code=400)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        active, waiting = engine.counts()
        return {
            "status": "ok",
            "device": memory.device.type,
            "rss_bytes": psutil.Process().memory_info().rss,
            "memory_used_bytes": memory.used(),
            "memory_total_bytes": memory.total(),
            "active": active,
            "waiting": waiting,
            "loaded": [facts.id for facts in engine.loaded()],
        }

    private = [Depends(authorize)]

    @app.get("/v1/models", dependencies=private)
    async def models() -> dict[str, Any]:
        data = [{"id": f.id, "object": "model", "owned_by": "playground", **f.as_dict()} for f in engine.loaded()]
        return {"object": "list", "data": data}

    @app.post("/v1/load", dependencies=private)
    async def load(body: wire.LoadRequest) -> StreamingResponse:
        return _events(_load_events(engine, body))

    @app.post("/v1/unload", dependencies=private)
    async def unload(body: wire.UnloadRequest) -> dict[str, bool]:
        return {"unloaded": await asyncio.wrap_future(engine.unload(body.id))}

    @app.post("/tokenize", dependencies=private)
    def tokenize(body: wire.TokenizeRequest) -> dict[str, Any]:
        messages = None if body.messages is None else [m.model_dump() for m in body.messages]
        if body.path:
            tokenizer, context = tokenizer_of(body.path), None
        else:
            resident = engine.resident(body.model)
            tokenizer, context = resident.tokenizer, resident.facts.context
        prompt = render(tokenizer, messages, body.prompt, body.add_generation_prompt)
        return {
            "tokens": prompt.ids,
            "count": len(prompt.ids),
            "max_model_len": context,
            "text": prompt.text,
            "template": prompt.template,
            "tokenizer_hash": prompt.tokenizer_hash,
        }

    @app.post("/v1/force", dependencies=private)
    async def force(request: Request, body: wire.ForceRequest) -> StreamingResponse:
        items = Stream(lambda emit: engine.force(body.forcing(), emit))
        return _events(_forced_events(request, items))

    @app.post("/v1/requests/{request_id}/abort", dependencies=private)
    async def abort(request_id: str) -> dict[str, bool]:
        return {"aborted": engine.abort(request_id)}

    async def answer(request: Request, generation: Generation, shape: Shape, stream: bool) -> Any:
        items = Stream(lambda emit: engine.submit(generation, emit))
        if stream:
            return _events(_completion_events(request, items, generation, shape))
        return await collect(request, items, generation, shape)

    @app.post("/v1/completions", dependencies=private)
    async def completions(request: Request, body: wire.CompletionRequest) -> Any:
        resident = engine.resident(body.model)
        if isinstance(body.prompt, str):
            ids = (await asyncio.to_thread(render, resident.tokenizer, None, body.prompt)).ids
        else:
            ids = tuple(body.prompt)
        top = 5 if body.logprobs is None else body.logprobs
        generation = Generation(body.model, ids, body.sampling(), top, body.request_id or f"cmpl-{uuid.uuid4().hex}")
        return await answer(request, generation, COMPLETION, body.stream)

    @app.post("/v1/chat/completions", dependencies=private)
    async def chat(request: Request, body: wire.ChatRequest) -> Any:
        resident = engine.resident(body.model)
        messages = [m.model_dump() for m in body.messages]
        ids = (await asyncio.to_thread(render, resident.tokenizer, messages, None)).ids
        if body.max_completion_tokens is not None:
            body.max_tokens = body.max_completion_tokens
        name = body.request_id or f"chatcmpl-{uuid.uuid4().hex}"
        return await answer(
            request, Generation(body.model, ids, body.sampling(), body.top_logprobs, name), CHAT, body.stream
        )

    return app


def _events(events: AsyncGenerator[dict[str, Any], None]) -> StreamingResponse:
    """Return JSON objects as server-sent events; a PlaygroundError becomes the last one before [DONE]."""

    async def lines() -> AsyncIterator[str]:
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    yield f"data: {json.dumps(event)}\n\n"
        except PlaygroundError as error:
            yield f"data: {json.dumps(to_wire(error))}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


async def _load_events(engine: DecodeThread, body: wire.LoadRequest) -> AsyncGenerator[dict[str, Any], None]:
    """Yield progress records, then `loaded`. Raises the error of the load."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Progress | None] = asyncio.Queue()
    gone = threading.Event()

    def on_progress(progress: Progress) -> None:
        if gone.is_set():
            raise Cancelled("Nobody waits for this load any more.")
        loop.call_soon_threadsafe(events.put_nowait, progress)

    done = asyncio.wrap_future(engine.load(body.spec(), body.keep, on_progress))
    done.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (progress := await events.get()) is not None:
            yield {"progress": asdict(progress)}
        yield {"loaded": done.result().as_dict()}
    finally:
        gone.set()


class Stream:
    """Passes the items of a request from the decode thread to the event loop.

    accept  queues the request in the decode thread, which calls the given function with every item
    """

    def __init__(self, accept: Callable[[Callable[[Any], None]], Active | Forced]) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Any] = asyncio.Queue()
        self._accepted = accept(self._emit)

    def _emit(self, item: Any) -> None:
        self._loop.call_soon_threadsafe(self._items.put_nowait, item)

    async def items(self, request: Request) -> AsyncGenerator[Any, None]:
        """Yield the items until the Finish; abort the request if the client disconnects. Raises PlaygroundError."""
        try:
            while True:
                try:
                    item = await asyncio.wait_for(self._items.get(), POLL_S)
                except TimeoutError:
                    if await request.is_disconnected():
                        return
                    continue
                if isinstance(item, PlaygroundError):
                    raise item
                yield item
                if isinstance(item, Finish):
                    return
        finally:
            self._accepted.aborted.set()


class Shape:
    """The JSON of one of OpenAI's two completion endpoints."""

    def __init__(
        self, kind: str, delta: Callable[[str], dict[str, Any]], whole: Callable[[str], dict[str, Any]]
    ) -> None:
        self.kind, self.delta, self.whole = kind, delta, whole

    def envelope(self, generation: Generation, choices: list[dict[str, Any]], chunk: bool) -> dict[str, Any]:
        kind = f"{self.kind}.chunk" if chunk and self.kind.startswith("chat") else self.kind
        return {
            "id": generation.request_id,
            "object": kind,
            "created": int(time.time()),
            "model": generation.variant,
            "choices": choices,
        }


COMPLETION = Shape("text_completion", lambda text: {"text": text}, lambda text: {"text": text})
CHAT = Shape(
    "chat.completion",
    lambda text: {"delta": {"content": text}},
    lambda text: {"message": {"role": "assistant", "content": text}},
)


async def _completion_events(
    request: Request, stream: Stream, generation: Generation, shape: Shape
) -> AsyncGenerator[dict[str, Any], None]:
    def chunk(*choices: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {**shape.envelope(generation, list(choices), chunk=True), **fields}

    async with contextlib.aclosing(stream.items(request)) as items:
        async for item in items:
            match item:
                case Progress():
                    yield chunk(progress=asdict(item))
                case Token():
                    yield chunk({**wire.token_chunk(item), **shape.delta(item.text)})
                case Finish():
                    end = {**wire.finish_chunk(item), **shape.delta(item.text)}
                    yield chunk(end, **wire.finish_fields(item))


async def collect(request: Request, stream: Stream, generation: Generation, shape: Shape) -> dict[str, Any]:
    tokens: list[Token] = []
    async with contextlib.aclosing(stream.items(request)) as items:
        async for item in items:
            if isinstance(item, Token):
                tokens.append(item)
            elif isinstance(item, Finish):
                text = "".join(token.text for token in tokens) + item.text
                choice = {
                    **wire.finish_chunk(item),
                    **shape.whole(text),
                    "token_ids": [token.id for token in tokens],
                    "timing": {"times_s": [t.time_s for t in tokens], "steps_s": [t.step_s for t in tokens]},
                }
                return {**shape.envelope(generation, [choice], chunk=False), **wire.finish_fields(item)}
    return {}


async def _forced_events(request: Request, stream: Stream) -> AsyncGenerator[dict[str, Any], None]:
    """Yield progress and measured tokens, then `finish`."""
    async with contextlib.aclosing(stream.items(request)) as items:
        async for item in items:
            yield wire.forced_body(item)
