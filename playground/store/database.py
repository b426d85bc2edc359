"""The database: one file in the home folder, in WAL mode, so that the page reads while a worker writes.

Everything else asks for `reading()` or `writing()`. The first of them in a process brings the tables up to date. Only
`url` and `_connected` know that it is SQLite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, NullPool, event
from sqlalchemy.orm import Session

from playground.settings import settings
from playground.store import migrations

FILE = "playground.db"
BUSY_MS = 15_000  # as long as this one process waits for another's transaction


def path() -> Path:
    return settings().data / FILE


def url() -> str:
    """Where the database is, in SQLAlchemy's form."""
    return f"sqlite:///{path()}"


def exists() -> bool:
    """Whether anything was ever stored. Lets a reader that expects nothing leave the disk untouched."""
    return path().exists()


def engine() -> Engine:
    """The engine of this moment's database, with its tables up to date."""
    return _engine(url())[0]


@lru_cache(maxsize=8)
def _engine(address: str) -> tuple[Engine, sqlite3.Connection | None]:
    """The engine, and what keeps the write-ahead log there."""
    made = create(address)
    migrations.upgrade(made)
    return made, _anchor(made.url.database) if made.dialect.name == "sqlite" else None


def _anchor(file: str | None) -> sqlite3.Connection:
    """A connection that stays open. With the last one the log is removed, and the next reader has to make it again:
    on a full disk it could not, and a job that filled the disk would end with an error of the store.
    """
    held = sqlite3.connect(file or ":memory:", check_same_thread=False)
    held.execute("PRAGMA schema_version").fetchall()
    return held


def create(address: str) -> Engine:
    """An engine that does not look at the tables. Without a pool: a connection costs less than a thread's mistake."""
    if file := sqlalchemy.make_url(address).database:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    made = sqlalchemy.create_engine(address, poolclass=NullPool)
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", _connected)
        event.listen(made, "begin", _begin)
    return made


def _connected(connection: sqlite3.Connection, _: Any) -> None:
    """Rules of one connection. WAL is the file's own property, and set where it is made."""
    connection.isolation_level = None  # else the driver begins transactions by its own rules
    # A log that is emptied after every commit is written from its start again: that works on a full disk too.
    for rule in (f"busy_timeout={BUSY_MS}", "foreign_keys=ON", "wal_autocheckpoint=1"):
        connection.execute(f"PRAGMA {rule}")


def _begin(connection: Connection) -> None:
    """A writer takes its lock at once: one that read first could not get it later without starting over."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading() -> Iterator[Session]:
    """A session that sees one state of everything. What it returns stays usable after it."""
    with Session(engine(), expire_on_commit=False) as session:
        yield session


@contextmanager
def writing() -> Iterator[Session]:
    """A session that writes; committed at the end, rolled back on an error."""
    with Session(engine().execution_options(writes=True), expire_on_commit=False) as session, session.begin():
        yield session
