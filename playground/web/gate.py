"""ASGI middleware in front of every route, gradio's own included: checks requests and sets response headers.

It refuses requests to other host names, from other websites, of too large a body, and to routes of gradio that this
program does not use. What a role may do is checked inside the functions; only the size limit depends on it here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.settings import settings
from playground.web.owner import Owner
from playground.web.visitor import Hosts, space_hosts

log = logging.getLogger(__name__)
OWNER_BODY = 8 * 2**20  # bytes of one request: a piece of a calibration file has 1 Mi characters
VISITOR_BODY = 64 * 2**10
BYTES_A_CHARACTER = 8  # of a prompt in JSON: 6 as \uXXXX, and room for the rest of the request
# Uploads, proxies, streams, the editor and the monitor of gradio: nothing here uses them, and each had its CVE.
_CLOSED = re.compile(
    r"/gradio_api/(upload|upload_progress|process_recording|vibe-[\w-]+|undo-vibe-edit|run-history|runs|deep_link|dev|"
    r"component_server|custom_component|profiling|stream|token|file)(/|$)"
    r"|/gradio_api/proxy=|/gradio_api/file=[^?]*(:|\\|//)|/monitoring(/|$)|/login/?$|/custom_component/",
    re.IGNORECASE,
)
_SAFE = ("GET", "HEAD")
POLICY = "content-security-policy"


def policy(ancestors: Iterable[str] = ()) -> str:
    """Return the Content-Security-Policy.

    Inline scripts and eval are allowed, because gradio writes scripts into the page and compiles templates. Forbidden
    are scripts, styles, fonts and connections of other origins, event handlers in attributes (as an injected tag would
    have), forms to other sites, and frames around the page other than `ancestors`.
    """
    return "; ".join(
        (
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
            "script-src-attr 'none'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' blob: data:",
            "worker-src 'self' blob:",
            "frame-src 'none'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            f"frame-ancestors {' '.join(ancestors) or chr(39) + 'none' + chr(39)}",
        )
    )


def headers() -> dict[str, str]:
    """Return the headers of every response. Only the hub may frame the page, and only on a Space."""
    fields = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",  # the address of a run is all that it takes to open it
        "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
        "cross-origin-resource-policy": "same-origin",
        "x-robots-tag": "noindex, nofollow",  # links are unlisted
    }
    if space_hosts():
        return fields | {POLICY: policy(("'self'", "https://huggingface.co"))}
    return fields | {
        POLICY: policy(),
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
    }


class Gate:
    """ASGI middleware that checks host and origin, and adds `headers` to the responses of `app`."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app, self.hosts = app, hosts
        self.headers = headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request_headers = Headers(scope=scope)
        send_with_headers = _WithHeaders(send, self.headers)
        status, reason = self.refusal(scope, request_headers)
        if scope["type"] == "websocket":
            if reason:
                await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
            else:
                await self.app(scope, receive, send)
            return
        if reason:
            log.warning("Refused (%d) a request to %r: %s", status, scope["path"][:80], reason)
            await PlainTextResponse(reason, status)(scope, receive, send_with_headers)
            return
        if request_headers.get("x-forwarded-proto", "").split(",")[0].strip() == "https":
            scope["scheme"] = "https"  # a false header only marks the sender's own cookie as Secure
        await self.app(scope, receive, send_with_headers)

    def refusal(self, scope: Scope, headers: Headers) -> tuple[int, str]:
        """Return an HTTP status and why the request is refused; (200, "") if it may pass."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        method = str(scope.get("method", "GET"))
        if len(hosts) != 1 or not self.hosts.allows(hosts[0]):
            return 403, "This page is not served under that name. Its owner can add it to PLAYGROUND_ALLOWED_HOSTS."
        if len(origins) > 1 or any(not self.hosts.origin(origin, hosts[0]) for origin in origins):
            return 403, "Another website sent this request."
        if _is_cross_site(headers, method):
            return 403, "Another website sent this request."
        if any(_CLOSED.match(path) for path in _paths(scope)):
            return 404, "There is nothing here."
        return 200, ""


def _is_cross_site(headers: Headers, method: str) -> bool:
    """Return whether the browser says that another site's page sent this. Following a link there is allowed."""
    sites = headers.getlist("sec-fetch-site")
    if all(site in ("same-origin", "none") for site in sites):
        return False
    return method not in _SAFE or headers.get("sec-fetch-mode") != "navigate"


def _paths(scope: Scope) -> tuple[str, str]:
    """Return the path as the routes see it, and the same without doubled slashes."""
    path = str(scope["path"]).removeprefix(str(scope.get("root_path") or ""))
    return path, re.sub(r"/{2,}", "/", path)


class _TooLarge(Exception):
    """The body is longer than the limit."""


class _WithHeaders:
    """`send` that adds the gate's headers to the response, unless the route has set them."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send, self._headers = send, headers

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)  # a route's own policy is the stricter one
            if "frame-ancestors" not in headers[POLICY]:
                headers[POLICY] += f"; {self._headers[POLICY].rsplit('; ', 1)[-1]}"
        await self._send(message)


class Bodies:
    """ASGI middleware between the sign-in and the routes that limits the size of a body by role.

    Gradio parses bodies in the event loop: 7 MiB of nothing but brackets would block every stream for seconds.
    """

    def __init__(self, app: ASGIApp, owner: Owner) -> None:
        self.app, self.owner = app, owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app, and answer 413 once the body exceeds the limit: Content-Length may be missing."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        reason = self.refusal(scope, int(length)) if length.isdigit() else "The length of this request is no number."
        if reason:
            await PlainTextResponse(reason, 413)(scope, receive, send)
            return
        received, started = 0, False

        async def receive_counted() -> Message:
            nonlocal received, reason
            message: Message = await receive()
            received += len(message.get("body", b""))
            if reason := self.refusal(scope, received):
                raise _TooLarge
            return message

        async def send_unless_refused(message: Message) -> None:
            nonlocal started
            if not reason:  # the app's response to a truncated body is dropped
                started = True
                await send(message)

        try:
            await self.app(scope, receive_counted, send_unless_refused)
        except Exception:
            if not reason:
                raise
        if reason and not started:
            await PlainTextResponse(reason, 413)(scope, receive, send)

    def refusal(self, scope: Scope, size: int) -> str:
        """Return why `size` bytes are too many, or "". The role is looked up only for more than a visitor's limit."""
        if size <= VISITOR_BODY:
            return ""
        if self.owner.refusal(gr.Request(Request(scope))) is None:
            return "" if size <= OWNER_BODY else f"A request has {OWNER_BODY >> 10:,} KiB at most: send less at once."
        limit = max(VISITOR_BODY, BYTES_A_CHARACTER * settings().public_max_prompt_chars)
        return "" if size <= limit else f"A visitor’s request has {limit >> 10:,} KiB at most: shorten it."
