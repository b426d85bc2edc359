"""Queries about stored variants, each one transaction."""

from __future__ import annotations

from sqlalchemy import delete, select

from playground.store import database
from playground.store.schema import Run, StoredVariant


def add(variant: StoredVariant, run: Run | None = None) -> None:
    """Store a variant and the run of its quantization, or neither. Replaces a variant of the same id."""
    with database.writing() as session:
        session.merge(variant)
        if run is not None:
            session.add(run)


def get(variant_id: str) -> StoredVariant | None:
    with database.reading() as session:
        return session.get(StoredVariant, variant_id)


def all_variants() -> list[StoredVariant]:
    """All stored variants, oldest first."""
    with database.reading() as session:
        return list(session.scalars(select(StoredVariant).order_by(StoredVariant.created_at, StoredVariant.id)))


def of_model(model: str) -> list[StoredVariant]:
    """The stored variants of a model, oldest first."""
    query = select(StoredVariant).where(StoredVariant.model == model)
    with database.reading() as session:
        return list(session.scalars(query.order_by(StoredVariant.created_at, StoredVariant.id)))


def names(model: str) -> list[str]:
    """The names of a model's stored variants (what follows the colon), oldest first."""
    query = select(StoredVariant.name).where(StoredVariant.model == model)
    with database.reading() as session:
        return list(session.scalars(query.order_by(StoredVariant.created_at, StoredVariant.id)))


def of_job(job_id: str) -> StoredVariant | None:
    """The variant that a job made."""
    with database.reading() as session:
        return session.scalars(select(StoredVariant).where(StoredVariant.job_id == job_id)).first()


def remove(variant_id: str) -> bool:
    """Delete a variant's row; whether there was one."""
    with database.writing() as session:
        return session.connection().execute(delete(StoredVariant).where(StoredVariant.id == variant_id)).rowcount > 0
