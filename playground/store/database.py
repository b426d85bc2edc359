"""The database: one file in the home folder, or a PostgreSQL server (`PLAYGROUND_DATABASE_URL`).

Everything else asks for `reading()` or `writing()`. The first of them in a process brings the tables up to date. Only
this module and the migrations know which of the two it is, and make them promise the same:

- what `writing` has committed survives kill -9 of the process and the loss of power;
- writers take turns, so that what one has read is still true when it writes;
- a reader waits for no writer, and sees one state of everything.
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
BUSY_MS = 15_000  # as long as this one process waits for another's transaction
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
    """Where the database is, in SQLAlchemy's form, password included: for `create`, and for no eye. See `shown`."""
    return _url().render_as_string(hide_password=False)


def shown() -> str:
    """Where the database is, for people: without the password and without a query, which may hold one."""
    where = _url()
    return (
        str(where.database)
        if where.get_backend_name() == "sqlite"
        else str(where.set(drivername="postgresql", query={}))
    )


def _url() -> URL:
    asked = settings().database_url
    if asked is None or not asked.get_secret_value().strip():
        return URL.create("sqlite", database=str(path()))
    try:
        found = sqlalchemy.make_url(asked.get_secret_value().strip())
    except (ArgumentError, ValueError):
        found = None
    if found is None or found.drivername not in POSTGRESQL:
        raise InvalidSettings(
            "PLAYGROUND_DATABASE_URL is not the address of a PostgreSQL database.",
            hint="Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or unset it for SQLite in the home folder.",
        )
    return found.set(drivername="postgresql+psycopg")


def version() -> str:
    """What answers: "SQLite 3.50.7", "PostgreSQL 15.18". Raises StoreUnavailable."""
    with reading() as session:
        if session.get_bind().dialect.name == "sqlite":
            return f"SQLite {sqlite3.sqlite_version}"
        return f"PostgreSQL {str(session.execute(sqlalchemy.text('SHOW server_version')).scalar()).split()[0]}"


def exists() -> bool:
    """Whether anything was ever stored. Lets a reader that expects nothing leave the disk untouched; a server is
    there already."""
    return _url().get_backend_name() != "sqlite" or path().exists()


def size() -> int:
    """Bytes that results take: the database with what is not merged into it yet, and the files beside it."""
    beside = folders.size(folders.runs())
    if _url().get_backend_name() == "sqlite":
        files = (path().with_name(f"{FILE}{end}") for end in ("", "-wal"))
        return beside + sum(file.stat().st_size for file in files if file.is_file())
    with reading() as session:
        asked = sqlalchemy.text("SELECT pg_database_size(current_database())")
        return beside + int(session.execute(asked).scalar() or 0)


def engine() -> Engine:
    """The engine of this moment's database, with its tables up to date."""
    with _making:  # two threads that begin at once would else make two, and one would stay open unseen
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
    """An engine that does not look at the tables.

    Statements are logged without their parameters, which are what people wrote. SQLite has no pool: a connection costs
    less than a thread's mistake.
    """
    where = sqlalchemy.make_url(address)
    if where.get_backend_name() == "sqlite":
        if where.database:
            Path(where.database).parent.mkdir(parents=True, exist_ok=True)
        made = sqlalchemy.create_engine(where, poolclass=NullPool, hide_parameters=True, json_serializer=_json)
        event.listen(made, "connect", _connected)
    else:
        rules = {"lock_timeout": BUSY_MS, "synchronous_commit": "on", "timezone": "UTC"}
        made = sqlalchemy.create_engine(
            where,
            pool_pre_ping=True,  # the server may have been restarted since
            hide_parameters=True,
            json_serializer=_json,
            connect_args={
                "connect_timeout": CONNECT_S,
                "application_name": "quantization-playground",
                "options": " ".join(f"-c {name}={value}" for name, value in rules.items()),
            },
        )
    event.listen(made, "begin", _begin)
    return made


def _connected(connection: sqlite3.Connection, _: Any) -> None:
    """Rules of one connection. WAL is the file's own property, and set where it is made."""
    connection.isolation_level = None  # else the driver begins transactions by its own rules
    # FULL: a commit is on the disk before it is told. With WAL some builds of SQLite would take NORMAL.
    # A log that is emptied after every commit is written from its start again: that works on a full disk too.
    for rule in (f"busy_timeout={BUSY_MS}", "foreign_keys=ON", "synchronous=FULL", "wal_autocheckpoint=1"):
        connection.execute(f"PRAGMA {rule}")


def _begin(connection: Connection) -> None:
    """A writer takes its lock at once: one that read first could not get it later without starting over."""
    writes = connection.get_execution_options().get("writes", False)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
    elif writes:  # held until the end of the transaction, whose statements then see what the one before committed
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")


def _json(value: Any) -> str:
    """As every database takes it: what is not a number (NaN, infinity) is null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


@contextmanager
def reading() -> Iterator[Session]:
    """A session that sees one state of everything. What it returns stays usable after it. Raises StoreUnavailable."""
    with _sentences():
        made = engine()
        if made.dialect.name != "sqlite":
            made = made.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with Session(made, expire_on_commit=False) as session:
            yield session


@contextmanager
def writing() -> Iterator[Session]:
    """A session that writes; committed at the end, rolled back on an error. Raises StoreUnavailable."""
    with (
        _sentences(),
        Session(engine().execution_options(writes=True), expire_on_commit=False) as session,
        session.begin(),
    ):
        yield session


@contextmanager
def _sentences() -> Iterator[None]:
    """Raise StoreUnavailable for a database that cannot be used now. Nothing of its address is in the message."""
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
    """Whether this is no database, or one with other tables: a statement named one that is missing, or made one that
    is there already."""
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
