"""Access to the page: installs the gate and the routes of the owner's login.

The gate is in front of all routes and events; functions that need a role check `Owner` or `Rules` themselves.

The routes are `POST access/login` with the token, `POST access/logout`, and `GET access/me`, the role of the visitor.
The token is sent in a body, never in a URL, and is in no response and no log line.
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
from playground.web.theme import html_part
from playground.web.visitor import Hosts, hub_login, hub_user, listed, visitor

log = logging.getLogger(__name__)
PREFIX = "/access"
MAX_BODY = 4096
NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class Guard:
    """Installs the gate of one served page, and prints the token of a share link."""

    owner: Owner
    hosts: Hosts
    new_token: str = ""  # generated for a share link; "" if the owner has a token already

    @property
    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """Return the lifespan that installs the gate before the first request: gradio serves before `launch` returns.

        The gate is around gradio's own middleware, which answers CORS preflights of any website by itself.
        """

        @asynccontextmanager
        async def gated(app: Any) -> AsyncIterator[None]:
            serve(app, self.owner)
            app.middleware_stack = Gate(app.middleware_stack, self.hosts)
            yield

        return gated

    @property
    def options(self) -> dict[str, Any]:
        """Return arguments of gradio's app. `Bodies` is innermost: the sign-in of a Space is read in front of it."""
        return {"lifespan": self.lifespan, "middleware": [Middleware(Bodies, owner=self.owner)]}

    def opened(self, demo: gr.Blocks) -> None:
        """Call after the launch: allow the share link's host, and print the token that was generated for it.

        Clears `demo.share`: with it gradio's page would load its script from another server.
        """
        if demo.share_url:
            self.hosts.also(demo.share_url)
        demo.share = False
        if self.new_token:
            print(f"* Token of the owner, for the login on the page: {self.new_token}", flush=True)


def guard(address: str, shared: bool) -> tuple[Owner, Guard]:
    """Return the owner and the guard of a page on `address`. A share link gets a new token if the owner set none."""
    config = settings()
    token, new_token = config.owner_token.get_secret_value() if config.owner_token else "", ""
    if shared and not token:
        token = new_token = secrets.token_urlsafe(24)
    owner = Owner(address, shared, Logins(token))
    if owner.public:
        log.warning("%s", _access_notice(owner))
    return owner, Guard(owner, Hosts.of(address, shared, listed(config.allowed_hosts)), new_token)


def _access_notice(owner: Owner) -> str:
    """Return a sentence for the terminal on what visitors may do."""
    where = "through the share link" if owner.shared else f"on {owner.address}"
    may = "open links and generate" if owner.role(None) == "user" else "open links"
    if owner.can_log_in:
        return f"Anyone who reaches this page {where} can {may}; the rest is for the owner, who logs in."
    return (
        f"Anyone who reaches this page {where} can {may}. Nobody can log in as its owner: "
        f"set PLAYGROUND_OWNER_TOKEN{' or PLAYGROUND_OWNERS' if hub_login() else ''} for that."
    )


def add_login(top: gr.Row) -> None:
    """Add the visitor's role and the login to the end of the top bar. On a local page it is empty."""
    with top:
        html_part("door", elem_id="pg-door")
        if hub_login():
            gr.LoginButton(visible=False)  # makes gradio open its routes of the hub's login


# Routes of the login.


def serve(app: Any, owner: Owner) -> None:
    """Add the login routes in front of gradio's own."""

    async def me(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(state, owner, gr.Request(request)), headers=NO_STORE)

    async def login(request: Request) -> Response:
        try:
            cookie = owner.logins.enter(await _token(request), visitor(gr.Request(request)))
        except PlaygroundError as error:
            body = {"error": [error.message, error.hint]}
            return JSONResponse(body, error.status, headers=NO_STORE)
        answer = JSONResponse({"role": "owner"}, headers=NO_STORE)
        answer.set_cookie(
            COOKIE,
            cookie,
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
    """Return the JSON of `access/me`: role, login and limits of the visitor."""
    role, config = owner.role(request), settings()
    how = owner.how(request)
    return {
        "role": role,
        "how": how or ("local" if role == "owner" else ""),
        "name": hub_user(request),
        "token": bool(owner.logins.token),
        "hub": hub_login() and bool(config.owners),
        "models": offered() if role == "user" else [],
        "limits": {"tokens": config.public_max_tokens, "chars": config.public_max_prompt_chars, "rate": rate_words()}
        if role == "user"
        else None,
    }


async def _token(request: Request) -> str:
    """Return the token of a body like {"token": "…"}. Raises WrongLogin."""
    body = await request.body()
    try:
        content = json.loads(body) if len(body) <= MAX_BODY else None
    except (ValueError, RecursionError):
        content = None
    token = content.get("token") if isinstance(content, dict) else None
    if not isinstance(token, str) or not token:
        raise WrongLogin("No token was sent.", hint='Send {"token": "…"} as JSON.')
    return token.strip()
