"""The answers of OpenAI's two completion endpoints, streamed or whole, and the lines of a forced text."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from fastapi import Request

from playground.core import Finish, Generation, Progress, Token
from playground.engines import client
from playground.engines.host.active import Active
from playground.engines.host.forced import Forced
from playground.errors import PlaygroundError, to_wire

POLL_S = 0.1  # how soon a closed connection is noticed


class Stream:
    """The items of one request, handed from the decode thread to the event loop.

    accept  takes the request into the decode thread, which then calls what it is given with every item
    """

    def __init__(self, accept: Callable[[Callable[[Any], None]], Active | Forced]) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Any] = asyncio.Queue()
        self._accepted = accept(self._emit)

    def _emit(self, item: Any) -> None:
        self._loop.call_soon_threadsafe(self._items.put_nowait, item)

    async def items(self, request: Request) -> AsyncGenerator[Any, None]:
        """Until the Finish; ends the request when the client has gone."""
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
    """How a chunk of one of OpenAI's two completion endpoints looks."""

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


async def sse(request: Request, stream: Stream, generation: Generation, shape: Shape) -> AsyncIterator[str]:
    def line(choices: list[dict[str, Any]], **fields: Any) -> str:
        return f"data: {json.dumps({**shape.envelope(generation, choices, chunk=True), **fields})}\n\n"

    try:
        async with contextlib.aclosing(stream.items(request)) as items:
            async for item in items:
                match item:
                    case Progress():
                        yield line([], progress=client.progress_body(item))
                    case Token():
                        yield line([{**client.token_chunk(item), **shape.delta(item.text)}])
                    case Finish():
                        yield line(
                            [{**client.finish_chunk(item), **shape.delta(item.text)}], **client.finish_fields(item)
                        )
    except PlaygroundError as error:
        yield f"data: {json.dumps(to_wire(error))}\n\n"
    yield "data: [DONE]\n\n"


async def collect(request: Request, stream: Stream, generation: Generation, shape: Shape) -> dict[str, Any]:
    tokens: list[Token] = []
    async with contextlib.aclosing(stream.items(request)) as items:
        async for item in items:
            if isinstance(item, Token):
                tokens.append(item)
            elif isinstance(item, Finish):
                text = "".join(token.text for token in tokens) + item.text
                choice = {
                    **client.finish_chunk(item),
                    **shape.whole(text),
                    "token_ids": [token.id for token in tokens],
                    "timing": {"times_s": [t.time_s for t in tokens], "steps_s": [t.step_s for t in tokens]},
                }
                return {**shape.envelope(generation, [choice], chunk=False), **client.finish_fields(item)}
    return {}


async def lines(request: Request, stream: Stream) -> AsyncIterator[str]:
    """Newline-delimited JSON of a forced text: what was measured as it comes, then `finish` or `error`."""
    try:
        async with contextlib.aclosing(stream.items(request)) as items:
            async for item in items:
                yield json.dumps(client.forced_body(item)) + "\n"
    except PlaygroundError as error:
        yield json.dumps(to_wire(error)) + "\n"
