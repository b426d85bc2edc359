"""What an owner says of runs, beside them: a run itself never changes. And what ten thousand of them need to be listed.

SQLite reads a row from its beginning and walks through every page before the column it wants, so `result`, of up to
megabytes, becomes the last one. The table is written anew for that, once.

A database may be shared now, so that a job says whose it is; those of before were this home's.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ORDER = (
    *("id", "kind", "title", "model", "created_at", "words"),
    *("settings", "versions", "device", "variants", "job_id", "result"),
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("home", sa.String(32)))
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.drop_index("ix_runs_created_at", "runs")
    op.add_column("runs", sa.Column("words", sa.Text()))
    _fill_words()
    with op.batch_alter_table(
        "runs", recreate="always" if sqlite else "never", partial_reordering=[ORDER] if sqlite else []
    ) as runs:
        runs.alter_column("words", nullable=False)
    op.create_index("ix_runs_created_at_id", "runs", ["created_at", "id"])
    op.create_index("ix_runs_kind_created_at_id", "runs", ["kind", "created_at", "id"])
    op.create_index("ix_runs_model_created_at_id", "runs", ["model", "created_at", "id"])
    op.create_table(
        "run_notes",
        sa.Column("run_id", sa.String(32), nullable=False),
        sa.Column("title", sa.String(1200)),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.Float()),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_run_notes"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_notes_run_id", ondelete="CASCADE"),
    )


def _fill_words() -> None:
    """As the program fills them at this step, of the runs that are there already."""
    runs = sa.table(
        "runs", sa.column("id"), sa.column("title"), sa.column("model"), sa.column("variants", sa.JSON()),
        sa.column("words"),
    )  # fmt: skip
    connection = op.get_bind()
    for run in connection.execute(sa.select(runs.c.id, runs.c.title, runs.c.model, runs.c.variants)).all():
        named = (text for one in run.variants for text in (one.get("id"), one.get("label"), one.get("scheme")))
        words = " ".join((run.title, run.model, *(str(text) for text in dict.fromkeys(named) if text))).casefold()
        connection.execute(sa.update(runs).where(runs.c.id == run.id).values(words=words))
