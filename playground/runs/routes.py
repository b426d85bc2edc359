"""Routes for stored runs, in front of gradio's own, so that many viewers do not queue behind a generation.

Anyone who has a run's id may read it. A response is made once and cached, compressed; the browser revalidates it with
its ETag, so that a revoked run is gone at the next request.

A run's files are `/run/ID.html`, `.json`, `.csv`, `.png` and `.md`. None has a path of this machine, even the owner's.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from playground.errors import InvalidRequest, PlaygroundError
from playground.evaluate import board
from playground.runs import page
from playground.runs import pair as runs_pair
from playground.runs.export import FORMS
from playground.store import database, runs
from playground.web import gradio as gr
from playground.web.owner import Owner
from playground.web.values import inert

log = logging.getLogger(__name__)
DATA, ITEMS, PAIR = "/runs/data", "/runs/items", "/runs/pair"
MAX_BYTES = 48_000_000  # of cached responses
MIN_GZIP = 1_000
ADDRESS = "/run/{run_id}.{ending}"
_file_lock = threading.Lock()
MAX_FILES = 32  # files; a run never changes, its title and note may
HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """A JSON body, its gzip (empty where too short), and its ETag."""

    body: bytes
    compressed: bytes
    tag: str

    @property
    def size(self) -> int:
        return len(self.body) + len(self.compressed)


class Cache:
    """The latest responses, up to `MAX_BYTES`, keyed by everything that they depend on."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Encoded] = OrderedDict()
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._bytes = 0

    def get(self, key: tuple[Any, ...], make: Callable[[], dict[str, Any]]) -> Encoded:
        """Return the cached response, or make it. Only one is made at a time, to leave the CPU to the engines."""
        if response := self._cached(key):
            return response
        with self._making:
            if response := self._cached(key):
                return response
            response = encoded(make())
            with self._lock:
                self._kept[key] = response
                self._bytes += response.size
                while self._bytes > MAX_BYTES and len(self._kept) > 1:
                    self._bytes -= self._kept.popitem(last=False)[1].size
        return response

    def _cached(self, key: tuple[Any, ...]) -> Encoded | None:
        with self._lock:
            if response := self._kept.get(key):
                self._kept.move_to_end(key)
            return response


def encoded(value: dict[str, Any]) -> Encoded:
    body = inert(value).encode()
    compressed = gzip.compress(body, 6, mtime=0) if len(body) >= MIN_GZIP else b""
    return Encoded(body, compressed, f'"{hashlib.sha256(body).hexdigest()[:24]}"')


def serve(app: Any, owner: Owner) -> None:
    """Add the JSON routes before gradio's own."""
    cache = Cache()

    def is_owner(request: Request) -> bool:
        return owner.refusal(gr.Request(request)) is None

    def data(request: Request) -> Response:
        as_owner, run_id = is_owner(request), request.query_params.get("run", "")

        def act() -> Encoded:
            stamp = runs.stamp(run_id, as_owner)
            return cache.get((stamp, as_owner), lambda: page.view(runs.entry(run_id, as_owner), owner=as_owner))

        return _respond(request, act)

    def pair(request: Request) -> Response:
        as_owner = is_owner(request)
        ids = request.query_params.get("run", ""), request.query_params.get("with", "")

        def act() -> Encoded:
            stamps = [runs.stamp(run_id, as_owner) for run_id in ids]

            def make() -> dict[str, Any]:
                first, second = (runs.entry(run_id, as_owner) for run_id in ids)
                return runs_pair.view(first, second, owner=as_owner)

            return cache.get((*stamps, as_owner), make)

        return _respond(request, act)

    def items(request: Request) -> Response:
        as_owner, query = is_owner(request), request.query_params

        def act() -> Encoded:
            run = runs.get(runs.stamp(query.get("run", ""), as_owner).id, as_owner)
            better = {task["name"]: bool(task["higher_is_better"]) for task in run.result.get("tasks") or ()}
            content = board.page(
                run.id, better, query.get("task", "")[:200], len(run.variants),
                _whole(query.get("variant")), query.get("show", ""), _whole(query.get("offset")),
            )  # fmt: skip
            return encoded({"id": run.id, **content})

        return _respond(request, act)

    for address, act in ((DATA, data), (ITEMS, items), (PAIR, pair)):
        app.router.routes.insert(0, Route(address, act, methods=["GET"]))


def _respond(request: Request, act: Callable[[], Encoded]) -> Response:
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding, Cookie"}
    try:
        encoded = act()
    except PlaygroundError as error:
        body = inert({"error": [error.message, error.hint]})
        return Response(body, error.status, headers | {"Cache-Control": "no-store"}, "application/json")
    except Exception:
        log.exception("a run cannot be shown")
        body = inert({"error": ["This run cannot be shown.", "Details are in the log of the app."]})
        return Response(body, 500, headers | {"Cache-Control": "no-store"}, "application/json")
    headers["ETag"] = encoded.tag
    if encoded.tag in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    if encoded.compressed and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(encoded.compressed, 200, headers | {"Content-Encoding": "gzip"}, "application/json")
    return Response(encoded.body, 200, headers, "application/json")


def _whole(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        raise InvalidRequest(f"{(text or '')[:40]!r} is not a whole number.") from None


# Files.


def serve_files(app: Any, owner: Owner) -> None:
    """Add the routes of files before gradio's own. Only the owner gets a revoked run."""

    def file(request: Request) -> Response:
        run_id, ending = request.path_params["run_id"], request.path_params["ending"]
        as_owner = owner.refusal(gr.Request(request)) is None
        if ending not in FORMS or not database.exists():
            return PlainTextResponse("There is no such file.", 404, HEADERS)
        try:
            entry = runs.entry(run_id, owner=as_owner)
            body = _file(entry.id, ending, entry.title, entry.note)
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
