"""The page: one document for all addresses that a person opens, its static files, and what a link unfurls as."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

TITLE = "Quantization Playground"
ROOMS = Path(__file__).parents[1]
# fmt: off
STYLES = (  # the style sheets, in their order
    "web/static/webawesome.css",
    "web/static/page.css",
    "web/static/controls.css",
    "compare/static/pane.css",
    "compare/static/divergence.css",
    "compare/static/endpoints.css",
    "compare/static/composer.css",
    "speed/static/page.css",
    "web/static/parts.css",
    "web/static/jobs.css",
    "quantize/static/page.css",
    "quantize/static/board.css",
    "push/static/page.css",
    "evaluate/static/page.css",
    "evaluate/static/run.css",
    "evaluate/static/items.css",
    "web/static/access.css",
    "runs/static/replay.css",
    "runs/static/page.css",
    "runs/static/list.css",
    "review/static/page.css",
    "review/static/opened.css",
)
# fmt: on
HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?(:\d{1,5})?", re.ASCII)
TEMPLATE = Template((Path(__file__).parent / "static/index.html").read_text(encoding="utf-8"))


class _Static(StaticFiles):
    """Files that the browser asks about each time, so that an update is seen at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def mounts() -> list[Mount]:
    """Return `/static/ROOM` for each room with a folder `static`."""
    folders = sorted(path for path in ROOMS.glob("*/static") if path.is_dir())
    return [Mount(f"/static/{folder.parent.name}", _Static(directory=folder)) for folder in folders]


def serve(app: Starlette) -> None:
    app.router.routes[:0] = mounts()


def document(request: Request, title: str = TITLE, meta: Mapping[str, str] | None = None) -> Response:
    """Return the page. `meta` are the properties that a link unfurls as, such as og:title."""
    base = str(request.scope.get("root_path") or "").rstrip("/") + "/"
    tags = "\n".join(
        f'<meta property="{escape(name)}" content="{escape(value)}">' for name, value in (meta or {}).items()
    )
    return HTMLResponse(
        TEMPLATE.substitute(
            base=escape(base),
            title=escape(title),
            meta=tags,
            styles="\n".join(f'<link rel="stylesheet" href="static/{_address(name)}">' for name in STYLES),
        ),
        headers={"Cache-Control": "no-cache"},
    )


def _address(name: str) -> str:
    return name.replace("/static/", "/", 1)


def space_host() -> str:
    """Return the Space's own host, outside the hub's frame, for links to runs; "" if this is no Space."""
    host = os.environ.get("SPACE_HOST", "")
    return host if HOST.fullmatch(host) else ""
