"""The beginning: jobs that make variants, and the variants they made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("title", sa.String(1200), nullable=False),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float()),
        sa.Column("ended_at", sa.Float()),
        sa.Column("cancelled_at", sa.Float()),
        sa.Column("pid", sa.Integer()),
        sa.Column("pid_started", sa.Float()),
        sa.Column("app_pid", sa.Integer()),
        sa.Column("app_started", sa.Float()),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("result", sa.JSON(none_as_null=True)),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_device_state_created_at", "jobs", ["device", "state", "created_at"])
    op.create_table(
        "variants",
        sa.Column("id", sa.String(1200), nullable=False),
        sa.Column("model", sa.String(1024), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("scheme", sa.String(64), nullable=False),
        sa.Column("group_size", sa.Integer()),
        sa.Column("path", sa.String(4096), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("bits_per_weight", sa.Float(), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.String(128), nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("parent", sa.JSON(), nullable=False),
        sa.Column("card", sa.JSON(), nullable=False),
        sa.Column("job_id", sa.String(32)),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_variants"),
        sa.UniqueConstraint("model", "name", name="uq_variants_model_name"),
    )
    op.create_index("ix_variants_job_id", "variants", ["job_id"])
