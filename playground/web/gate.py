"""The outermost ASGI layer, in front of every route, gradio's own included.

A request goes on to the routes only if its host name and its origin are this page's, its path and method stand in the
table (`ROUTES`, `GRADIO`, `SIGN_IN`), a browser that changes something shows the page's token, and its body was
received whole within its limit. So no route parses, or even sees, what is refused here. What a role may do is checked
inside the functions.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import sys
import time
import traceback
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Literal

from starlette._utils import get_route_path  # the path as the routes see it: decoded, without a proxy's prefix
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.settings import settings
from playground.web.owner import HEADER, Owner
from playground.web.visitor import Hosts, hub_login, space_hosts, visitor

log = logging.getLogger(__name__)
PAGE_HEADER = "x-playground-page"
LOGIN = "/access/login"
OWNER_BODY = 8 * 2**20  # bytes of one request: a piece of a calibration file has 1 Mi characters, pasted text 4 Mi
SMALL_BODY = 64 * 2**10
BYTES_A_CHARACTER = 8  # of a prompt in JSON: 6 as \uXXXX, and room for the rest of the request
SILENCE_S = 20.0  # a body of which nothing more came for so long is cut off
WHOLE_S = 120.0  # and a small one that is not complete by then
TURN_S = 0.05  # a guess at the owner's token, of all who have guessed wrong too often together
VISITORS = 24  # requests of visitors that the routes work on at once: of their 40 threads the others are the owner's
LINES = 30  # a minute that the log has room for about refused or nonsensical requests


# The table of routes.

Body = Literal["small", "texts"]
READ: tuple[str, ...] = ("GET", "HEAD")
WRITE: tuple[str, ...] = ("POST",)


@dataclass(frozen=True)
class Allowed:
    """Paths that may be asked for, and how.

    path     a template: {name} is one segment, {path} are one or more. A segment begins with a letter, digit or
             underscore, so that none is "", "." or ".."
    body     its limit: "texts" leaves the owner room for calibration files and pasted text
    stream   whether the answer comes piece by piece as things happen, without a thread of its own
    """

    path: str
    methods: tuple[str, ...] = READ
    body: Body = "small"
    stream: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        segment = r"\w[\w.~@+-]*"
        parts = {"{name}": segment, "{path}": rf"{segment}(?:/{segment})*"}
        pieces = re.split(r"({name}|{path})", self.path)
        return re.compile("".join(parts.get(piece) or re.escape(piece) for piece in pieces), re.ASCII)


# What the pages and scripts use. The first that matches counts.
ROUTES = (
    Allowed("/"),
    Allowed("/static/{path}"),
    Allowed("/api/quantize/upload", WRITE, "texts"),
    Allowed("/api/evaluate/{name}", READ + WRITE, "texts"),
    Allowed("/api/review/{name}", READ + WRITE, "texts"),
    Allowed("/api/{path}", READ + WRITE),
    Allowed("/stream/{name}", stream=True),
    Allowed("/run/{name}"),
    Allowed("/review/{path}", READ + WRITE),
    Allowed("/access/{name}", WRITE),
    Allowed("/health", stream=True),  # answered by the event loop, however busy the threads are
    Allowed("/openapi.json"),
    Allowed("/favicon.ico"),
    Allowed("/robots.txt"),
)
# What gradio_client, plain HTTP and MCP need of gradio.
GRADIO = (
    Allowed("/config"),
    Allowed("/gradio_api/info"),
    Allowed("/gradio_api/startup-events"),
    Allowed("/gradio_api/heartbeat/{name}", stream=True),
    Allowed("/gradio_api/call/{name}", WRITE, "texts"),
    Allowed("/gradio_api/call/v2/{name}", WRITE, "texts"),
    Allowed("/gradio_api/call/{name}/{name}", stream=True),
    Allowed("/gradio_api/call/v2/{name}/{name}", stream=True),
    Allowed("/gradio_api/queue/join", WRITE, "texts"),
    Allowed("/gradio_api/queue/data", stream=True),
    Allowed("/gradio_api/cancel", WRITE),
    Allowed("/gradio_api/run/{name}", WRITE, "texts"),
    Allowed("/gradio_api/api/{name}", WRITE, "texts"),
    Allowed("/gradio_api/mcp", (*READ, *WRITE, "DELETE"), stream=True),
    Allowed("/gradio_api/mcp/", (*READ, *WRITE, "DELETE"), stream=True),
    Allowed("/gradio_api/mcp/{path}", READ + WRITE, stream=True),
    Allowed("/gradio_api/mcp/messages/", WRITE),
)
# The sign-in of a Space, and only there: elsewhere gradio's routes of these names log anybody in.
SIGN_IN = (Allowed("/login/huggingface"), Allowed("/login/callback"), Allowed("/logout"))
LEAVES = ("/api/compare/leave", "/api/speed/leave")  # beacons, which have no headers: the token is in their JSON


def routes() -> tuple[Allowed, ...]:
    """Return the table of this process."""
    return (*ROUTES, *GRADIO, *(SIGN_IN if hub_login() else ()))


# Headers of responses.

POLICY = "content-security-policy"
STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data: blob:",
    "connect-src": "'self'",
    "font-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'self'",  # the page's addresses are relative to the path that it is served under
}


def _ancestors() -> str:
    """Return which pages may frame this one: the hub's, and only on a Space."""
    return "https://huggingface.co" if space_hosts() else "'none'"


