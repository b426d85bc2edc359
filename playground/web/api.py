"""JSON of our own routes: refusals as values, and nothing cached.

A route is a plain `def`: it takes a spec and the request, returns JSON values, and raises PlaygroundError to refuse.
A refusal's body is {"error": {"code", "message", "hint", "field"}}, with the status of the error.
"""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from playground.errors import PlaygroundError

log = logging.getLogger(__name__)
NO_STORE = {"Cache-Control": "no-store"}


def error_row(error: PlaygroundError) -> dict[str, Any]:
    """Return a refusal as JSON; `field` is the name of the invalid field, "" if it concerns none."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "field": error.field,
    }


def install(app: FastAPI) -> None:
    """Make the app answer errors of our routes with refusals."""

    def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, PlaygroundError)  # noqa: S101 - registered for this class
        return JSONResponse({"error": error_row(error)}, error.status, headers=NO_STORE)

    def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
        first = error.errors()[0] if error.errors() else {}
        field = ".".join(str(part) for part in first.get("loc", ())[1:])
        words = f"{field or 'The request'} cannot be read: {first.get('msg', 'it is no JSON')}."
        row = {"code": "invalid_request", "message": words, "hint": "See docs/api.md.", "field": field}
        return JSONResponse({"error": row}, 422, headers=NO_STORE)

    def missing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
        if request.url.path.startswith("/api/"):
            row = {"code": "http", "message": str(error.detail), "hint": "", "field": ""}
            return JSONResponse({"error": row}, error.status_code, headers=error.headers)
        return PlainTextResponse(str(error.detail), error.status_code, headers=error.headers)

    app.add_exception_handler(PlaygroundError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, missing)
