"""The one HTTP client of all engines: pooled connections, whole answers, and answers that come as server-sent events.

A `Request` is answered in a thread of its own, which stamps what it reads: whoever is slow to take an event falsifies
no time. Closing a request from any thread cuts its connection at once, also while the server reads a long prompt.

httpx has no public way to choose the address that a name is connected to, so `Transport` is an own one: httpcore's pool
(what httpx.HTTPTransport is made of) with a network backend that asks `resolve`.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Generic, TypeVar

import httpcore
import httpx
from httpx_sse import EventSource

from playground.engines.base import IsCancelled
from playground.engines.servers import ServerProcess
from playground.errors import Cancelled, EngineError, PlaygroundError, from_wire

CONNECT_S = 10.0
# A token may take long (a cold 7B on a CPU), so that reads have no limit; the process is watched instead.
TIMEOUT = httpx.Timeout(CONNECT_S, read=None)
IDLE_S = 2.0  # a connection that nobody uses is closed: before uvicorn closes it, which it does after five
POLL_S = 0.1  # how soon `is_cancelled` is noticed while the server says nothing
DRAIN_S = 0.1  # for the end of an answer after its last event, so that the connection can be used again
DYING_S = 1.0  # between a broken stream and the end of the process behind it
REFUSAL_BYTES = 65_536  # of an error's text that are read
PENDING = 1000  # events that nobody has taken yet: a server that sends more than is taken waits
T = TypeVar("T")
Resolve = Callable[[str, int, float], Sequence[str]]
Refused = Callable[[int, Mapping[str, str], bytes], Exception]


class Unreadable(ValueError):
    """An answer that is not what was asked for. The message ends the sentence "… sent"."""


class Oversized(Unreadable):
    """An answer beyond the limits on what is read."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of one line of a stream, and of the whole answer."""

    line: int
    answer: int


@dataclass(frozen=True, slots=True)
class Arrival(Generic[T]):
    """What was read, and the seconds from sending the request to reading it."""

    time_s: float
    event: T


# Connections.


