"""Queries about runs. Each is one transaction; none changes a run.

What changes (a title, a note, whether its link answers) is said beside it, in `run_notes`. A revoked run is not there
for anybody but the owner, and whoever asks says which of the two it is. What pages ask of many runs, or often, is read
without a whole `result`, which is long.
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
MAX_WORDS = 8  # of a search; what comes after them is not looked for
MANY = 100
log = logging.getLogger(__name__)
PACKAGES = (*machine.PACKAGES, "xllamacpp")
TITLE_CHARS = 80  # of the prompt
ID = re.compile(r"[\w-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """A run and what its owner says of it.

    run         in a list without `result`: reading that raises
    title       the owner's, else the run's own
    revoked_at  since when its link answers as if there were no run; None: it answers
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
        named = {name: getattr(self.run, name) for name in FIELDS if name != "result"}
        row = named | {"title": self.title, "note": self.note, "revoked_at": self.revoked_at}
        return row | {"result": self.run.result} if result else row


def new_id() -> str:
    """128 bits, so that nobody guesses a link. Files in `folders.run(id)` are complete before `add` makes it known."""
    return secrets.token_hex(16)


def add(run: Run) -> None:
    """Committed when it returns."""
    with database.writing() as session:
        session.add(run)


def get(run_id: str, owner: bool = False) -> Run:
    """The whole run. Raises UnknownRun; for everybody but the owner that is also what a revoked one is."""
    return entry(run_id, owner).run


def entry(run_id: str, owner: bool = False) -> Entry:
    """The whole run and what is said of it. Raises UnknownRun as `get`."""
    query = select(Run, RunNote).outerjoin(RunNote, RunNote.run_id == Run.id).where(Run.id == run_id)
    with database.reading() as session:
        found = session.execute(query).one_or_none()
    if found is None or (found[1] is not None and found[1].revoked_at is not None and not owner):
        raise _unknown(run_id)
    return _entry(*found)


def whole_id(beginning: str) -> str:
    """The id that begins so. Raises UnknownRun, and InvalidRequest where several do."""
    query = select(Run.id).where(Run.id.startswith(beginning.strip(), autoescape=True)).order_by(Run.id).limit(3)
    with database.reading() as session:
        found = list(session.scalars(query)) if beginning.strip() else []
    if beginning in found:
        return beginning
    if len(found) > 1:
        shown = ", ".join(found[:2]) + (" …" if len(found) > 2 else "")
        raise InvalidRequest(f"Several runs begin with {beginning[:40]!r}: {shown}.", hint="Write more of the id.")
    if not found:
        raise _unknown(beginning)
    return found[0]


def search(
    text: str = "",
    kind: str = "",
    model: str = "",
    since: float | None = None,
    limit: int = MANY,
    offset: int = 0,
    revoked: bool = False,
) -> list[Entry]:
    """Newest first, without `result`. Everything that is given must be true of a run.

    text     words that all occur in the title, the note, the model or the variants, in any case; or a whole id
    since    seconds since the epoch
    revoked  also those that are revoked
    """
    query = _listed(text, kind, model, since, revoked).limit(max(0, limit)).offset(max(0, offset))
    with database.reading() as session:
        found = session.execute(query).all()
    return [_entry(run, note) for run, note in found]


def count(text: str = "", kind: str = "", model: str = "", since: float | None = None, revoked: bool = False) -> int:
    """How many `search` would find without a limit."""
    query = _matching(select(func.count()).select_from(Run), text, kind, model, since, revoked)
    with database.reading() as session:
        return int(session.execute(query).scalar_one())


def models() -> list[str]:
    """Every model that something was measured of, for a filter."""
    with database.reading() as session:
        return list(session.scalars(select(Run.model).distinct().order_by(Run.model)))


def latest(kind: str = "", model: str = "", limit: int = MANY) -> list[Run]:
    """Newest first, without `result` and those that are revoked. Of one kind or model, where these are given."""
    return [found.run for found in search(kind=kind, model=model, limit=limit)]


def of_job(job_id: str) -> Run | None:
    """What a job measured."""
    with database.reading() as session:
        return session.scalars(select(Run).where(Run.job_id == job_id)).first()


def rename(run_id: str, title: str) -> None:
    """Show it under another title; an empty one gives it its own back. Raises UnknownRun."""
    _say(run_id, title=one_line(title, MAX_TITLE) or None)


def annotate(run_id: str, note: str) -> None:
    """Say something about it. Raises UnknownRun, and InvalidRequest for a note that is too long."""
    if len(note) > MAX_NOTE:
        raise InvalidRequest(f"The note has {len(note):,} characters.", hint=f"Allowed: {MAX_NOTE:,}.")
    _say(run_id, note=note.replace("\0", "").encode("utf-8", "replace").decode().strip())


