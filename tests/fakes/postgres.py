"""A real PostgreSQL server for the tests, where its binaries are: on a socket of its own, and gone with them."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

DEBIAN = Path("/usr/lib/postgresql")  # the newest version below it
START_S = 120.0
USER = "tester"
BOTH = ("sqlite", "postgresql")
on_both = pytest.mark.parametrize("database", BOTH, indirect=True)
on_sqlite = pytest.mark.parametrize("database", BOTH[:1], indirect=True)
on_postgresql = pytest.mark.parametrize("database", BOTH[1:], indirect=True)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. Its password is a secret that a test can look for where it must not be."""

    socket: Path
    password: str
    process: subprocess.Popen[bytes]

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{self.password}@/{database}?host={self.socket}"

    def execute(self, command: str, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(command).format(sql.Identifier(name)))  # type: ignore[arg-type]  # our own

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a new, empty database."""
        name = f"t{secrets.token_hex(8)}"
        self.execute("CREATE DATABASE {}", name)
        try:
            yield self.url(name)
        finally:
            self.execute("DROP DATABASE {} WITH (FORCE)", name)


def binaries() -> Path | None:
    """Where initdb and postgres are; None on a machine without a server."""
    versions = [path.parent for path in DEBIAN.glob("*/bin/postgres")]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found and (Path(found).resolve().parent / "initdb").exists() else None


@contextmanager
def serve(programs: Path) -> Iterator[Server]:
    """A new server; root hands it to another user, because PostgreSQL refuses to be root."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path is short, and that user must reach it
    password = secrets.token_hex(16)
    (folder / "password").write_text(password)
    other = _another_user(folder)
    log = (folder / "log").open("wb")
    try:
        asked = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", USER, "--pwfile", str(folder / "password")]
        asked += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run([*other, *asked], check=True, stdout=log, stderr=subprocess.STDOUT, timeout=START_S)
        asked = [str(programs / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-c", "listen_addresses="]
        asked += ["-c", "max_connections=50", "-c", "shared_buffers=32MB"]
        process = subprocess.Popen([*other, *asked], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            server = Server(folder, password, process)
            _wait(server, folder / "log")
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # "fast": whoever is connected is cut off
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(30)
    finally:
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _another_user(folder: Path) -> list[str]:
    """What to put before a command; the folder is that user's from now on."""
    dies = ["setpriv", "--pdeathsig", "QUIT"] if shutil.which("setpriv") else []
    if os.getuid() != 0:
        return dies
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    for path in (folder, *folder.iterdir()):
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return [*dies, "--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--clear-groups"]


def _wait(server: Server, log: Path) -> None:
    """Until it answers. Raises RuntimeError with its last words."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(server.url("postgres")).close()
            return
        except psycopg.OperationalError as error:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}") from error
            time.sleep(0.05)
