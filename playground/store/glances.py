"""What pages ask of many runs, or often, without reading a whole `result`, which is long."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from playground.errors import UnknownRun
from playground.store import database
from playground.store.schema import Run, RunNote

ID = re.compile(r"[\w-]{1,32}", re.ASCII)


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


def of_job(job_id: str | None) -> str:
    """The id of the run that a job left, "" where there is none, or none whose link answers."""
    if not job_id:
        return ""
    query = select(Run.id).outerjoin(RunNote, RunNote.run_id == Run.id)
    with database.reading() as session:
        return session.scalars(query.where(Run.job_id == job_id, RunNote.revoked_at.is_(None))).first() or ""