def revoke(run_id: str) -> None:
    """From here on its link answers as if there were no run, but for the owner. Raises UnknownRun."""
    _say(run_id, revoked_at=time.time())


def restore(run_id: str) -> None:
    """Its link answers again. Raises UnknownRun."""
    _say(run_id, revoked_at=None)


def remove(run_id: str) -> bool:
    """Forget it and remove its files; whether there was one."""
    with database.writing() as session:
        gone = session.connection().execute(delete(Run).where(Run.id == run_id)).rowcount > 0
    if gone:
        folders.remove(folders.run(run_id))
    return gone


def _listed(text: str, kind: str, model: str, since: float | None, revoked: bool) -> Select[Any]:
    query = _matching(select(Run, RunNote), text, kind, model, since, revoked).options(defer(Run.result))
    return query.order_by(Run.created_at.desc(), Run.id.desc())


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
        here = or_(Run.words.contains(word, autoescape=True), RunNote.words.contains(word, autoescape=True))
        query = query.where(or_(here, Run.id == word))
    return query


def _words(text: str) -> Sequence[str]:
    return folded(text).split()[:MAX_WORDS]


def _say(run_id: str, **values: Any) -> None:
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
    """Whether something is stored: the run's id, or why it is not; neither where there was nothing to store."""

    id: str = ""
    error: PlaygroundError | None = None


def keep(build: Callable[[], Run | None]) -> Kept:
    """Build a run and store it; committed when this returns its id. Nothing is raised: what was measured stays in front
    of whoever looks at it, whatever the disk or the database does.
    """
    try:
        run = build()
        if run is None:
            return Kept()
        add(run)
    except (PlaygroundError, SQLAlchemyError, OSError) as error:
        log.warning("A result is not saved: %s", error)
        told = error if isinstance(error, PlaygroundError) else StoreUnavailable(_failure(error), hint="See the log.")
        return Kept(error=StoreUnavailable(f"This result is not saved. {told.message}", hint=told.hint))
    return Kept(run.id)


def _failure(error: Exception) -> str:
    return f"{error.strerror or error}." if isinstance(error, OSError) else "The database refused it."


def versions() -> dict[str, str]:
    """Of everything that could have measured, as far as it is installed."""
    found = {name: version for name, version in machine.versions(PACKAGES).items() if version}
    return {"playground": __version__, "python": platform.python_version(), **found}


def new_run(kind: str, *, title: str, model: str, **values: Any) -> Run:
    """A run of now, not stored yet. `model` is its key (`models.names.key`)."""
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
    """Where it was measured, from what the engines say of themselves; without torch, as far as that is known."""
    places = list(dict.fromkeys(computed_on))
    here = [place for place in places if place != "remote"]
    if places and not here:
        return {"device": "remote", "name": "a remote endpoint", "cores": None, "memory": None, "bandwidth": None}
    try:
        return machine.described(here[0] if here else "cpu")
    except EngineUnavailable as error:
        log.warning("the device is not described: %s", error)
        return {"device": here[0], "name": here[0], "cores": machine.cores(), "memory": None, "bandwidth": None}


# Parts of runs.


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an answer about a run depends on: the run itself never changes. `said_at`: when its owner last said
    something of it, None where nothing was ever said."""

    id: str
    said_at: float | None


def stamp(run_id: str, owner: bool = False) -> Stamp:
    """Raises UnknownRun; for everybody but the owner a revoked run is one."""
    found = None
    if ID.fullmatch(run_id) and database.exists():
        query = select(Run.id, RunNote.updated_at, RunNote.revoked_at)
        query = query.outerjoin(RunNote, RunNote.run_id == Run.id).where(Run.id == run_id)
        with database.reading() as session:
            found = session.execute(query).one_or_none()
    if found is None or (found.revoked_at is not None and not owner):
        raise UnknownRun(f"There is no run {run_id[:40]!r}.", hint="It was deleted, or the link is cut short.")
    return Stamp(found.id, found.updated_at)


def parts(run_ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The parts `names` of the results of these runs, by run; what a result does not have is None."""
    if not run_ids or not names:
        return {}
    query = select(Run.id, *(Run.result[name] for name in names)).where(Run.id.in_(run_ids))
    with database.reading() as session:
        return {row[0]: dict(zip(names, row[1:], strict=True)) for row in session.execute(query)}


def run_id_of_job(job_id: str | None) -> str:
    """The id of the run that a job left, "" where there is none, or none whose link answers."""
    if not job_id:
        return ""
    query = select(Run.id).outerjoin(RunNote, RunNote.run_id == Run.id)
    with database.reading() as session:
        return session.scalars(query.where(Run.job_id == job_id, RunNote.revoked_at.is_(None))).first() or ""
