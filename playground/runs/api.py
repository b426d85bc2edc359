"""The JSON of stored runs: `/api/runs`, one run, its items, and two runs side by side.

Anyone who has a run's id may read it; the list and its actions are for the owner. The response about a run is made once
and cached, compressed; the browser revalidates it with its ETag, so that a revoked run is gone at the next request.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from playground.errors import PlaygroundError, UnknownRun
from playground.evaluate import board
from playground.report import paths
from playground.runs import listing, page
from playground.runs import pair as runs_pair
from playground.runs.listing import MAX_LINES, PAGE, Rows, Sort
from playground.spec import Spec
from playground.store import database, runs
from playground.web.owner import Owner
from playground.web.values import inert

log = logging.getLogger(__name__)
MAX_BYTES = 48_000_000  # of cached responses
MIN_GZIP = 1_000
NO_STORE = {"Cache-Control": "no-store"}
MAX_TEXT = 12_000
Id = Annotated[str, Field(max_length=64)]


class Target(Spec):
    """A run."""

    id: Id


class Text(Spec):
    """A run, and its new title or note; an empty one removes it."""

    id: Id
    text: str = Field(max_length=MAX_TEXT)


class Targets(Spec):
    """Runs to delete."""

    ids: tuple[Id, ...] = Field(min_length=1, max_length=MAX_LINES)


def router(owner: Owner) -> APIRouter:
    """Return the routes; `owner` says whose request it is."""
    routes = APIRouter(prefix="/api/runs", tags=["runs"])
    cache, rows = Cache(), Rows()

    def is_owner(request: Request) -> bool:
        return owner.refusal(request) is None

    def act(request: Request, run_id: str, change: Callable[[str], None]) -> dict[str, Any]:
        """Change a run and return its line in the list. Raises OwnerOnly, UnknownRun, InvalidRequest."""
        owner.check(request)
        _check_store()
        change(run_id)
        return rows.lines([runs.entry(run_id, owner=True)])[0]

    @routes.get("")
    def search(
        request: Request,
        words: Annotated[str, Query(max_length=200)] = "",
        kind: str = "",
        model: str = "",
        revoked: bool = False,
        sort: Sort = "newest",
        limit: Annotated[int, Query(ge=1, le=MAX_LINES)] = PAGE,
    ) -> dict[str, Any]:
        """Find runs: their lines, how many match, and what the filters can be set to. For the owner."""
        owner.check(request)
        return listing.found(rows, words, kind, model, revoked=revoked, sort=sort, limit=limit)

    @routes.get("/rows")
    def stored(
        request: Request,
        words: Annotated[str, Query(max_length=200)] = "",
        kind: str = "",
        model: str = "",
        limit: Annotated[int, Query(ge=1, le=MAX_LINES)] = PAGE,
    ) -> dict[str, Any]:
        """Find runs, the newest first: their rows as `runs list --json` prints them, and how many match. For the owner.

        Revoked runs are among them.
        """
        owner.check(request)
        if not database.exists():
            return {"rows": [], "total": 0}
        entries = runs.search(words, kind, model, limit=limit, revoked=True)
        rows = [paths.run(entry.as_row()) for entry in entries]
        return {"rows": rows, "total": runs.count(words, kind, model, revoked=True)}

    @routes.post("/rename")
    def rename(spec: Text, request: Request) -> dict[str, Any]:
        """Set a run's title. Returns its line."""
        return act(request, spec.id, lambda run_id: runs.rename(run_id, spec.text))

    @routes.post("/annotate")
    def annotate(spec: Text, request: Request) -> dict[str, Any]:
        """Set a run's note. Returns its line."""
        return act(request, spec.id, lambda run_id: runs.annotate(run_id, spec.text))

    @routes.post("/revoke")
    def revoke(spec: Target, request: Request) -> dict[str, Any]:
        """Revoke a run's link: nobody but the owner can open it. Returns its line."""
        return act(request, spec.id, runs.revoke)

    @routes.post("/restore")
    def restore(spec: Target, request: Request) -> dict[str, Any]:
        """Make a revoked link work again. Returns the run's line."""
        return act(request, spec.id, runs.restore)

    @routes.post("/remove")
    def remove(spec: Targets, request: Request) -> dict[str, Any]:
        """Delete runs and their files. Returns the ids of those that were there."""
        owner.check(request)
        _check_store()
        removed = [run_id for run_id in dict.fromkeys(spec.ids) if runs.remove(run_id)]
        if not removed:
            raise UnknownRun(f"There is no run {spec.ids[0][:40]!r}.", hint="It was deleted before.")
        return {"removed": removed}

    @routes.get("/{run_id}")
    def run(run_id: str, request: Request) -> Response:
        """One run as its page shows it."""
        as_owner = is_owner(request)

        def make() -> Encoded:
            stamp = runs.stamp(run_id, as_owner)
            return cache.get((stamp, as_owner), lambda: page.view(runs.entry(run_id, as_owner), owner=as_owner))

        return respond(request, make)

    @routes.get("/{run_id}/row")
    def row(run_id: str, request: Request) -> dict[str, Any]:
        """One run with everything that was measured, as `runs show --json` prints it.

        The owner may give the beginning of an id.
        """
        _check_store()
        as_owner = is_owner(request)
        return paths.run(runs.entry(runs.whole_id(run_id) if as_owner else run_id, as_owner).as_row(result=True))

    @routes.get("/{run_id}/items")
    def items(
        run_id: str,
        request: Request,
        task: Annotated[str, Query(max_length=200)] = "",
        variant: int = 0,
        show: str = "",
        offset: int = 0,
    ) -> Response:
        """Some items of an evaluation: a task's answers of one variant, by its number, beside the reference's."""
        as_owner = is_owner(request)

        def make() -> Encoded:
            stored = runs.get(runs.stamp(run_id, as_owner).id, as_owner)
            better = {row["name"]: bool(row["higher_is_better"]) for row in stored.result.get("tasks") or ()}
            content = board.page(stored.id, better, task, len(stored.variants), variant, show, offset)
            return encoded({"id": stored.id, **content})

        return respond(request, make)

    @routes.get("/{run_id}/pair/{other}")
    def pair(run_id: str, other: str, request: Request) -> Response:
        """Two runs side by side."""
        as_owner, ids = is_owner(request), (run_id, other)

        def make() -> Encoded:
            stamps = [runs.stamp(name, as_owner) for name in ids]

            def view() -> dict[str, Any]:
                first, second = (runs.entry(name, as_owner) for name in ids)
                return runs_pair.view(first, second, owner=as_owner)

            return cache.get((*stamps, as_owner), view)

        return respond(request, make)

    return routes


def _check_store() -> None:
    if not database.exists():
        raise UnknownRun("There is no such run.", hint="Nothing was stored here yet.")


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


def respond(request: Request, make: Callable[[], Encoded]) -> Response:
    """Return the response, or 304 if the browser has it. Raises PlaygroundError."""
    try:
        content = make()
    except PlaygroundError:
        raise
    except Exception:
        log.exception("a run cannot be shown")
        row = {
            "code": "internal",
            "message": "This run cannot be shown.",
            "hint": "Details are in the log.",
            "field": "",
        }
        return JSONResponse({"error": row}, 500, headers=NO_STORE)
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding, Cookie", "ETag": content.tag}
    if content.tag in request.headers.get("if-none-match", ""):
        return Response(None, 304, headers)
    if content.compressed and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(content.compressed, 200, headers | {"Content-Encoding": "gzip"}, "application/json")
    return Response(content.body, 200, headers, "application/json")
