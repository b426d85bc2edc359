"""The transformers host: an OpenAI-compatible HTTP server on loopback around one decode thread."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import threading
import uuid
from collections.abc import AsyncIterator
from typing import Any

import psutil
from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from playground.core import Generation, Progress
from playground.engines import client
from playground.engines.host.answer import CHAT, COMPLETION, Shape, Stream, collect, lines, sse
from playground.engines.host.memory import DeviceMemory
from playground.engines.host.prompt import render, tokenizer_of
from playground.engines.host.scheduler import DecodeThread
from playground.errors import Cancelled, InvalidRequest, PlaygroundError, to_wire

log = logging.getLogger(__name__)


class Unauthorized(PlaygroundError):
    code = "unauthorized"
    status = 401


def create_app(engine: DecodeThread, memory: DeviceMemory, key: str) -> FastAPI:
    """The server around a running decode thread. Every call but /health needs `Authorization: Bearer <key>`."""
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
    async def load(body: client.LoadRequest) -> StreamingResponse:
        return StreamingResponse(_load_events(engine, body), media_type="application/x-ndjson")

    @app.post("/v1/unload", dependencies=private)
    async def unload(body: client.UnloadRequest) -> dict[str, bool]:
        return {"unloaded": await asyncio.wrap_future(engine.unload(body.id))}

    @app.post("/tokenize", dependencies=private)
    def tokenize(body: client.TokenizeRequest) -> dict[str, Any]:
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
    async def force(request: Request, body: client.ForceRequest) -> StreamingResponse:
        items = Stream(lambda emit: engine.force(body.forcing(), emit))
        return StreamingResponse(lines(request, items), media_type="application/x-ndjson")

    @app.post("/v1/requests/{request_id}/abort", dependencies=private)
    async def abort(request_id: str) -> dict[str, bool]:
        return {"aborted": engine.abort(request_id)}

    async def answer(request: Request, generation: Generation, shape: Shape, stream: bool) -> Any:
        items = Stream(lambda emit: engine.submit(generation, emit))
        if stream:
            return StreamingResponse(sse(request, items, generation, shape), media_type="text/event-stream")
        return await collect(request, items, generation, shape)

    @app.post("/v1/completions", dependencies=private)
    async def completions(request: Request, body: client.CompletionRequest) -> Any:
        resident = engine.resident(body.model)
        if isinstance(body.prompt, str):
            ids = (await asyncio.to_thread(render, resident.tokenizer, None, body.prompt)).ids
        else:
            ids = tuple(body.prompt)
        top = 5 if body.logprobs is None else body.logprobs
        generation = Generation(body.model, ids, body.sampling(), top, body.request_id or f"cmpl-{uuid.uuid4().hex}")
        return await answer(request, generation, COMPLETION, body.stream)

    @app.post("/v1/chat/completions", dependencies=private)
    async def chat(request: Request, body: client.ChatRequest) -> Any:
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


async def _load_events(engine: DecodeThread, body: client.LoadRequest) -> AsyncIterator[str]:
    """Newline-delimited JSON: progress records, then `loaded` or `error`."""
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
            yield json.dumps({"progress": client.progress_body(progress)}) + "\n"
        yield json.dumps({"loaded": done.result().as_dict()}) + "\n"
    except PlaygroundError as error:
        yield json.dumps(to_wire(error)) + "\n"
    finally:
        gone.set()
