"""A job's processes are known by what setting the clock does not change.

The dates of before say nothing any more; their columns stay for an app of the version before that is still running.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for process in ("pid", "app"):
        op.add_column("jobs", sa.Column(f"{process}_identity", sa.String(128)))
