"""Queries about jobs, each one transaction. A change of state is one UPDATE with the expected state as a condition."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update

from playground.errors import UnknownJob
from playground.store import database, folders
from playground.store.schema import MAX_TITLE, Job, State, one_line


def add(kind: str, title: str, spec: Mapping[str, Any], device: str) -> Job:
    """Add a job at the end of its device's queue."""
    job = Job(
        id=secrets.token_hex(8),  # no "-" in front, which a command line reads as an option
        kind=kind,
        title=one_line(title, MAX_TITLE),
        device=device,
        spec=dict(spec),
        state="queued",
        created_at=time.time(),
        home=folders.home_id(),
    )
    with database.writing() as session:
        session.add(job)
    return job


def get(job_id: str) -> Job:
    """The job with this id. Raises UnknownJob."""
    with database.reading() as session:
        job = session.get(Job, job_id)
    if job is None:
        raise UnknownJob(f"There is no job {job_id[:40]!r}.", hint="List them with `python -m playground jobs list`.")
    return job


def all_jobs(states: Sequence[State] = (), device: str = "") -> list[Job]:
    """The jobs of this home, oldest first; where given, only those in one of `states`, and of one device."""
    query = select(Job).where(_of_this_home()).order_by(Job.created_at, Job.id)
    if states:
        query = query.where(Job.state.in_(states))
    if device:
        query = query.where(Job.device == device)
    with database.reading() as session:
        return list(session.scalars(query))


def ahead(job: Job, active: Iterable[Job]) -> int:
    """How many of the jobs of its device come before one that waits; 0 for one that does not."""
    if job.state != "queued":
        return 0
    mine = job.created_at, job.id
    return sum(other.device == job.device and (other.created_at, other.id) < mine for other in active)


def first(state: State, device: str) -> Job | None:
    """This home's oldest job on a device in this state."""
    query = select(Job).where(_of_this_home(), Job.state == state, Job.device == device)
    query = query.order_by(Job.created_at, Job.id).limit(1)
    with database.reading() as session:
        return session.scalars(query).first()


def claim(job_id: str, pid: int, pid_identity: str, app_pid: int, app_identity: str) -> bool:
    """Let a worker take a queued job; False if it is not queued any more."""
    return _change_state(
        job_id,
        "queued",
        state="running",
        started_at=time.time(),
        pid=pid,
        pid_identity=pid_identity,
        app_pid=app_pid,
        app_identity=app_identity,
    )


def end(
    job_id: str,
    state: State,
    *,
    expected: State = "running",
    error: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
) -> bool:
    """Store the end of a job; False if it was not in the `expected` state any more."""
    return _change_state(job_id, expected, state=state, ended_at=time.time(), error=error, result=result)


def request_cancel(job_id: str) -> None:
    """Request the end of a running job; its runner ends it."""
    with database.writing() as session:
        change = update(Job).where(Job.id == job_id, Job.state == "running", Job.cancelled_at.is_(None))
        session.execute(change.values(cancelled_at=time.time()))


def _of_this_home() -> ColumnElement[bool]:
    """The condition for jobs of this home. Another home's workers may run on a machine that cannot be checked here."""
    return or_(Job.home.is_(None), Job.home == folders.home_id())


def _change_state(job_id: str, expected: State, **values: Any) -> bool:
    with database.writing() as session:
        change = update(Job).where(Job.id == job_id, Job.state == expected).values(**values)
        return session.connection().execute(change).rowcount == 1
