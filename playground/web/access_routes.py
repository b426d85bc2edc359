"""The owner's door: `POST access/login` with the token, `POST access/logout`, and `GET access/me`, who one is.

The token travels in a body, never in an address, and no answer and no log line holds it.
"""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from playground.errors import PlaygroundError, WrongLogin
from playground.settings import settings
from playground.web.login import COOKIE, HOURS
from playground.web.owner import Owner, offered, rate_words
from playground.web.visitor import hub_login, hub_user, visitor

PREFIX = "/access"
MAX_BODY = 4096
NO_STORE = {"Cache-Control": "no-store"}


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
