"""The tokens of one request at an endpoint, as it streams them."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from playground.core import Message, Sampling, Token
from playground.engines.remote.chunks import Chunks
from playground.engines.remote.errors import Rejected, cut, in_stream, unreadable
from playground.engines.remote.http import IsStopped, RemoteHttp
from playground.engines.remote.requests import body, refused_by
from playground.engines.remote.served import Served
from playground.models.endpoints import Endpoint

log = logging.getLogger(__name__)


def stream(
    http: RemoteHttp,
    served: Served,
    source: Sequence[int] | Sequence[Message],
    sampling: Sampling,
    top_logprobs: int,
    is_stopped: IsStopped,
    chunks: Chunks,
    learned: list[Served] | None = None,
) -> Generator[Token, None, None]:
    """The tokens of one request; asked again without the fields that the endpoint says it does not know."""
    endpoint = served.endpoint
    path = "chat/completions" if isinstance(source[0], dict) else "completions"
    while True:
        sent = body(served.kind, served.model, source, sampling, top_logprobs, served.refused)
        began = time.monotonic()
        try:
            with contextlib.closing(http.stream(endpoint, f"{endpoint.url}/{path}", sent, is_stopped)) as events:
                yield from _tokens(endpoint, events, began, sampling, chunks)
            return
        except Rejected as error:
            if chunks.count or not (more := refused_by(error.said, sent)):
                raise
            log.info("%s does not take %s", endpoint.host, ", ".join(sorted(more)))
            served = replace(served, refused=served.refused | more)
            if learned is not None:
                learned.append(served)


def _tokens(
    endpoint: Endpoint,
    events: Iterator[tuple[float, dict[str, Any] | None]],
    began: float,
    sampling: Sampling,
    chunks: Chunks,
) -> Iterator[Token]:
    for arrival, event in events:
        if event is None:
            return
        if event.get("error"):
            raise in_stream(endpoint, event, chunks.scrub)
        try:
            tokens = list(chunks.add(event, arrival - began))
        except (TypeError, ValueError, KeyError, AttributeError, IndexError):
            raise unreadable(endpoint, "a chunk that is no completion") from None
        if chunks.count > sampling.max_tokens:
            raise unreadable(endpoint, f"more than the {sampling.max_tokens} tokens that it was asked for")
        yield from tokens
    if chunks.finish is None:
        raise cut(endpoint)
