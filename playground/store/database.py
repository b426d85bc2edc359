"""The database: one file in the home folder, or a PostgreSQL server (`PLAYGROUND_DATABASE_URL`).

Other modules use `reading()` or `writing()`. The first call in a process migrates the tables. Only this module and the
migrations know which database it is. Both give the same guarantees:

- a committed `writing` transaction survives kill -9 of the process and loss of power;
- `writing` transactions are serialized, so that what one has read is still true when it writes;
- `reading` waits for no writer and sees a consistent snapshot.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, NullPool, event
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from playground.errors import InvalidSettings, StoreUnavailable
from playground.settings import settings
from playground.store import folders, migrations

log = logging.getLogger(__name__)
FILE = "playground.db"
BUSY_MS = 15_000  # timeout for another process's transaction
CONNECT_S = 10
_making = threading.RLock()
WRITERS = 0x706C6179  # "play": the name of the lock that PostgreSQL's writers take
OTHER_TABLES = (
    "42703",
    "42P01",
    "42701",
    "42P07",
)  # PostgreSQL: undefined column and table, duplicate column and table
POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")


def path() -> Path:
    """SQLite's file."""
    return settings().data / FILE


def url() -> str:
    """Return the database's URL with its password, for `create`. Never show it: see `display_url`."""
    return _url().render_as_string(hide_password=False)


def display_url() -> str:
    """Return SQLite's path or PostgreSQL's URL without password and query, which may hold one."""
    address = _url()
    return (
        str(address.database)
        if address.get_backend_name() == "sqlite"
        else str(address.set(drivername="postgresql", query={}))
    )


def _url() -> URL:
    setting = settings().database_url
    if setting is None or not setting.get_secret_value().strip():
        return URL.create("sqlite", database=str(path()))
    try:
        url = sqlalchemy.make_url(setting.get_secret_value().strip())
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in POSTGRESQL:
        raise InvalidSettings(
            "PLAYGROUND_DATABASE_URL is not the address of a PostgreSQL database.",
            hint="Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or unset it for SQLite in the home folder.",
        )
    return url.set(drivername="postgresql+psycopg")


def version() -> str:
    """Return name and version: "SQLite 3.50.7", "PostgreSQL 15.18". Raises StoreUnavailable."""
    with reading() as session:
        if session.get_bind().dialect.name == "sqlite":
            return f"SQLite {sqlite3.sqlite_version}"
        return f"PostgreSQL {str(session.execute(sqlalchemy.text('SHOW server_version')).scalar()).split()[0]}"


def exists() -> bool:
    """Return whether the SQLite file exists, so that a reader need not create it; always True for a server."""
    return _url().get_backend_name() != "sqlite" or path().exists()


def size() -> int:
    """Return the bytes of all results: the database with its write-ahead log, and the folder of runs."""
    folder_bytes = folders.size(folders.runs())
    if _url().get_backend_name() == "sqlite":
        files = (path().with_name(f"{FILE}{end}") for end in ("", "-wal"))
        return folder_bytes + sum(file.stat().st_size for file in files if file.is_file())
    with reading() as session:
        query = sqlalchemy.text("SELECT pg_database_size(current_database())")
        return folder_bytes + int(session.execute(query).scalar() or 0)


def engine() -> Engine:
    """Return the engine of the database in the settings, with migrated tables."""
    with _making:  # else two threads could create two engines at once
        return _engine(url())[0]


@lru_cache(maxsize=8)
def _engine(address: str) -> tuple[Engine, sqlite3.Connection | None]:
    """Return the engine and, for SQLite, the connection that keeps the write-ahead log."""
    engine = create(address)
    migrations.upgrade(engine)
    return engine, _anchor(engine.url.database) if engine.dialect.name == "sqlite" else None


def _anchor(file: str | None) -> sqlite3.Connection:
    """Return a connection that stays open, because SQLite removes the log with the last one.

    On a full disk the next reader could not create it again, and a job that filled the disk would end with an error of
    the store instead of OutOfDisk.
    """
    connection = sqlite3.connect(file or ":memory:", check_same_thread=False)
    connection.execute("PRAGMA schema_version").fetchall()
    return connection


