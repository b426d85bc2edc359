"""What stands in front of every route, gradio's own included: who may send a request here, and what each answer says.

It refuses other names than this page's, other websites, what is too large, and the routes of gradio that nothing here
uses. What a role may do is checked inside the functions; only how large a request may be depends on it here.
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
OWNER_BODY = 8 * 2**20  # bytes of one request: a piece of a calibration file is 1 Mi characters
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
    """The Content-Security-Policy. Gradio writes its scripts into the page and compiles templates: both are allowed.

    What is left still holds what matters: no script, style, font or connection from elsewhere, no handler in an
    attribute (what an injected tag would bring), no form to another site, no frame around it but `ancestors`.
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
    """What every answer says to the browser. Inside a Space's page the hub frames it; elsewhere nobody does."""
    said = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",  # the address of a run is all that it takes to open it
        "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
        "cross-origin-resource-policy": "same-origin",
        "x-robots-tag": "noindex, nofollow",  # links are unlisted
    }
    if space_hosts():
        return said | {POLICY: policy(("'self'", "https://huggingface.co"))}
    return said | {
        POLICY: policy(),
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
    }


class Gate:
    """ASGI in front of `app`."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app, self.hosts = app, hosts
        self.said = headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        sending = _Answer(send, self.said)
        status, why = self.refusal(scope, asked)
        if scope["type"] == "websocket":
            if why:
                await send({"type": "websocket.close", "code": 1008, "reason": why[:120]})
            else:
                await self.app(scope, receive, send)
            return
        if why:
            log.warning("Refused (%d) a request to %r: %s", status, scope["path"][:80], why)
            await PlainTextResponse(why, status)(scope, receive, sending)
            return
        if asked.get("x-forwarded-proto", "").split(",")[0].strip() == "https":
            scope["scheme"] = "https"  # whoever lies about it marks a cookie of his own as Secure, and nothing else
        await self.app(scope, receive, sending)

    def refusal(self, scope: Scope, asked: Headers) -> tuple[int, str]:
        """A status and a sentence; "" where the request may pass."""
        hosts, origins = asked.getlist("host"), asked.getlist("origin")
        method = str(scope.get("method", "GET"))
        if len(hosts) != 1 or not self.hosts.allows(hosts[0]):
            return 403, "This page is not served under that name. Its owner can add it to PLAYGROUND_ALLOWED_HOSTS."
        if len(origins) > 1 or any(not self.hosts.origin(origin, hosts[0]) for origin in origins):
            return 403, "Another website sent this request."
        if _from_elsewhere(asked, method):
            return 403, "Another website sent this request."
        if any(_CLOSED.match(path) for path in _paths(scope)):
            return 404, "There is nothing here."
        return 200, ""


def _from_elsewhere(asked: Headers, method: str) -> bool:
    """By what the browser says of itself. Following a link is fine, whoever shows it; a request from a page is not."""
    sites = asked.getlist("sec-fetch-site")
    if all(site in ("same-origin", "none") for site in sites):
        return False
    return method not in _SAFE or asked.get("sec-fetch-mode") != "navigate"


def _paths(scope: Scope) -> tuple[str, str]:
    """As the routes see it, and without doubled slashes."""
    path = str(scope["path"]).removeprefix(str(scope.get("root_path") or ""))
    return path, re.sub(r"/{2,}", "/", path)


class _TooLarge(Exception):
    """The body went on after the most that is read of one."""


class _Answer:
    """`send`, with our headers on it. Gradio answers any website's CORS questions; the gate did that already."""

    def __init__(self, send: Send, said: dict[str, str]) -> None:
        self._send, self._said = send, said

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", [])
            found = MutableHeaders(scope=message)
            for name, value in self._said.items():
                found.setdefault(name, value)  # a route's own policy is the stricter one
            if "frame-ancestors" not in found[POLICY]:
                found[POLICY] += f"; {self._said[POLICY].rsplit('; ', 1)[-1]}"
        await self._send(message)


class Bodies:
    """ASGI in front of the routes, behind what reads sign-ins: how much of a body is read, by whom it is from.

    Gradio parses bodies in the event loop: one of 7 MiB that is nothing but brackets holds every stream up for seconds.
    """

    def __init__(self, app: ASGIApp, owner: Owner) -> None:
        self.app, self.owner = app, owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app, with a body that ends where too much of it came: its length may not have been said before."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        refused = self.refusal(scope, int(length)) if length.isdigit() else "The length of this request is no number."
        if refused:
            await PlainTextResponse(refused, 413)(scope, receive, send)
            return
        read, started = 0, False

        async def counted() -> Message:
            nonlocal read, refused
            message: Message = await receive()
            read += len(message.get("body", b""))
            if refused := self.refusal(scope, read):
                raise _TooLarge
            return message

        async def answered(message: Message) -> None:
            nonlocal started
            if not refused:  # what the app makes of a body that broke off is not the answer
                started = True
                await send(message)

        try:
            await self.app(scope, counted, answered)
        except Exception:
            if not refused:
                raise
        if refused and not started:
            await PlainTextResponse(refused, 413)(scope, receive, send)

    def refusal(self, scope: Scope, size: int) -> str:
        """Why so many bytes are too many; "" where they are not. Who sent them is asked only where it matters."""
        if size <= VISITOR_BODY:
            return ""
        if self.owner.refusal(gr.Request(Request(scope))) is None:
            return "" if size <= OWNER_BODY else f"A request has {OWNER_BODY >> 10:,} KiB at most: send less at once."
        most = max(VISITOR_BODY, BYTES_A_CHARACTER * settings().public_max_prompt_chars)
        return "" if size <= most else f"A visitor’s request has {most >> 10:,} KiB at most: shorten it."
