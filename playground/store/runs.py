"""Queries about runs. Each is one transaction; none changes a run."""

from __future__ import annotations

import secrets

from sqlalchemy import delete, select
from sqlalchemy.orm import defer

from playground.errors import UnknownRun
from playground.store import database, folders
from playground.store.schema import Run


def new_id() -> str:
    """128 bits, so that nobody guesses a link. Files in `folders.run(id)` are complete before `add` makes it known."""
    return secrets.token_hex(16)


def add(run: Run) -> None:
    """Committed when it returns."""
    with database.writing() as session:
        session.add(run)


def get(run_id: str) -> Run:
    """Raises UnknownRun."""
    with database.reading() as session:
        found = session.get(Run, run_id)
    if found is None:
        raise UnknownRun(f"There is no run {run_id[:40]!r}.", hint="It was deleted, or the link is cut short.")
    return found


def latest(kind: str = "", model: str = "", limit: int = 100) -> list[Run]:
    """Newest first, without `result`, which is long: reading it of one of these raises. Of one kind or model, where
    these are given."""
    query = select(Run).options(defer(Run.result)).order_by(Run.created_at.desc(), Run.id).limit(limit)
    if kind:
        query = query.where(Run.kind == kind)
    if model:
        query = query.where(Run.model == model)
    with database.reading() as session:
        return list(session.scalars(query))


def of_job(job_id: str) -> Run | None:
    """What a job measured."""
    with database.reading() as session:
        return session.scalars(select(Run).where(Run.job_id == job_id)).first()


def remove(run_id: str) -> bool:
    """Forget it and remove its files; whether there was one."""
    with database.writing() as session:
        gone = session.connection().execute(delete(Run).where(Run.id == run_id)).rowcount > 0
    if gone:
        folders.remove(folders.run(run_id))
    return gone
