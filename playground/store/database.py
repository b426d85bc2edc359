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
from playground.store import folders, migrations

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


def size() -> int:
    """Bytes that the results take: the database with what is not merged into it yet, and the files beside it."""
    files = (path().with_name(f"{FILE}{end}") for end in ("", "-wal"))
    return sum(file.stat().st_size for file in files if file.is_file()) + folders.size(folders.runs())


def engine() -> Engine:
    """The engine of this moment's database, with its tables up to date."""
    return _engine(url())


@lru_cache(maxsize=8)
def _engine(address: str) -> Engine:
    made = create(address)
    migrations.upgrade(made)
    return made


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
    for rule in (f"busy_timeout={BUSY_MS}", "foreign_keys=ON"):
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
