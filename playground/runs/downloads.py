"""A run as a file, for whoever has its link: `/run/ID.html`, `.json`, `.csv`, `.png`, `.md`. Nothing of it names a path
of this machine, whoever asks.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from playground.errors import PlaygroundError
from playground.runs.export import FORMS
from playground.store import database, runs
from playground.web import gradio as gr
from playground.web.owner import Owner

ADDRESS = "/run/{run_id}.{ending}"
_making = threading.Lock()
KEPT = 32  # files; a run never changes, its title and note may
HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


def serve(app: Any, owner: Owner) -> None:
    """Answer in front of gradio's own routes. A revoked run is there for its owner alone."""

    def file(request: Request) -> Response:
        run_id, ending = request.path_params["run_id"], request.path_params["ending"]
        mine = owner.refusal(gr.Request(request)) is None
        if ending not in FORMS or not database.exists():
            return PlainTextResponse("There is no such file.", 404, HEADERS)
        try:
            entry = runs.entry(run_id, owner=mine)
            body = _file(entry.id, ending, entry.title, entry.note)
        except PlaygroundError as error:
            return PlainTextResponse(str(error), error.status, HEADERS)
        shown = "inline" if ending == "png" else "attachment"  # a chat shows the picture of a link
        named = {"Content-Disposition": f'{shown}; filename="{entry.run.kind}-{entry.id[:8]}.{ending}"'}
        return Response(body, headers=HEADERS | named, media_type=FORMS[ending].media_type)

    app.router.routes.insert(0, Route(ADDRESS, file, methods=["GET"]))


def _file(run_id: str, ending: str, title: str, note: str) -> bytes:
    """One is made at a time: whoever else wants the same finds it then, and an engine keeps its CPU."""
    with _making:
        return _made(run_id, ending, title, note)


@lru_cache(maxsize=KEPT)
def _made(run_id: str, ending: str, title: str, note: str) -> bytes:
    """Made once: many may open one link. Whoever calls this has asked whether the run may be seen."""
    return FORMS[ending].make(runs.get(run_id, owner=True), title, note)
