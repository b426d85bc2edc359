"""Access to the page: installs the gate and the routes of the owner's login.

The gate is in front of all routes; functions that need a role check `Owner` or `Rules` themselves.

The routes are `GET /api/page` (who one is here, and the page's token), `POST /access/login` with the owner's token, and
`POST /access/logout`. The owner's token is sent in a body, never in a URL, and is in no response and no log line.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.oauth import attach_oauth
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from playground.errors import PlaygroundError, WrongLogin
from playground.settings import settings
from playground.web.gate import Gate, PageToken, quiet_libraries
from playground.web.owner import COOKIE, HOURS, PANES, Logins, Owner, offered, rate_words
from playground.web.shell import space_host
from playground.web.visitor import Hosts, hub_login, hub_user, listed, visitor

log = logging.getLogger(__name__)
MAX_BODY = 4096
NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class Guard:
    """Installs the gate of one served page, and prints the token of a share link."""

    owner: Owner
    hosts: Hosts
    new_token: str = ""  # generated for a share link; "" if the owner has a token already
    page: PageToken = field(default_factory=PageToken)

    @property
    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """Return the lifespan that installs the gate before the first request: gradio serves before `launch` returns.

        The gate is around gradio's own middleware, which answers CORS preflights of any website by itself.
        """

        @asynccontextmanager
        async def gated(app: Any) -> AsyncIterator[None]:
            quiet_libraries()
            app.middleware_stack = Gate(app.middleware_stack, self.hosts, self.owner, self.page)
            yield

        return gated

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


def sign_in(app: FastAPI) -> None:
    """Add the hub's sign-in, on a Space that has one. Elsewhere gradio would log in anybody as this machine's user."""
    if hub_login():
        attach_oauth(app)


# Routes.


def serve(app: Any, owner: Owner, token: PageToken, device: Callable[[], str]) -> None:
    """Add the login, and `GET /api/page`: what the page has to know before it is drawn.

    device  returns the line about this machine
    """

    def page(request: Request) -> Response:
        facts = {"device": device(), "host": space_host()}
        return JSONResponse({"token": token.value, **facts, **state(owner, request)}, headers=NO_STORE)

    async def login(request: Request) -> Response:
        try:
            cookie = owner.logins.enter(await _token(request), visitor(request))
        except PlaygroundError as error:
            said = {"code": error.code, "message": error.message, "hint": error.hint, "field": "token"}
            return JSONResponse({"error": said}, error.status, headers=NO_STORE)
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
        owner.logins.leave(request)
        answer = JSONResponse({"role": owner.role(None)}, headers=NO_STORE)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer

    routes = [
        Route("/api/page", page, methods=["GET"]),
        Route("/access/login", login, methods=["POST"]),
        Route("/access/logout", logout, methods=["POST"]),
    ]
    app.router.routes[:0] = routes


def state(owner: Owner, request: Request) -> dict[str, Any]:
    """Return who sent the request: role, login, and what a visitor may use.

    login  whether the owner's token opens this page
    hub    whether accounts of the hub do
    """
    role, config = owner.role(request), settings()
    how = owner.how(request)
    return {
        "role": role,
        "how": how or ("local" if role == "owner" else ""),
        "name": hub_user(request),
        "login": bool(owner.logins.token),
        "hub": hub_login() and bool(config.owners),
        "models": offered() if role == "user" else [],
        "limits": {
            "tokens": config.public_max_tokens,
            "chars": config.public_max_prompt_chars,
            "panes": PANES,
            "rate": rate_words(),
        }
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
