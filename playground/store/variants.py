"""Queries about stored variants. Each is one transaction."""

from __future__ import annotations

from sqlalchemy import delete, select

from playground.store import database
from playground.store.schema import Run, StoredVariant


def add(variant: StoredVariant, run: Run | None = None) -> None:
    """Make it known, and the run that made it, or neither. One of the same id is replaced: its folder was."""
    with database.writing() as session:
        session.merge(variant)
        if run is not None:
            session.add(run)


def get(variant_id: str) -> StoredVariant | None:
    with database.reading() as session:
        return session.get(StoredVariant, variant_id)


def all_variants() -> list[StoredVariant]:
    """Oldest first."""
    with database.reading() as session:
        return list(session.scalars(select(StoredVariant).order_by(StoredVariant.created_at, StoredVariant.id)))


def of_model(model: str) -> list[StoredVariant]:
    """Oldest first."""
    query = select(StoredVariant).where(StoredVariant.model == model)
    with database.reading() as session:
        return list(session.scalars(query.order_by(StoredVariant.created_at, StoredVariant.id)))


def names(model: str) -> list[str]:
    """What may stand after the colon of `model`, oldest first."""
    query = select(StoredVariant.name).where(StoredVariant.model == model)
    with database.reading() as session:
        return list(session.scalars(query.order_by(StoredVariant.created_at, StoredVariant.id)))


def of_job(job_id: str) -> StoredVariant | None:
    """What a job made."""
    with database.reading() as session:
        return session.scalars(select(StoredVariant).where(StoredVariant.job_id == job_id)).first()


def remove(variant_id: str) -> bool:
    """Forget it; whether there was one."""
    with database.writing() as session:
        return session.connection().execute(delete(StoredVariant).where(StoredVariant.id == variant_id)).rowcount > 0
