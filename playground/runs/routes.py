"""A run at its link: the page with its title and picture, which a chat shows, and its files.

The files are `/run/ID.html`, `.json`, `.csv`, `.png` and `.md`. None has a path of this machine, even the owner's.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from playground.errors import PlaygroundError
from playground.report import paths, picture
from playground.runs.export import FORMS
from playground.runs.kinds import title
from playground.runs.titles import title_of
from playground.store import database, runs
from playground.web import shell
from playground.web.owner import Owner

ADDRESS = "/run/{run_id}.{ending}"
_file_lock = threading.Lock()
MAX_FILES = 32  # files; a run never changes, its title and note may
HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


# The page of one run, as it is shared.


def document(run_id: str, request: Request, owner: Owner) -> Response:
    """Return the page with the run's title and picture. Unknown and revoked runs look alike, also to the owner."""
    try:
        entry = runs.entry(run_id, owner=owner.refusal(request) is None) if database.exists() else None
    except PlaygroundError:
        entry = None
    if entry is None or entry.revoked_at:
        return shell.document(request)
    name = title_of(entry)
    root = str(request.base_url).rstrip("/")
    meta = {
        "og:type": "article",
        "og:site_name": shell.TITLE,
        "og:title": name,
        "og:description": entry.note or f"{title(entry.run.kind)} of {paths.run(entry.run.as_row())['model']}",
        "og:url": f"{root}/run/{entry.id}",
        "og:image": f"{root}/run/{entry.id}.png",
        "og:image:width": str(picture.WIDTH),
        "og:image:height": str(picture.HEIGHT),
    }
    return shell.document(request, f"{name} · {shell.TITLE}", meta)


# Files.


def serve_files(app: Any, owner: Owner) -> None:
    """Add the routes of files before gradio's own. Only the owner gets a revoked run."""

    def file(request: Request) -> Response:
        run_id, ending = request.path_params["run_id"], request.path_params["ending"]
        as_owner = owner.refusal(request) is None
        if ending not in FORMS or not database.exists():
            return PlainTextResponse("There is no such file.", 404, HEADERS)
        try:
            entry = runs.entry(run_id, owner=as_owner)
            body = _file(entry.id, ending, title_of(entry), entry.note)
        except PlaygroundError as error:
            return PlainTextResponse(str(error), error.status, HEADERS)
        disposition = "inline" if ending == "png" else "attachment"  # chat programs preview the picture of a link
        headers = {"Content-Disposition": f'{disposition}; filename="{entry.run.kind}-{entry.id[:8]}.{ending}"'}
        return Response(body, headers=HEADERS | headers, media_type=FORMS[ending].media_type)

    app.router.routes.insert(0, Route(ADDRESS, file, methods=["GET"]))


def _file(run_id: str, ending: str, title: str, note: str) -> bytes:
    """The content of a run's file. Only one is made at a time, to leave the CPU to the engines."""
    with _file_lock:
        return _cached_file(run_id, ending, title, note)


@lru_cache(maxsize=MAX_FILES)
def _cached_file(run_id: str, ending: str, title: str, note: str) -> bytes:
    """As `_file`, cached. The caller has checked that the run may be seen."""
    return FORMS[ending].make(runs.get(run_id, owner=True), title, note)