def create(address: str) -> Engine:
    """Return an engine without migrating the tables.

    Statements are logged without their parameters, which hold users' texts. SQLite has no pool: a connection is cheap,
    and must not be shared between threads.
    """
    parsed = sqlalchemy.make_url(address)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(parsed, poolclass=NullPool, hide_parameters=True, json_serializer=_json)
        event.listen(engine, "connect", _configure)
    else:
        rules = {"lock_timeout": BUSY_MS, "synchronous_commit": "on", "timezone": "UTC"}
        engine = sqlalchemy.create_engine(
            parsed,
            pool_pre_ping=True,  # the server may have been restarted
            hide_parameters=True,
            json_serializer=_json,
            connect_args={
                "connect_timeout": CONNECT_S,
                "application_name": "quantization-playground",
                "options": " ".join(f"-c {name}={value}" for name, value in rules.items()),
            },
        )
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: sqlite3.Connection, _: Any) -> None:
    """Set the pragmas of a connection. WAL mode is stored in the file and set by the migrations."""
    connection.isolation_level = None  # else the driver begins transactions by itself
    # FULL: a commit returns when it is on the disk. With WAL some builds of SQLite default to NORMAL.
    # A log that is checkpointed after every commit is overwritten from its start, which works on a full disk too.
    for rule in (f"busy_timeout={BUSY_MS}", "foreign_keys=ON", "synchronous=FULL", "wal_autocheckpoint=1"):
        connection.execute(f"PRAGMA {rule}")


def _begin(connection: Connection) -> None:
    """Begin a transaction; a writer takes its lock at once, because upgrading a read lock can fail."""
    writes = connection.get_execution_options().get("writes", False)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
    elif writes:  # held until the end of the transaction, so that its statements see the previous writer's commit
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")


def _json(value: Any) -> str:
    """Return JSON with null for NaN and infinity, which PostgreSQL refuses."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(element) for key, element in value.items()}
    return [_finite(element) for element in value] if isinstance(value, list | tuple) else value


@contextmanager
def reading() -> Iterator[Session]:
    """Yield a session with a consistent snapshot. Its objects stay usable afterwards. Raises StoreUnavailable."""
    with _translated_errors():
        bind = engine()
        if bind.dialect.name != "sqlite":
            bind = bind.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with Session(bind, expire_on_commit=False) as session:
            yield session


@contextmanager
def writing() -> Iterator[Session]:
    """Yield a session that writes; commits at the end, rolls back on an error. Raises StoreUnavailable."""
    with (
        _translated_errors(),
        Session(engine().execution_options(writes=True), expire_on_commit=False) as session,
        session.begin(),
    ):
        yield session


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise StoreUnavailable for a database that cannot be used. The message does not contain its URL."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolExhausted) as error:
        raise _unavailable(error) from None
    except DatabaseError as error:
        if not _is_foreign(error):
            raise
        raise _unavailable(error) from None


def _unavailable(error: Exception) -> StoreUnavailable:
    server = settings().database_url is not None
    if _is_foreign(error):
        place = "PLAYGROUND_DATABASE_URL to another database" if server else "PLAYGROUND_HOME to another folder"
        kept = "" if server else f", or move {FILE} away: what is in it stays there"
        return StoreUnavailable(
            f"The database was not made by a release of this program up to this one: {_reason(error)}.",
            hint=f"An unreleased state or another program may have written it. Set {place}{kept}.",
        )
    hint = "Is the PostgreSQL server of PLAYGROUND_DATABASE_URL running?" if server else "Is there room on its disk?"
    return StoreUnavailable(f"The database cannot be used: {_reason(error)}.", hint=hint)


def _is_foreign(error: Exception) -> bool:
    """Return whether the file is no database, or has other tables: one is missing or exists already."""
    original = getattr(error, "orig", None)
    if isinstance(original, sqlite3.Error):  # SQLITE_ERROR is the statement's fault; a full disk or a lock has its own
        return original.sqlite_errorcode in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB)
    return getattr(original, "sqlstate", None) in OTHER_TABLES


def _reason(error: Exception) -> str:
    original = getattr(error, "orig", None)
    if isinstance(original, sqlite3.Error):
        return str(original)
    primary = getattr(getattr(original, "diag", None), "message_primary", None)
    return str(primary) if primary else "the server does not answer"