class _Connection(httpcore.NetworkStream):
    """A connection that can be cut while the request of this thread waits for it."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with self._used():
            return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with self._used():
            self._inner.write(buffer, timeout)

    def _used(self) -> contextlib.AbstractContextManager[None]:
        request = _current.get()
        return contextlib.nullcontext() if request is None else request._using(self._inner.get_extra_info("socket"))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Connection(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Connects to the very address that `resolve` gave; Host and SNI keep the name."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        limit = CONNECT_S if timeout is None else timeout
        deadline = time.monotonic() + limit
        try:
            addresses = self._resolve(host, port, limit)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            left = max(0.1, deadline - time.monotonic())
            try:
                return _Connection(self._inner.connect_tcp(address, port, left, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


_ERRORS: Mapping[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
}


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except tuple(_ERRORS) as error:
        raise _ERRORS[type(error)](str(error)) from error


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class Transport(httpx.BaseTransport):
    """httpx on a pool of connections to the addresses that `resolve(host, port, seconds)` gives.

    trust   certificates for https; None: httpcore's default
    idle_s  a connection that nobody has used for so long is closed
    """

    def __init__(self, resolve: Resolve, trust: ssl.SSLContext | None = None, idle_s: float = IDLE_S) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust,
            max_connections=None,
            max_keepalive_connections=16,
            keepalive_expiry=idle_s,
            network_backend=_Backend(resolve),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        with _as_httpx():
            response = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response), extensions=response.extensions
        )

    def close(self) -> None:
        self._pool.close()


def _loopback(host: str, _port: int, _limit_s: float) -> Sequence[str]:
    return [host]


def new_client(transport: Transport | None = None, keep_alive: bool = True) -> httpx.Client:
    """A client that follows no redirects, keeps no cookies and reads no proxy from the environment.

    transport   None: for servers on this machine, by their address
    keep_alive  False makes a connection per request, for a server that closes them without saying so
    """
    return httpx.Client(
        transport=transport or Transport(_loopback),
        timeout=TIMEOUT,
        trust_env=False,
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"} | ({} if keep_alive else {"Connection": "close"}),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


# Requests.


class Request(Generic[T]):
    """A request in flight. `close` may be called from any thread, and more than once.

    read          yields what the answer holds, then None; what comes after that is read and dropped
    is_cancelled  asked while the items are waited for
    """

    def __init__(
        self,
        client: httpx.Client,
        request: httpx.Request,
        read: Callable[[httpx.Response], Iterator[T | None]],
        is_cancelled: IsCancelled | None = None,
    ) -> None:
        self._client, self._request, self._read, self._is_cancelled = client, request, read, is_cancelled
        self._items: queue.SimpleQueue[Arrival[T] | Exception | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None  # what the thread is reading from or writing to
        self._over = False
        self.closed = False
        self._thread = threading.Thread(target=self._run, name="request", daemon=True)
        self._thread.start()

    def __enter__(self) -> Request[T]:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Arrival[T]]:
        """What the answer holds, as it arrived; ends early after `close`.

        Raises httpx.TransportError, Unreadable, Cancelled, and what `read` raises.
        """
        while not self.closed:
            if self._is_cancelled is not None and self._is_cancelled():
                self.close()
                raise Cancelled("Stopped.")
            try:
                item = self._items.get(timeout=None if self._is_cancelled is None else POLL_S)
            except queue.Empty:
                continue
            if item is None:
                self._over = True
                return
            if isinstance(item, Exception):
                if self.closed:
                    return
                raise item
            yield item

    def close(self) -> None:
        """End the request here and at the server, which sees its connection closed."""
        if self._over:
            self._thread.join(DRAIN_S)
        with self._lock:
            self.closed = True
            if self._socket is not None:
                # Not SSLSocket's own, which changes the state that the reading thread is using.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self._items.put(None)

    def _run(self) -> None:
        _current.set(self)
        began = time.monotonic()
        try:
            response = self._client.send(self._request, stream=True)
            try:
                for item in self._read(response):
                    while self._items.qsize() >= PENDING and not self.closed:
                        time.sleep(0.01)
                    self._items.put(None if item is None else Arrival(time.monotonic() - began, item))
            finally:
                response.close()
            self._items.put(None)
        except Exception as error:  # noqa: BLE001 - raised where the items are waited for
            self._items.put(error)

    @contextlib.contextmanager
    def _using(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            if self.closed:
                raise httpcore.ReadError("closed from this side")
            self._socket = connection
        try:
            yield
        finally:
            with self._lock:
                self._socket = None


_current: ContextVar[Request[Any] | None] = ContextVar("request", default=None)  # the one of this thread


def stream(
    client: httpx.Client,
    url: str,
    body: Mapping[str, Any],
    refused: Refused,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: httpx.Timeout = TIMEOUT,
    limits: Limits | None = None,
    is_cancelled: IsCancelled | None = None,
) -> Request[dict[str, Any]]:
    """POST `body` as JSON; the events of the answer are JSON objects, up to [DONE] or to its end.

    refused  the error of (status, headers, text) that is no 200, or of (200, {}, text) of an event with an "error"
    """

    def read(response: httpx.Response) -> Iterator[dict[str, Any] | None]:
        for data in _events(response, refused, limits):
            if data == "[DONE]":
                yield None
                continue
            event = parsed(data)
            if not isinstance(event, dict):
                raise Unreadable("an event that is no object")
            if event.get("error"):
                raise refused(200, {}, data.encode())
            yield event

    sent = client.build_request("POST", url, json=dict(body), headers=headers, timeout=timeout)
    return Request(client, sent, read, is_cancelled)


def _events(response: httpx.Response, refused: Refused, limits: Limits | None) -> Iterator[str]:
    checked(response, refused)
    if "text/event-stream" not in response.headers.get("content-type", "").lower():
        raise Unreadable("no stream of events")
    if limits is not None:
        response = httpx.Response(200, headers=response.headers, stream=_Limited(response, limits))
    for event in EventSource(response).iter_sse():
        if event.data:
            yield event.data


class _Limited(httpx.SyncByteStream):
    """The bytes of an answer as long as they stay within limits. Raises Oversized."""

    def __init__(self, response: httpx.Response, limits: Limits) -> None:
        self._response, self._limits = response, limits

    def __iter__(self) -> Iterator[bytes]:
        line = total = 0
        for part in self._response.iter_raw():
            total += len(part)
            end = part.rfind(b"\n")
            line = line + len(part) if end < 0 else len(part) - end - 1
            if line > self._limits.line:
                raise Oversized(f"a line of more than {self._limits.line >> 20} MiB")
            if total > self._limits.answer:
                raise Oversized(f"a stream of more than {self._limits.answer >> 20} MiB")
            yield part


def checked(response: httpx.Response, refused: Refused) -> None:
    """Raise what `refused` makes of an answer that is no 200. What of its text comes too slowly is left out.

    A compressed answer is Unreadable: nothing grows while it is read.
    """
    if response.status_code == httpx.codes.OK:
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise Unreadable("a compressed answer, which was not asked for")
        return
    content, deadline = b"", time.monotonic() + CONNECT_S
    with contextlib.suppress(httpx.TransportError):
        for part in response.iter_raw():
            content += part
            if len(content) > REFUSAL_BYTES or time.monotonic() > deadline:
                break
    raise refused(response.status_code, response.headers, content[:REFUSAL_BYTES])


def parsed(data: str | bytes) -> Any:
    """Raises Unreadable for what is no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Unreadable("no JSON") from None