def policy() -> str:
    """Return the Content-Security-Policy of every response."""
    directives = STRICT | {"frame-ancestors": _ancestors()}
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


def headers() -> dict[str, str]:
    """Return the headers that every response has, whoever makes it."""
    fields = {
        POLICY: policy(),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",  # the address of a run is all that it takes to open it
        "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "x-robots-tag": "noindex, nofollow",  # links are unlisted
    }
    return fields if space_hosts() else fields | {"x-frame-options": "DENY"}


# The gate.


@dataclass(frozen=True)
class PageToken:
    """What the page shows to change something: another website cannot read it. New with every start of the server."""

    value: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def is_right(self, sent: object) -> bool:
        return isinstance(sent, str) and hmac.compare_digest(sent.encode(), self.value.encode())


class Refused(Exception):
    """A request that goes no further."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint, self.headers = status, code, message, hint, headers

    def response(self, path: str) -> Response:
        """Return it as JSON where scripts ask, and as a line of text where people do."""
        if path.startswith(("/api/", "/access/", "/review/", "/stream/", "/gradio_api/")):
            error = {"code": self.code, "message": self.message, "hint": self.hint, "field": None}
            return JSONResponse({"error": error}, self.status, self.headers | {"Cache-Control": "no-store"})
        return PlainTextResponse(f"{self.message} {self.hint}".strip(), self.status, self.headers)


def _another_website() -> Refused:
    return Refused(403, "another_website", "Another website sent this request.")


class Gate:
    """ASGI middleware in front of `app`. It is the whole of what an anonymous request meets before a function."""

    def __init__(self, app: ASGIApp, hosts: Hosts, owner: Owner, page: PageToken) -> None:
        self.app, self.hosts, self.owner, self.page = app, hosts, owner, page
        self.routes = routes()
        self.turn = asyncio.Lock()
        self.visitors = asyncio.Semaphore(VISITORS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # there are none
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = get_route_path(scope)
        answer = _Answer(send, headers())
        try:
            if _header(scope, "x-forwarded-proto").partition(",")[0].strip() == "https":
                scope["scheme"] = "https"  # a false header only marks the sender's own cookie as Secure
            entry = self.check(scope, path)
            if scope["method"] == "OPTIONS":
                await Response(status_code=204, headers={"Allow": ", ".join((*entry.methods, "OPTIONS"))})(
                    scope, receive, answer
                )
                return
            if hub_login():
                scope["session"] = await _session(scope)
            await self._wait_turn(scope, path)
            body = await self._body(scope, receive, entry)
            if path in LEAVES and _is_browser(Headers(scope=scope)) and not self.page.is_right(_page_of(body or b"")):
                raise _stale()
        except Refused as refused:
            log.warning("Refused (%d) %s %r: %s", refused.status, scope["method"], path[:80], refused)
            await refused.response(path)(scope, receive, answer)
            return
        except _Gone:
            return
        try:
            async with self._place(scope, entry):
                await self.app(scope, receive if body is None else _replayed(body, receive), answer)
        except Exception as error:
            if self.owner.refusal(Request(scope)) is None:
                log.exception("%s %r failed", scope["method"], path[:80])
            else:  # a stranger's nonsense must not fill the log; where it happened is enough to find it
                log.warning("%s %r failed: %s", scope["method"], path[:80], _source(error))
            if not answer.started:
                failed = Refused(500, "error", "This request could not be answered.", "Details are in the log.")
                await failed.response(path)(scope, receive, answer)

    def check(self, scope: Scope, path: str) -> Allowed:
        """Return the entry of the table that the request may use. Raises Refused; reads no body."""
        fields, method = Headers(scope=scope), str(scope["method"])
        hosts, origins = fields.getlist("host"), fields.getlist("origin")
        if len(hosts) != 1 or not self.hosts.allows(hosts[0]):
            raise Refused(
                403, "another_name", "This page is not served under that name.",
                "Its owner can add it to PLAYGROUND_ALLOWED_HOSTS.",
            )  # fmt: skip
        forwarded = fields.getlist("x-forwarded-host")
        where = hosts[0], str(scope.get("scheme", "http")), forwarded[0] if len(forwarded) == 1 else ""
        if len(origins) > 1 or any(not self.hosts.origin(origin, *where) for origin in origins):
            raise _another_website()
        if _is_cross_site(fields, method):
            raise _another_website()
        entries = [entry for entry in self.routes if entry.pattern.fullmatch(path)]
        if not entries:
            raise Refused(404, "nothing_here", "There is nothing here.")
        if method == "OPTIONS":
            return entries[0]
        entry = next((entry for entry in entries if method in entry.methods), None)
        if entry is None:
            raise Refused(405, "wrong_method", "This cannot be asked in this way.", Allow=", ".join(entries[0].methods))
        if (
            method not in READ
            and path not in LEAVES
            and _is_browser(fields)
            and not self.page.is_right(fields.get(PAGE_HEADER))
        ):
            raise _stale()
        return entry

    def _place(self, scope: Scope, entry: Allowed) -> AbstractAsyncContextManager[object]:
        """Return what visitors' requests wait for, so that the owner's always find a thread."""
        free = entry.stream or self.owner.refusal(Request(scope)) is None
        return nullcontext() if free else self.visitors

    async def _wait_turn(self, scope: Scope, path: str) -> None:
        """Let who guessed at the owner's token too often wait, all of them in one line: a guess takes TURN_S.

        The right token waits too and is let in, so that nobody locks the owner out from an address that they share.
        """
        fields = Headers(scope=scope)
        if (path == LOGIN or HEADER in fields) and self.owner.logins.guesses(visitor(Request(scope))):
            async with self.turn:
                await asyncio.sleep(TURN_S)

    # ---- bodies
    async def _body(self, scope: Scope, receive: Receive, entry: Allowed) -> bytes | None:
        """Receive the body of a request that changes something. None for others: nothing here reads theirs.

        Gradio and FastAPI parse JSON in the event loop, and a thread would not help, because the parser does not give
        the interpreter away meanwhile. Its size is what bounds it: 64 KiB take 2 ms at most, 7 MiB took 0.7 s.
        """
        if scope["method"] in READ:
            return None
        length = _header(scope, "content-length") or "0"
        if not length.isdigit():
            raise Refused(400, "invalid_request", "The length of this request is no number.", Connection="close")
        pieces, size, ends = bytearray(), int(length), time.monotonic() + WHOLE_S
        self._check_size(scope, entry, size)
        more = True
        while more:
            quiet = SILENCE_S if size > SMALL_BODY else min(SILENCE_S, max(0.0, ends - time.monotonic()))
            try:
                message = await asyncio.wait_for(receive(), quiet)
            except TimeoutError:
                raise Refused(408, "too_slow", "The rest of this request did not come.", Connection="close") from None
            if message["type"] == "http.disconnect":
                raise _Gone
            pieces += message.get("body", b"")
            self._check_size(scope, entry, len(pieces))
            more = message.get("more_body", False)
        return bytes(pieces)

    def _check_size(self, scope: Scope, entry: Allowed, size: int) -> None:
        """Raise Refused if `size` bytes are too many. The role is looked up only for more than a visitor's limit."""
        if size <= SMALL_BODY:
            return
        config = settings()
        limit, who = max(SMALL_BODY, BYTES_A_CHARACTER * config.public_max_prompt_chars), "A visitor’s request"
        if size > limit and self.owner.refusal(Request(scope)) is None:
            prompt = max(SMALL_BODY, BYTES_A_CHARACTER * config.max_prompt_chars)
            limit, who = OWNER_BODY if entry.body == "texts" else prompt, "A request"
        if size > limit:
            raise Refused(
                413, "too_large", f"{who} has {limit >> 10:,} KiB at most.", "Send less at once.", Connection="close"
            )


