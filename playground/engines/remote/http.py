"""HTTP to somebody else's server: the address is checked at every connect, every answer is limited, errors are typed.

httpcore is used directly: it follows no redirects, reads no proxy from the environment, decodes no compression, and its
network backend is the place where the address that a name resolved to is the one that is connected to. `stream` gives
the tokens of one request as they come.
"""

from __future__ import annotations

import contextlib
import json
import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import httpcore
import httpx

from playground import __version__
from playground.core import Message, Sampling, Token
from playground.engines.client import Chunks, Scrub
from playground.engines.remote.errors import Rejected, cut, failed, from_status, in_stream, too_large, unreadable
from playground.engines.remote.served import Served, body, refused_by
from playground.errors import Cancelled
from playground.models import endpoints
from playground.models.endpoints import Endpoint
from playground.settings import settings

CONNECT_S = 10.0
ANSWER_S = 30.0  # a whole answer that is not a stream
MAX_BYTES = 1 << 20  # of one line of a stream, and of one answer
MAX_STREAM = 64 << 20
POLL_S = 0.1  # how soon a stop is noticed while the server says nothing
IDLE_S = 30.0  # a connection that nobody uses is closed
_DATA = b"data:"
IsStopped = Callable[[], bool]
_stop = threading.local()
log = logging.getLogger(__name__)


@contextlib.contextmanager
def _stopped_by(is_stopped: IsStopped) -> Iterator[None]:
    """Reads of this thread raise Cancelled as soon as `is_stopped` is true. Never held while a generator rests."""
    before = getattr(_stop, "asked", None)
    _stop.asked = is_stopped
    try:
        yield
    finally:
        _stop.asked = before


@contextlib.contextmanager
def _begun(opening: AbstractContextManager[httpcore.Response], is_stopped: IsStopped) -> Iterator[httpcore.Response]:
    with contextlib.ExitStack() as stack:
        with _stopped_by(is_stopped):
            response = stack.enter_context(opening)
        yield response


def _parts(response: httpcore.Response, is_stopped: IsStopped) -> Iterator[bytes]:
    parts = iter(response.iter_stream())
    while True:
        with _stopped_by(is_stopped):
            part = next(parts, None)
        if part is None:
            return
        yield part


class _Stream(httpcore.NetworkStream):
    """A socket whose waits can be stopped."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._wait(timeout)
        with _mapped(httpcore.ReadTimeout, httpcore.ReadError):
            self._socket.settimeout(timeout)
            return self._socket.recv(max_bytes)

    def _wait(self, timeout: float | None) -> None:
        asked: IsStopped | None = getattr(_stop, "asked", None)
        if asked is not None and asked():
            raise Cancelled("Stopped.")
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not poll.poll(POLL_S * 1000):
            if asked is not None and asked():
                raise Cancelled("Stopped.")
            if deadline is not None and time.monotonic() > deadline:
                raise httpcore.ReadTimeout

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _mapped(httpcore.WriteTimeout, httpcore.WriteError):
            self._socket.settimeout(timeout)
            self._socket.sendall(buffer)

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            with _mapped(httpcore.ConnectTimeout, httpcore.ConnectError):
                self._socket.settimeout(timeout)
                return _Stream(ssl_context.wrap_socket(self._socket, server_hostname=server_hostname))
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket):
            return self._socket
        if info == "is_readable":
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0))
        return None


class _Backend(httpcore.NetworkBackend):
    """Connects to the very address that was checked; Host and SNI keep the name."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - of httpcore's interface
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        limit = CONNECT_S if timeout is None else timeout
        deadline = time.monotonic() + limit
        with _mapped(httpcore.ConnectTimeout, httpcore.ConnectError):
            failure: OSError = OSError("no address")
            for address in endpoints.resolve(host, port, limit):
                try:
                    connection = socket.create_connection((address, port), max(0.1, deadline - time.monotonic()), None)
                except OSError as error:
                    failure = error
                    continue
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return _Stream(connection)
            raise failure