# Servers of our own.


def authorization(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def refused(status: int, _headers: Mapping[str, str], content: bytes) -> PlaygroundError:
    """The typed error that a server sent, as `errors.to_wire` writes it."""
    text = content.decode(errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = {"error": f"HTTP {status}: {text[:200]}"}
    return from_wire(body if isinstance(body, dict) else {"error": str(body)})


@contextlib.contextmanager
def watched(process: ServerProcess, health: httpx.Client | None = None) -> Generator[None, None, None]:
    """Turn what went wrong in a call of a server into what it means: it died, with its last words, or it only failed.

    health  asks /health too, for a server that outlives the processes which do its work: their death may reach a call
            as an ordinary error, a moment before
    """
    try:
        yield
    except PlaygroundError as error:
        if not process.alive or (health and type(error) is EngineError and _dies(process, health)):
            raise process.obituary() from error
        raise
    except httpx.TransportError as error:
        if health is None or _dies(process, health):
            raise process.obituary() from error
        raise EngineError(
            f"The {process.name} engine broke the stream off.", hint="Run again.", log_tail=process.log_tail()
        ) from error
    except (httpx.HTTPError, Unreadable, json.JSONDecodeError, KeyError) as error:
        if not process.alive:
            raise process.obituary() from error
        raise EngineError(
            f"The {process.name} engine sent an answer that cannot be read ({type(error).__name__}).",
            hint="Run again.",
            log_tail=process.log_tail(),
        ) from error


def _dies(process: ServerProcess, health: httpx.Client) -> bool:
    """Whether it ends, or answers no more, within `DYING_S`."""
    deadline = time.monotonic() + DYING_S
    while process.alive and process.answers(health):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def post(client: httpx.Client, process: ServerProcess, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """One call of an engine server, and its answer. Raises the server's typed error, EngineDied, EngineError."""
    with watched(process):
        response = client.post(f"{process.url}{path}", json=dict(body), headers=authorization(process.key))
        if not response.is_success:
            raise refused(response.status_code, response.headers, response.content)
        return dict(response.json())


def events(
    client: httpx.Client,
    process: ServerProcess,
    path: str,
    body: Mapping[str, Any],
    *,
    refused: Refused = refused,
    is_cancelled: IsCancelled | None = None,
) -> Request[dict[str, Any]]:
    """`stream` from a server of ours. Use it inside `watched`."""
    url, headers = f"{process.url}{path}", authorization(process.key)
    return stream(client, url, body, refused, headers=headers, is_cancelled=is_cancelled)


def unfinished(process: ServerProcess) -> EngineError:
    """The error of a stream that ended before its answer did."""
    return EngineError(f"The {process.name} engine closed the stream before the end.", log_tail=process.log_tail())
