"""HTTP to an endpoint: addresses are checked at every connect, responses are limited, errors are typed.

`http.Transport` connects to the address that `endpoints.resolve` has checked. A compressed response is refused, because
it could expand beyond the limits. `stream` yields the tokens of a request as they arrive.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx

from playground import __version__
from playground.core import Message, Sampling, Token
from playground.engines import http
from playground.engines.remote.errors import (
    Rejected,
    cut,
    failed,
    from_status,
    in_stream,
    too_large,
    unreadable,
)
from playground.engines.remote.served import Served, body, refused_by
from playground.engines.wire import Chunks, Scrub
from playground.models import endpoints
from playground.models.endpoints import Endpoint
from playground.settings import settings

ANSWER_S = 30.0  # timeout of a response that is not a stream
LIMITS = http.Limits(line=1 << 20, answer=64 << 20)  # of a stream
MAX_BYTES = 1 << 20  # of a response that is not a stream
IDLE_S = 30.0  # an idle connection is closed
IsStopped = Callable[[], bool]
log = logging.getLogger(__name__)


class RemoteHttp:
    """The connections of all endpoints. Callable from any thread."""

    def __init__(self) -> None:
        trust = httpx.create_ssl_context()  # certifi's list, or SSL_CERT_FILE
        trust.load_default_certs()  # and the system's, for an authority of one's own
        self._client = http.new_client(http.Transport(endpoints.resolve, trust, IDLE_S))

    def close(self) -> None:
        self._client.close()

    def ask(
        self,
        endpoint: Endpoint,
        url: str,
        body: dict[str, Any] | None = None,
        is_stopped: IsStopped = lambda: False,
        answer_s: float = ANSWER_S,
    ) -> Any:
        """Return the JSON of the response to a GET, or with a body to a POST. Raises typed errors."""

        def read(response: httpx.Response) -> Iterator[Any]:
            http.checked(response, refused)
            content, deadline = b"", time.monotonic() + answer_s
            for part in response.iter_raw():
                content += part
                if len(content) > MAX_BYTES:
                    raise http.Oversized(f"an answer of more than {MAX_BYTES >> 20} MiB")
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer comes too slowly")
            yield http.parsed(content)

        refused = _refused(endpoint)
        sent = self._client.build_request(
            "GET" if body is None else "POST", url, json=body, headers=_headers(endpoint), timeout=_timeout(answer_s)
        )
        with _failing(endpoint, answer_s), http.Request(self._client, sent, read, is_stopped) as request:
            return next(iter(request)).event

    def stream(
        self, endpoint: Endpoint, url: str, body: dict[str, Any], is_stopped: IsStopped
    ) -> Generator[http.Arrival[dict[str, Any]], None, None]:
        """Yield the events of a response up to [DONE] or its end. Closing the iterator closes the connection."""
        read_s = settings().remote_timeout_s
        with (
            _failing(endpoint, read_s),
            http.stream(
                self._client,
                url,
                body,
                _refused(endpoint),
                headers=_headers(endpoint),
                timeout=_timeout(read_s),
                limits=LIMITS,
                is_cancelled=is_stopped,
            ) as events,
        ):
            yield from events


def _headers(endpoint: Endpoint) -> dict[str, str]:
    headers = {
        "Host": endpoint.host,
        "Accept": "application/json, text/event-stream",
        "User-Agent": f"quantization-playground/{__version__}",
    }
    if key := endpoint.secret():
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _timeout(read_s: float) -> httpx.Timeout:
    return httpx.Timeout(http.CONNECT_S, read=read_s, write=read_s)


def _refused(endpoint: Endpoint) -> http.Refused:
    scrub = Scrub(endpoint.secret())

    def refused(status: int, headers: Mapping[str, str], content: bytes) -> Exception:
        if status == httpx.codes.OK:
            return in_stream(endpoint, content, scrub)
        return from_status(endpoint, status, headers, content, scrub)

    return refused


@contextlib.contextmanager
def _failing(endpoint: Endpoint, read_s: float) -> Iterator[None]:
    """Raise a typed error without the key for every failure of the connection or the response."""
    try:
        yield
    except http.Oversized as error:
        raise too_large(endpoint, str(error)) from None
    except http.Unreadable as error:
        raise unreadable(endpoint, str(error)) from None
    except httpx.TransportError as error:
        raise failed(endpoint, error, read_s) from None


def stream(
    connections: RemoteHttp,
    served: Served,
    source: Sequence[int] | Sequence[Message],
    sampling: Sampling,
    top_logprobs: int,
    is_stopped: IsStopped,
    chunks: Chunks,
    learned: list[Served] | None = None,
) -> Generator[Token, None, None]:
    """Yield the tokens of a request; repeat it without the fields that the endpoint rejects."""
    endpoint = served.endpoint
    path = "chat/completions" if isinstance(source[0], dict) else "completions"
    while True:
        sent = body(served.kind, served.model, source, sampling, top_logprobs, served.refused)
        try:
            with contextlib.closing(connections.stream(endpoint, f"{endpoint.url}/{path}", sent, is_stopped)) as events:
                yield from _tokens(endpoint, events, sampling, chunks)
            return
        except Rejected as error:
            if chunks.count or not (more := refused_by(error.text, sent)):
                raise
            log.info("%s does not take %s", endpoint.host, ", ".join(sorted(more)))
            served = replace(served, refused=served.refused | more)
            if learned is not None:
                learned.append(served)


def _tokens(
    endpoint: Endpoint, events: Iterator[http.Arrival[dict[str, Any]]], sampling: Sampling, chunks: Chunks
) -> Iterator[Token]:
    for arrival in events:
        try:
            tokens = list(chunks.add(arrival.event, arrival.time_s))
        except (TypeError, ValueError, KeyError, AttributeError, IndexError):
            raise unreadable(endpoint, "a chunk that is no completion") from None
        if chunks.count > sampling.max_tokens:
            raise unreadable(endpoint, f"more than the {sampling.max_tokens} tokens that it was asked for")
        yield from tokens
    if chunks.finish is None:
        raise cut(endpoint)