class _Gone(Exception):
    """The client has closed the connection before its request was complete."""


def _stale() -> Refused:
    return Refused(403, "stale_page", "This was not sent by the page as it is served now.", "Reload the page.")


def _header(scope: Scope, name: str) -> str:
    return Headers(scope=scope).get(name, "")


def _is_browser(fields: Headers) -> bool:
    return "origin" in fields or any(name.startswith("sec-fetch-") for name in fields)


def _is_cross_site(fields: Headers, method: str) -> bool:
    """Return whether the browser says that another site's page sent this. Following a link there is allowed."""
    sites = fields.getlist("sec-fetch-site")
    if all(site in ("same-origin", "none") for site in sites):
        return False
    return method not in READ or fields.get("sec-fetch-mode") != "navigate"


def _page_of(body: bytes) -> object:
    """Return the page's token in the body of a beacon."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content.get("token") if isinstance(content, dict) else None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the whole body at once, then whatever else the client does."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


async def _session(scope: Scope) -> dict[str, object]:
    """Return what gradio's signed cookie says of who signed in to the hub: its own middleware runs behind the gate."""
    seen: dict[str, object] = {}

    async def look(inner: Scope, _receive: Receive, _send: Send) -> None:
        seen.update(inner["session"])

    secret = hashlib.sha256(f"{os.environ['OAUTH_CLIENT_SECRET']}-v4".encode()).hexdigest()  # as in gradio.oauth
    await SessionMiddleware(look, secret)(dict(scope), _nothing, _nowhere)
    return seen


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


