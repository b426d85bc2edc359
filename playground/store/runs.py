"""Queries about runs, each one transaction; and making, storing and describing them.

A run never changes. Its owner's title and note, and whether it is revoked, are in `run_notes`. A revoked run is unknown
to everyone but the owner; `owner` says who asks. Queries over many runs do not read `result`, which is long.
"""

from __future__ import annotations

import logging
import platform
import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Select, delete, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import defer

from playground import __version__, machine
from playground.errors import EngineUnavailable, InvalidRequest, PlaygroundError, StoreUnavailable, UnknownRun
from playground.store import database, folders
from playground.store.schema import FIELDS, MAX_TITLE, Run, RunNote, folded, one_line

MAX_NOTE = 10_000
MAX_WORDS = 8  # of a search; further words are ignored
LIMIT = 100
log = logging.getLogger(__name__)
PACKAGES = (*machine.PACKAGES, "xllamacpp")
TITLE_CHARS = 80  # of the prompt
ID = re.compile(r"[\w-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """A run with its owner's title and note.

    run         in a list without `result`: reading that raises
    title       the owner's, else the run's own
    revoked_at  when its link was revoked; None: the link works
    """

    run: Run
    title: str
    note: str = ""
    revoked_at: float | None = None

    @property
    def id(self) -> str:
        return self.run.id

    def as_row(self, result: bool = False) -> dict[str, Any]:
        """The documented JSON of `runs list`, and with `result` that of `runs show`."""
        fields = {name: getattr(self.run, name) for name in FIELDS if name != "result"}
        row = fields | {"title": self.title, "note": self.note, "revoked_at": self.revoked_at}
        return row | {"result": self.run.result} if result else row


def new_id() -> str:
    """A random id of 128 bits in hex, for links that cannot be guessed. Complete `folders.run(id)` before `add`."""
    return secrets.token_hex(16)


def add(run: Run) -> None:
    """Store a run; committed on return."""
    with database.writing() as session:
        session.add(run)


def get(run_id: str, owner: bool = False) -> Run:
    """The run with its `result`. Raises UnknownRun; for everyone but the owner also for a revoked one."""
    return entry(run_id, owner).run


def entry(run_id: str, owner: bool = False) -> Entry:
    """The run with its `result`, title and note. Raises UnknownRun as `get`."""
    query = select(Run, RunNote).outerjoin(RunNote, RunNote.run_id == Run.id).where(Run.id == run_id)
    with database.reading() as session:
        row = session.execute(query).one_or_none()
    if row is None or (row[1] is not None and row[1].revoked_at is not None and not owner):
        raise _unknown(run_id)
    return _entry(*row)


def whole_id(beginning: str) -> str:
    """The id that starts with `beginning`. Raises UnknownRun, and InvalidRequest if several do."""
    query = select(Run.id).where(Run.id.startswith(beginning.strip(), autoescape=True)).order_by(Run.id).limit(3)
    with database.reading() as session:
        ids = list(session.scalars(query)) if beginning.strip() else []
    if beginning in ids:
        return beginning
    if len(ids) > 1:
        matches = ", ".join(ids[:2]) + (" …" if len(ids) > 2 else "")
        raise InvalidRequest(f"Several runs begin with {beginning[:40]!r}: {matches}.", hint="Write more of the id.")
    if not ids:
        raise _unknown(beginning)
    return ids[0]


def search(
    text: str = "",
    kind: str = "",
    model: str = "",
    since: float | None = None,
    limit: int = LIMIT,
    offset: int = 0,
    revoked: bool = False,
    oldest_first: bool = False,
) -> list[Entry]:
    """The runs that match all arguments given, newest first unless `oldest_first`, without `result`.

    text     words that all occur in the title, the note, the model or the variants, in any case; or a complete id
    since    seconds since the epoch
    revoked  include revoked runs
    """
    query = _search_query(text, kind, model, since, revoked, oldest_first).limit(max(0, limit)).offset(max(0, offset))
    with database.reading() as session:
        rows = session.execute(query).all()
    return [_entry(run, note) for run, note in rows]


def count(text: str = "", kind: str = "", model: str = "", since: float | None = None, revoked: bool = False) -> int:
    """The number of runs that `search` finds without a limit."""
    query = _matching(select(func.count()).select_from(Run), text, kind, model, since, revoked)
    with database.reading() as session:
        return int(session.execute(query).scalar_one())


def models() -> list[str]:
    """Every model with a run, sorted."""
    with database.reading() as session:
        return list(session.scalars(select(Run.model).distinct().order_by(Run.model)))


def latest(kind: str = "", model: str = "", limit: int = LIMIT) -> list[Run]:
    """Runs that are not revoked, newest first, without `result`; of one kind or model where given."""
    return [entry.run for entry in search(kind=kind, model=model, limit=limit)]


def of_job(job_id: str) -> Run | None:
    """The run that a job stored."""
    with database.reading() as session:
        return session.scalars(select(Run).where(Run.job_id == job_id)).first()


def rename(run_id: str, title: str) -> None:
    """Set the owner's title; an empty one restores the run's own. Raises UnknownRun."""
    _update_note(run_id, title=one_line(title, MAX_TITLE) or None)


def annotate(run_id: str, note: str) -> None:
    """Set the owner's note. Raises UnknownRun, and InvalidRequest for a note that is too long."""
    if len(note) > MAX_NOTE:
        raise InvalidRequest(f"The note has {len(note):,} characters.", hint=f"Allowed: {MAX_NOTE:,}.")
    _update_note(run_id, note=note.replace("\0", "").encode("utf-8", "replace").decode().strip())


def revoke(run_id: str) -> None:
    """Revoke the link: the run is unknown to everyone but the owner. Raises UnknownRun."""
    _update_note(run_id, revoked_at=time.time())


def restore(run_id: str) -> None:
    """Make a revoked link work again. Raises UnknownRun."""
    _update_note(run_id, revoked_at=None)


def remove(run_id: str) -> bool:
    """Delete a run and its files; whether there was one."""
    with database.writing() as session:
        removed = session.connection().execute(delete(Run).where(Run.id == run_id)).rowcount > 0
    if removed:
        folders.remove(folders.run(run_id))
    return removed


def _search_query(
    text: str, kind: str, model: str, since: float | None, revoked: bool, oldest_first: bool = False
) -> Select[Any]:
    query = _matching(select(Run, RunNote), text, kind, model, since, revoked).options(defer(Run.result))
    return query.order_by(*((Run.created_at, Run.id) if oldest_first else (Run.created_at.desc(), Run.id.desc())))


def _matching(query: Select[Any], text: str, kind: str, model: str, since: float | None, revoked: bool) -> Select[Any]:
    query = query.outerjoin(RunNote, RunNote.run_id == Run.id)
    if not revoked:
        query = query.where(RunNote.revoked_at.is_(None))
    if kind:
        query = query.where(Run.kind == kind)
    if model:
        query = query.where(Run.model == model)
    if since is not None:
        query = query.where(Run.created_at >= since)
    for word in _words(text):
        matches = or_(Run.words.contains(word, autoescape=True), RunNote.words.contains(word, autoescape=True))
        query = query.where(or_(matches, Run.id == word))
    return query


def _words(text: str) -> Sequence[str]:
    return folded(text).split()[:MAX_WORDS]


def _update_note(run_id: str, **values: Any) -> None:
    with database.writing() as session:
        if session.scalar(select(Run.id).where(Run.id == run_id)) is None:
            raise _unknown(run_id)
        note = session.get(RunNote, run_id) or RunNote(run_id=run_id, updated_at=0.0)
        for name, value in values.items():
            setattr(note, name, value)
        note.words, note.updated_at = folded(note.title or "", note.note), time.time()
        session.add(note)


def _entry(run: Run, note: RunNote | None) -> Entry:
    if note is None:
        return Entry(run, run.title)
    return Entry(run, note.title or run.title, note.note, note.revoked_at)


def _unknown(run_id: str) -> UnknownRun:
    return UnknownRun(f"There is no run {run_id[:40]!r}.", hint="It was deleted, or the link is cut short.")


@dataclass(frozen=True, slots=True)
class Kept:
    """The outcome of `keep`: the stored run's id, or the error; neither where there was nothing to store."""

    id: str = ""
    error: PlaygroundError | None = None


def keep(build: Callable[[], Run | None]) -> Kept:
    """Build a run and store it; committed on return. An error is returned, not raised, so that the result can still be
    shown.
    """
    try:
        run = build()
        if run is None:
            return Kept()
        add(run)
    except (PlaygroundError, SQLAlchemyError, OSError) as error:
        log.warning("A result is not saved: %s", error)
        reason = (
            error
            if isinstance(error, PlaygroundError)
            else StoreUnavailable(_failure_reason(error), hint="See the log.")
        )
        return Kept(error=StoreUnavailable(f"This result is not saved. {reason.message}", hint=reason.hint))
    return Kept(run.id)


def _failure_reason(error: Exception) -> str:
    return f"{error.strerror or error}." if isinstance(error, OSError) else "The database refused it."


def versions() -> dict[str, str]:
    """Versions of playground, Python and the installed packages that may take part in a measurement."""
    packages = {name: version for name, version in machine.versions(PACKAGES).items() if version}
    return {"playground": __version__, "python": platform.python_version(), **packages}


def new_run(kind: str, *, title: str, model: str, **values: Any) -> Run:
    """A new run, not stored yet. `model` is its key (`models.names.key`)."""
    return Run(
        id=new_id(),
        kind=kind,
        title=title,
        model=model,
        created_at=time.time(),
        versions=versions(),
        **values,
    )


def run_title(model: str, labels: Iterable[str], about: str) -> str:
    """ "smollm2 · BF16, nf4 · What is gravity?" """
    short = Path(model).name if model.startswith(("/", "~", ".")) else model
    text = " ".join(about.split())
    text = text if len(text) <= TITLE_CHARS else f"{text[: TITLE_CHARS - 1]}…"
    return " · ".join(part for part in (short, ", ".join(labels), text) if part)


def device_facts(computed_on: Iterable[str]) -> dict[str, Any]:
    """Facts of the device of a measurement, without torch; `computed_on` are the devices that the engines report."""
    places = list(dict.fromkeys(computed_on))
    local = [place for place in places if place != "remote"]
    if places and not local:
        return {"device": "remote", "name": "a remote endpoint", "cores": None, "memory": None, "bandwidth": None}
    try:
        return machine.device_facts(local[0] if local else "cpu")
    except EngineUnavailable as error:
        log.warning("the device is not described: %s", error)
        return {"device": local[0], "name": local[0], "cores": machine.cores(), "memory": None, "bandwidth": None}


# Parts of runs.


@dataclass(frozen=True, slots=True)
class Stamp:
    """The key of a cached response about a run, which itself never changes.

    updated_at  when its title, note or link last changed; None: never
    """

    id: str
    updated_at: float | None


def stamp(run_id: str, owner: bool = False) -> Stamp:
    """The stamp of a run. Raises UnknownRun as `get`."""
    row = None
    if ID.fullmatch(run_id) and database.exists():
        query = select(Run.id, RunNote.updated_at, RunNote.revoked_at)
        query = query.outerjoin(RunNote, RunNote.run_id == Run.id).where(Run.id == run_id)
        with database.reading() as session:
            row = session.execute(query).one_or_none()
    if row is None or (row.revoked_at is not None and not owner):
        raise _unknown(run_id)
    return Stamp(row.id, row.updated_at)


def parts(run_ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The parts `names` of the runs' results, by run id; a missing part is None."""
    if not run_ids or not names:
        return {}
    query = select(Run.id, *(Run.result[name] for name in names)).where(Run.id.in_(run_ids))
    with database.reading() as session:
        return {row[0]: dict(zip(names, row[1:], strict=True)) for row in session.execute(query)}


def run_id_of_job(job_id: str | None) -> str:
    """The id of the run that a job stored; "" without one, or if it is revoked."""
    if not job_id:
        return ""
    query = select(Run.id).outerjoin(RunNote, RunNote.run_id == Run.id)
    with database.reading() as session:
        return session.scalars(query.where(Run.job_id == job_id, RunNote.revoked_at.is_(None))).first() or ""
