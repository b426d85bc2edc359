"""Numbered steps that bring a database's tables up to date. Append only: a released step never changes.

They run by themselves at first use. Two processes that start at once take turns: by a file lock, or by the one that
every writer on a server takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
from sqlalchemy import Connection, Engine, inspect, text

from playground.errors import InvalidSettings

FOLDER = Path(__file__).parent


def head() -> str:
    """Number of the newest step: "0001". Each revision is called by the number its file begins with."""
    return max(path.stem[:4] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def upgrade(engine: Engine) -> None:
    """Run the steps that are missing. Raises InvalidSettings for a database of a newer version of this program."""
    if _current(engine) == head():
        return
    with _alone(engine):
        current = _current(engine)
        if current > head():
            raise InvalidSettings(
                f"The database was written by a newer version (step {current}; this one knows {head()}).",
                hint="Update the playground, or set PLAYGROUND_HOME or PLAYGROUND_DATABASE_URL to another place.",
            )
        if current == head():
            return
        if engine.dialect.name == "sqlite":
            connection = engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA journal_mode=WAL")
            finally:
                connection.close()
        with engine.execution_options(writes=True).begin() as opened:
            _run(opened)


def _current(engine: Engine) -> str:
    """Number of the last step that has run; "" for a new database."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return ""
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def _run(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    command.upgrade(config, "head")


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    if engine.dialect.name != "sqlite":  # a server's writers take turns, and alembic looks again once it is its turn
        yield
        return
    with filelock.FileLock(f"{engine.url.database}.lock"):
        yield
