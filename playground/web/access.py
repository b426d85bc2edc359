"""Who may use the page: the one place where the gate, the owner's login and the page's routes for it are put together.

Routes and events need nothing of it. The gate stands in front of all of them, and a function that matters asks `Owner`
or `Rules` itself.

The routes are `POST access/login` with the token, `POST access/logout`, and `GET access/me`, the role of the visitor.
The token travels in a body, never in an address, and no answer and no log line holds it.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from playground.errors import PlaygroundError, WrongLogin
from playground.settings import settings
from playground.web.gate import Bodies, Gate
from playground.web.owner import COOKIE, HOURS, Logins, Owner, offered, rate_words
from playground.web.theme import drawn
from playground.web.visitor import Hosts, hub_login, hub_user, listed, visitor

log = logging.getLogger(__name__)
PREFIX = "/access"
MAX_BODY = 4096
NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class Guard:
    """The gate of one served page, and what is said on the terminal about it."""

    owner: Owner
    hosts: Hosts
    made: str = ""  # the token that was made for a share link

    @property
    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """Shuts the gate before the server answers anybody: gradio takes requests before `launch` returns.

        Around gradio's own middleware, not inside it: that answers any website's CORS questions by itself.
        """

        @asynccontextmanager
        async def gated(app: Any) -> AsyncIterator[None]:
            serve(app, self.owner)
            app.middleware_stack = Gate(app.middleware_stack, self.hosts)
            yield

        return gated

    @property
    def options(self) -> dict[str, Any]:
        """Of gradio's app. Its middleware is the innermost: in front of it the sign-ins of a Space are read."""
        return {"lifespan": self.lifespan, "middleware": [Middleware(Bodies, owner=self.owner)]}

    def opened(self, demo: gr.Blocks) -> None:
        """After the launch: learn the share link's name, and serve the same page there as here.

        With `share` set, gradio's page would take its script from another server.
        """
        if demo.share_url:
            self.hosts.also(demo.share_url)
        demo.share = False
        if self.made:
            print(f"* Token of the owner, for the login on the page: {self.made}", flush=True)


def guard(address: str, shared: bool) -> tuple[Owner, Guard]:
    """Who owns a page on `address`, and its gate. A share link without a token of the owner's gets one."""
    now = settings()
    token, made = now.owner_token.get_secret_value() if now.owner_token else "", ""
    if shared and not token:
        token = made = secrets.token_urlsafe(24)
    owner = Owner(address, shared, Logins(token))
    if owner.public:
        log.warning("%s", _said(owner))
    return owner, Guard(owner, Hosts.of(address, shared, listed(now.allowed_hosts)), made)


def _said(owner: Owner) -> str:
    """One sentence on who may do what, for the terminal."""
    where = "through the share link" if owner.shared else f"on {owner.address}"
    may = "open links and generate" if owner.role(None) == "user" else "open links"
    if owner.can_log_in:
        return f"Anyone who reaches this page {where} can {may}; the rest is for the owner, who logs in."
    return (
        f"Anyone who reaches this page {where} can {may}. Nobody can log in as its owner: "
        f"set PLAYGROUND_OWNER_TOKEN{' or PLAYGROUND_OWNERS' if hub_login() else ''} for that."
    )


def door(top: gr.Row) -> None:
    """Who one is, and the way to log in, at the end of the bar at the top. On a local page there is nothing to say."""
    with top:
        drawn("door", elem_id="pg-door")
        if hub_login():
            gr.LoginButton(visible=False)  # makes gradio open its routes of the hub's login


# Routes of the login.


def serve(app: Any, owner: Owner) -> None:
    """Answer in front of gradio's own routes."""

    async def me(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(state, owner, gr.Request(request)), headers=NO_STORE)

    async def login(request: Request) -> Response:
        try:
            made = owner.logins.enter(await _token(request), visitor(gr.Request(request)))
        except PlaygroundError as error:
            body = {"error": [error.message, error.hint]}
            return JSONResponse(body, error.status, headers=NO_STORE)
        answer = JSONResponse({"role": "owner"}, headers=NO_STORE)
        answer.set_cookie(
            COOKIE,
            made,
            max_age=HOURS * 3600,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path="/",
        )
        return answer

    async def logout(request: Request) -> Response:
        owner.logins.leave(gr.Request(request))
        answer = JSONResponse({"role": owner.role(None)}, headers=NO_STORE)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer

    routes = [
        Route(f"{PREFIX}/me", me, methods=["GET"]),
        Route(f"{PREFIX}/login", login, methods=["POST"]),
        Route(f"{PREFIX}/logout", logout, methods=["POST"]),
    ]
    app.router.routes[:0] = routes


def state(owner: Owner, request: gr.Request) -> dict[str, Any]:
    """What the page says of whoever opened it."""
    role, now = owner.role(request), settings()
    how = owner.how(request)
    return {
        "role": role,
        "how": how or ("local" if role == "owner" else ""),
        "name": hub_user(request),
        "token": bool(owner.logins.token),
        "hub": hub_login() and bool(now.owners),
        "models": offered() if role == "user" else [],
        "limits": {"tokens": now.public_max_tokens, "chars": now.public_max_prompt_chars, "rate": rate_words()}
        if role == "user"
        else None,
    }


async def _token(request: Request) -> str:
    """From a body like {"token": "…"}. Raises WrongLogin."""
    body = await request.body()
    try:
        sent = json.loads(body) if len(body) <= MAX_BODY else None
    except (ValueError, RecursionError):
        sent = None
    token = sent.get("token") if isinstance(sent, dict) else None
    if not isinstance(token, str) or not token:
        raise WrongLogin("No token was sent.", hint='Send {"token": "…"} as JSON.')
    return token.strip()
