"""The HTTP client of all engines: pooled connections, whole responses and server-sent events.

The response to a `Request` is read and time-stamped in its own thread, so that a slow consumer does not falsify times.
Closing a request from any thread cuts its connection at once, also while the server processes a long prompt.

httpx has no public way to choose the IP address of a host, so `Transport` is our own: httpcore's pool (which
httpx.HTTPTransport uses too) with a network backend that calls `resolve`.
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
# A token may take long (a cold 7B on a CPU), so reads have no timeout; the process is watched instead.
TIMEOUT = httpx.Timeout(CONNECT_S, read=None)
IDLE_S = 2.0  # an idle connection is closed, before uvicorn closes it after five seconds
POLL_S = 0.1  # interval of calls of `is_cancelled` while the server sends nothing
DRAIN_S = 0.1  # wait for the end of a response after its last event, so that the connection can be reused
DYING_S = 1.0  # from a broken stream to the end of the process behind it
REFUSAL_BYTES = 65_536  # of an error's text that are read
PENDING = 1000  # events in the queue to the consumer; reading pauses when it is full
T = TypeVar("T")
Resolve = Callable[[str, int, float], Sequence[str]]
Refused = Callable[[int, Mapping[str, str], bytes], Exception]


class Unreadable(ValueError):
    """A response that cannot be parsed. The message ends the sentence "… sent"."""


class Oversized(Unreadable):
    """A response beyond `Limits`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum bytes of a line of a stream, and of the whole response."""

    line: int
    answer: int


@dataclass(frozen=True, slots=True)
class Arrival(Generic[T]):
    """An item that was read, and the seconds from sending the request to reading it."""

    time_s: float
    event: T


# Connections.


class _Connection(httpcore.NetworkStream):
    """A connection that another thread can cut while this thread waits for it."""

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
    """Connects to the addresses that `resolve` returned; Host and SNI keep the name."""

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
    """An httpx transport that connects to the addresses that `resolve(host, port, timeout_s)` returns.

    trust   certificates for https; None: httpcore's default
    idle_s  seconds after which an idle connection is closed
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
    """Return a client that follows no redirects, keeps no cookies and uses no proxy of the environment.

    transport   None: for servers on this machine, by their address
    keep_alive  False opens a connection per request, for a server that closes them without notice
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

    read          yields the items of the response, then None; the rest is read and dropped
    is_cancelled  called while waiting for items
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
        """Yield the items of the response with their times; ends early after `close`.

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
        """End the request, also at the server, whose connection is closed."""
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
        except Exception as error:  # noqa: BLE001 - raised in the thread that iterates
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
    """POST `body` as JSON. Return the request, whose items are the events as JSON objects, up to [DONE] or the end.

    refused  returns the error of (status, headers, text) for a status other than 200, or of (200, {}, text) for an
             event with an "error"
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
    """Yield the bytes of a response. Raises Oversized beyond the limits."""

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
    """Raise the error of `refused` for a status other than 200, with the text that arrives in time.

    Raises Unreadable for a compressed response, because it could expand beyond the limits.
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
    """Parse JSON. Raises Unreadable."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Unreadable("no JSON") from None


# Servers of our own.


def authorization(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def refused(status: int, _headers: Mapping[str, str], content: bytes) -> PlaygroundError:
    """Return the typed error of a server's response, as `errors.to_wire` writes it."""
    text = content.decode(errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = {"error": f"HTTP {status}: {text[:200]}"}
    return from_wire(body if isinstance(body, dict) else {"error": str(body)})


@contextlib.contextmanager
def watched(process: ServerProcess, health: httpx.Client | None = None) -> Generator[None, None, None]:
    """Raise EngineDied, with the last log lines, if the server died during a call; else a typed error.

    health  check /health too, for a server that outlives its worker processes: a call may fail with an ordinary error
            just before their death is noticed
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
    """Return whether the process ends, or stops responding, within `DYING_S`."""
    deadline = time.monotonic() + DYING_S
    while process.alive and process.answers(health):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def post(client: httpx.Client, process: ServerProcess, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Call an engine server and return its response. Raises the server's typed error, EngineDied, EngineError."""
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
    """Return the error of a stream that ended too early."""
    return EngineError(f"The {process.name} engine closed the stream before the end.", log_tail=process.log_tail())
