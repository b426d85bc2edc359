"""Run by alembic, on the connection that `upgrade` opened."""

from __future__ import annotations

from alembic import context

from playground.store import schema  # noqa: F401 - its tables are part of the metadata
from playground.store.schema import Base

# SQLite alters a table by copying it: "batch" in alembic's words.
context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