async def _nowhere(_message: Message) -> None:
    pass


class _Answer:
    """`send` that adds the gate's headers to the response, unless the route has set them."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send, self._headers = send, headers
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message.setdefault("headers", [])
            fields = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                fields.setdefault(name, value)  # a route's own policy is the stricter one
            if "frame-ancestors" not in fields[POLICY]:
                fields[POLICY] += f"; frame-ancestors {_ancestors()}"
        await self._send(message)


# The log.


class Bounded(logging.Filter):
    """Lets LINES a minute through: anybody can send what leaves a line. Tracebacks are the owner's and always pass."""

    def __init__(self) -> None:
        super().__init__()
        self._began, self._said = 0.0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info:
            return True
        now = time.monotonic()
        if now - self._began >= 60:
            if self._said > LINES:
                record.msg = f"{record.msg} ({self._said - LINES:,} lines before this one were left out)"
            self._began, self._said = now, 0
        self._said += 1
        return self._said <= LINES


log.addFilter(Bounded())
_server_lines = Bounded()


def _source(error: BaseException) -> str:
    """Return what was raised and where, without its text, which a stranger may have written."""
    frames: Iterable[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)[-1:]
    return " ".join([type(error).__name__, *(f"at {frame.filename}:{frame.lineno}" for frame in frames)])


def quiet_libraries() -> None:
    """Have gradio log a line where it prints a traceback for each call that does not fit, and bound uvicorn's lines."""
    import gradio.queueing
    import gradio.routes

    def print_exc(*_: object) -> None:
        if error := sys.exception():
            log.warning("A function could not be called: %s", _source(error))

    for module in (gradio.queueing, gradio.routes):
        module.traceback = SimpleNamespace(print_exc=print_exc)
    logging.getLogger("uvicorn.error").addFilter(_server_lines)
