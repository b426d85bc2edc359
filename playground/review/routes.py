"""The reviewer's page at `/review/ID#KEY`, a small page of its own, and its JSON endpoints.

The key stands in the fragment, which no server log and no Referer contains; `/review/ID?key=KEY` works too. The page
says who asks and how many pairs there are, and nothing about variants. Responses are JSON and never cached. A vote is a
JSON request of the same origin: another website's form cannot send one, and its origin is checked.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from playground.errors import InvalidRequest, OwnerOnly, PlaygroundError
from playground.review import voting
from playground.web.api import error_row
from playground.web.values import inert

log = logging.getLogger(__name__)
PAGE = Template((Path(__file__).parent / "static/reviewer/page.html").read_text(encoding="utf-8"))
STATE, START, VOTE = "/review/state", "/review/start", "/review/vote"
MAX_BODY = 16_384  # bytes: a comment and two keys
COOKIE = "review-"  # and the review's id
DAYS = 180
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'"
)


class _OldLink(Route):
    """`/` if the query names a review; every other request falls through to the page."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        return super().matches(scope) if "review" in query else (Match.NONE, {})


def serve(app: Any) -> None:
    """Add the routes. None of them requires the owner."""
    app.router.routes[:0] = [
        _OldLink("/", moved, methods=["GET"]),
        Route(STATE, state, methods=["GET", "POST"]),
        Route(START, start, methods=["POST"]),
        Route(VOTE, vote, methods=["POST"]),
        Route("/review/{review_id}", page, methods=["GET"]),
    ]


def moved(request: Request) -> Response:
    """Links of earlier versions: `/?review=ID&key=KEY`."""
    review, key = (request.query_params.get(name, "") for name in ("review", "key"))
    plain = "".join(letter for letter in review if letter.isalnum())[:64] or "unknown"
    fragment = "".join(letter for letter in key if letter.isalnum())[:64]
    return RedirectResponse(f"review/{plain}#{fragment}", headers=NO_STORE)


def page(request: Request) -> Response:
    title, description = voting.invitation(str(request.path_params["review_id"]))
    headers = {**NO_STORE, "Content-Security-Policy": POLICY}
    words = {
        "title": escape(title or "A blind review"),
        "description": escape(description or "There is no review behind this link."),
    }
    return HTMLResponse(PAGE.substitute(words), 200 if title else 404, headers)


async def state(request: Request) -> Response:
    """The page sends the key in a body; in a query it would stand in logs."""
    body = dict(request.query_params) if request.method == "GET" else await _body(request)
    if isinstance(body, Response):
        return body
    review, key = str(body.get("review", "")), str(body.get("key", ""))
    return await run_in_threadpool(_respond, lambda: voting.state(review, key, _token(request, review)))


async def start(request: Request) -> Response:
    body = await _body(request)
    if isinstance(body, Response):
        return body
    review, key = str(body.get("review")), str(body.get("key"))
    tokens: list[str] = []

    def act() -> dict[str, Any]:
        state, token = voting.start(review, key, _token(request, review))
        tokens.append(token)
        return state

    answer = await run_in_threadpool(_respond, act)
    if tokens:
        secure = request.url.scheme == "https"
        answer.set_cookie(
            f"{COOKIE}{review}",
            tokens[0],
            max_age=DAYS * 86_400,
            path=f"{str(request.scope.get('root_path') or '').rstrip('/')}/review",
            httponly=True,
            secure=secure,
            samesite="none" if secure else "lax",  # a Space's page frames this one
        )
    return answer


async def vote(request: Request) -> Response:
    body = await _body(request)
    if isinstance(body, Response):
        return body
    review, key = str(body.get("review")), str(body.get("key"))
    at, choice, comment = body.get("at"), body.get("choice"), body.get("comment", "")
    return await run_in_threadpool(
        _respond, lambda: voting.vote(review, key, _token(request, review), at, choice, comment)
    )


def _token(request: Request, review: str) -> str:
    return request.cookies.get(f"{COOKIE}{review}", "")


async def _body(request: Request) -> dict[str, Any] | Response:
    """The JSON object of a same-origin request; else the error response."""
    if reason := cross_site(request):
        return _failed(OwnerOnly(reason))
    content = b""
    async for piece in request.stream():
        content += piece
        if len(content) > MAX_BODY:
            return _failed(InvalidRequest("This is too long.", hint="Shorten the comment."), 413)
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        fields = None
    return fields if isinstance(fields, dict) else _failed(InvalidRequest("This is not a vote."))


def cross_site(request: Request) -> str:
    """Why a request is not from our own page; "" if it may be."""
    origins, host = request.headers.getlist("origin"), request.headers.get("host", "").lower()
    try:
        same_origin = len(origins) == 1 and urlsplit(origins[0]).netloc.lower() == host and bool(host)
    except ValueError:
        same_origin = False
    if not same_origin or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return "Another website sent this request."
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return "The page sends JSON, and this is something else."
    return ""


def _respond(act: Callable[[], dict[str, Any]]) -> Response:
    try:
        return Response(inert(act()), 200, NO_STORE, "application/json")
    except PlaygroundError as error:
        return _failed(error)
    except Exception:
        log.exception("a review could not answer")
        return _failed(PlaygroundError("This could not be saved or read.", hint="Try again in a moment."))


def _failed(error: PlaygroundError, status: int = 0) -> Response:
    return JSONResponse({"error": error_row(error)}, status or error.status, NO_STORE)
