"""Whether the page answers: what a container's HEALTHCHECK, a load balancer and a probe of uptime ask."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

ADDRESS = "/health"


async def health(_request: Request) -> JSONResponse:
    """In the event loop, without a thread, an engine or the disk: late only when the page itself is stuck.

    Says nothing of this machine or of who uses it, because it answers everybody, before any login.
    """
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


def serve(app: Any) -> None:
    """Answer in front of gradio's own routes."""
    app.router.routes.insert(0, Route(ADDRESS, health, methods=["GET"]))