@contextlib.contextmanager
def _mapped(timeout: type[Exception], other: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except OSError as error:
        raise other(str(error)) from error


class RemoteHttp:
    """The connections of all endpoints. Callable from any thread."""

    def __init__(self) -> None:
        trust = httpx.create_ssl_context()  # certifi's list, or SSL_CERT_FILE
        trust.load_default_certs()  # and the system's, for an authority of one's own
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust,
            max_connections=None,
            max_keepalive_connections=8,
            keepalive_expiry=IDLE_S,
            network_backend=_Backend(),
        )

    def close(self) -> None:
        self._pool.close()

    def ask(
        self,
        endpoint: Endpoint,
        url: str,
        body: dict[str, Any] | None = None,
        is_stopped: IsStopped = lambda: False,
        answer_s: float = ANSWER_S,
    ) -> Any:
        """The JSON that a GET, or with a body a POST, is answered with. Raises the typed error of the answer."""
        deadline = time.monotonic() + answer_s
        with _begun(self._open(endpoint, url, body, answer_s), is_stopped) as response:
            content = b""
            for part in _parts(response, is_stopped):
                content += part
                if len(content) > MAX_BYTES:
                    raise too_large(endpoint, "an answer", MAX_BYTES)
                if time.monotonic() > deadline:
                    raise httpcore.ReadTimeout
            return _parsed(endpoint, content)

    def stream(
        self, endpoint: Endpoint, url: str, body: dict[str, Any], is_stopped: IsStopped
    ) -> Generator[tuple[float, dict[str, Any] | None], None, None]:
        """The server-sent events of an answer, each with its arrival (monotonic seconds), and None for [DONE].

        Closing the iterator closes the connection.
        """
        with _begun(self._open(endpoint, url, body, settings().remote_timeout_s), is_stopped) as response:
            if b"text/event-stream" not in _header(response, b"content-type"):
                raise unreadable(endpoint, "no stream of events")
            for arrival, line in _lines(endpoint, _parts(response, is_stopped)):
                if not line.startswith(_DATA):
                    continue
                data = line[len(_DATA) :].strip()
                if data == b"[DONE]":
                    yield arrival, None
                    return
                event = _parsed(endpoint, data)
                if not isinstance(event, dict):
                    raise unreadable(endpoint, "an event that is no object")
                yield arrival, event

    @contextlib.contextmanager
    def _open(
        self, endpoint: Endpoint, url: str, body: dict[str, Any] | None, read_s: float
    ) -> Iterator[httpcore.Response]:
        """The response to one request, once its status is good. Every failure becomes one sentence without the key."""
        key = endpoint.secret()
        headers = {
            "Host": endpoint.host,
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "User-Agent": f"quantization-playground/{__version__}",
        }
        if key:
            headers["Authorization"] = f"Bearer {key}"
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        timeout = {"connect": CONNECT_S, "read": read_s, "write": read_s, "pool": CONNECT_S}
        try:
            with self._pool.stream(
                "GET" if body is None else "POST",
                url,
                headers=list(headers.items()),
                content=content,
                extensions={"timeout": timeout},
            ) as response:
                if response.status != 200:
                    raise from_status(endpoint, response.status, dict(response.headers), _some(response), Scrub(key))
                if _header(response, b"content-encoding") not in (b"", b"identity"):
                    raise unreadable(endpoint, "a compressed answer, which was not asked for")
                yield response
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise failed(endpoint, error, read_s) from None


def _header(response: httpcore.Response, name: bytes) -> bytes:
    return next((value.lower() for key, value in response.headers if key.lower() == name), b"")


def _some(response: httpcore.Response, limit: int = 65_536) -> bytes:
    """The beginning of an error's text; what comes too slowly is left out."""
    content, deadline = b"", time.monotonic() + CONNECT_S
    with contextlib.suppress(httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        for part in response.iter_stream():
            content += part
            if len(content) > limit or time.monotonic() > deadline:
                break
    return content[:limit]


def _lines(endpoint: Endpoint, parts: Iterable[bytes]) -> Iterator[tuple[float, bytes]]:
    """Lines of a body with the time at which their end arrived, all of limited length."""
    held, total = b"", 0
    for part in parts:
        arrival = time.monotonic()
        total += len(part)
        *whole, held = (held + part).split(b"\n")
        yield from ((arrival, line.rstrip(b"\r")) for line in whole)
        if len(held) > MAX_BYTES:
            raise too_large(endpoint, "a line", MAX_BYTES)
        if total > MAX_STREAM:
            raise too_large(endpoint, "a stream", MAX_STREAM)
    if held:
        yield time.monotonic(), held


def _parsed(endpoint: Endpoint, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise unreadable(endpoint, "no JSON") from None


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
