"""The database: migrations make what the models say, processes share it."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import column, insert, table, text
from sqlalchemy.exc import ProgrammingError

from playground.errors import InvalidSettings, StoreUnavailable
from playground.settings import settings
from playground.store import database, jobs, migrations
from playground.store.schema import Base
from tests.fakes.postgres import Server, on_postgresql, on_sqlite

ROOT = Path(__file__).parents[2]


def python(code: str) -> subprocess.Popen[str]:
    """A process of its own in the same home."""
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_the_migrations_make_what_the_models_say(home: Path) -> None:
    with database.engine().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_model_without_its_migration_is_noticed(home: Path) -> None:
    with database.engine().begin() as connection:
        connection.execute(text("ALTER TABLE jobs DROP COLUMN title"))
    with database.engine().connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert [change[0] for change in found] == ["add_column"]


def test_every_step_is_called_by_its_number() -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(migrations.FOLDER))
    steps = list(script.walk_revisions())
    assert [Path(step.path).name[:4] for step in steps] == [step.revision for step in steps]
    assert script.get_current_head() == migrations.head() == f"{len(steps):04}"


@on_sqlite
def test_wal_and_the_rules_of_a_connection(home: Path) -> None:
    with database.reading() as session:
        assert session.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert session.execute(text("PRAGMA busy_timeout")).scalar() == database.BUSY_MS


@on_postgresql
def test_the_rules_of_a_server_s_connection(home: Path) -> None:
    asked = ("synchronous_commit", "lock_timeout", "transaction_isolation", "transaction_read_only")
    with database.reading() as session:
        found = [session.execute(text(f"SHOW {name}")).scalar() for name in asked]
    assert found == ["on", "15s", "repeatable read", "on"]
    with database.writing() as session:
        assert session.execute(text("SHOW transaction_isolation")).scalar() == "read committed"


@on_sqlite
def test_the_home_is_looked_up_at_call_time(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs.add("quantize", "a", {}, "cpu")
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "other"))
    assert jobs.all_jobs() == []
    monkeypatch.setenv("PLAYGROUND_HOME", str(home))
    assert [found.id for found in jobs.all_jobs()] == [job.id]


def test_processes_that_start_at_once_upgrade_once(home: Path) -> None:
    code = "from playground.store import jobs; print(jobs.add('quantize', 'a', {}, 'cpu').id)"
    started = [python(code) for _ in range(4)]
    said = [process.communicate(timeout=120)[0] for process in started]
    assert all(process.returncode == 0 for process in started), said
    assert {text.strip() for text in said} == {job.id for job in jobs.all_jobs()}


def test_a_reader_sees_what_another_process_committed(home: Path) -> None:
    job = jobs.add("quantize", "a", {}, "cpu")
    with database.reading() as session:
        session.execute(text("SELECT 1"))  # the first read fixes what this session sees
        other = python(f"from playground.store import jobs; print(jobs.claim({job.id!r}, 7, 'one', 8, 'two'))")
        assert other.communicate(timeout=60)[0].strip() == "True"
    found = jobs.get(job.id)
    assert (found.state, found.pid, found.app_pid) == ("running", 7, 8)


def test_a_reader_does_not_wait_for_a_writer(home: Path) -> None:
    jobs.add("quantize", "a", {}, "cpu")
    with database.writing() as session:
        session.execute(text("UPDATE jobs SET title = 'b'"))
        assert [job.title for job in jobs.all_jobs()] == ["a"]
    assert [job.title for job in jobs.all_jobs()] == ["b"]


def test_writers_take_turns(home: Path) -> None:
    """What one has read is still true when it writes: ten that count on to the next number give ten numbers."""
    job = jobs.add("quantize", "0", {}, "cpu")

    def count_on(_: int) -> None:
        with database.writing() as session:
            seen = session.execute(text("SELECT title FROM jobs")).scalar_one()
            time.sleep(0.01)
            session.execute(text("UPDATE jobs SET title = :title"), {"title": str(int(seen) + 1)})

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(count_on, range(10)))
    assert jobs.get(job.id).title == "10"


def test_what_is_no_number_is_stored_as_nothing(home: Path) -> None:
    job = jobs.add("quantize", "a\0b", {"ppl": float("nan"), "rows": [float("inf"), 0.1]}, "cpu")
    found = jobs.get(job.id)
    assert found.spec == {"ppl": None, "rows": [None, 0.1]} and found.title == "ab"


def test_a_full_disk_is_read_and_the_state_of_a_job_is_still_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "small"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(home)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"may not mount: {mounted.stderr.strip()}")
    monkeypatch.setenv("PLAYGROUND_HOME", str(home))
    try:
        job = jobs.add("quantize", "a", {}, "cpu")
        with (home / "full").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        assert jobs.get(job.id).state == "queued"
        assert jobs.claim(job.id, 7, "one", 8, "two") and jobs.end(
            job.id, "failed", error={"error": {"message": "m" * 400}}
        )
        assert jobs.get(job.id).state == "failed"
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def test_a_running_job_of_an_older_version_is_kept(home: Path) -> None:
    from alembic import command
    from alembic.config import Config

    made = database.create(database.url())
    with made.execution_options(writes=True).begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(migrations.FOLDER))
        command.upgrade(config, "0004")
        row = {
            "id": "a", "kind": "fake", "title": "t", "device": "cpu", "spec": "{}", "state": "running",
            "created_at": 1.5, "pid": 7, "pid_started": 2.5, "app_pid": 8, "app_started": 0.5,
        }  # fmt: skip
        connection.execute(insert(table("jobs", *map(column, row))).values(row))
    made.dispose()
    (job,) = jobs.all_jobs(("running",))
    assert (job.pid, job.app_pid, job.created_at) == (7, 8, 1.5) and job.pid_identity is job.app_identity is None


def test_a_failed_write_leaves_nothing(home: Path) -> None:
    job = jobs.add("quantize", "a", {}, "cpu")

    def broken() -> None:
        with database.writing() as session:
            session.execute(text("UPDATE jobs SET title = 'b'"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert jobs.get(job.id).title == "a"


@on_postgresql
def test_nobody_reads_the_password(home: Path, postgres: Server, caplog: pytest.LogCaptureFixture) -> None:
    assert postgres.password in database.url() and database.version().startswith("PostgreSQL ")
    assert postgres.password not in repr(settings()) + database.display_url() + repr(database.engine())
    with caplog.at_level("DEBUG"), pytest.raises(ProgrammingError) as broken, database.writing() as session:
        session.execute(text("SELECT FROM WHERE a = :a"), {"a": "a private prompt"})
    assert "a private prompt" not in str(broken.value) and postgres.password not in caplog.text + str(broken.value)


@on_postgresql
def test_a_server_that_is_away_is_a_sentence(home: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_DATABASE_URL", "postgresql://me:hidden@/x?host=/nowhere")
    with pytest.raises(StoreUnavailable, match="does not answer") as away:
        jobs.all_jobs()
    assert "hidden" not in str(away.value) and "/nowhere" not in str(away.value)


@pytest.mark.parametrize("address", ["mysql://me:hidden@host/x", "nonsense hidden", "sqlite:///hidden.db"])
@on_sqlite
def test_another_address_is_refused(home: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_DATABASE_URL", address)
    with pytest.raises(InvalidSettings, match="not the address of a PostgreSQL database") as refused:
        jobs.all_jobs()
    assert "hidden" not in str(refused.value)


@on_sqlite
def test_a_full_disk_is_a_sentence(home: Path) -> None:
    jobs.add("quantize", "a", {}, "cpu")

    def write_more() -> None:
        with database.writing() as session:
            pages = session.execute(text("PRAGMA page_count")).scalar_one()
            session.execute(text(f"PRAGMA max_page_count={pages}"))
            session.execute(text("UPDATE jobs SET title = :title"), {"title": "x" * 100_000})

    with pytest.raises(StoreUnavailable, match="disk is full"):
        write_more()
    assert [job.title for job in jobs.all_jobs()] == ["a"]


@pytest.mark.parametrize("change", ["ALTER TABLE jobs DROP COLUMN title", "DROP TABLE jobs"])
def test_tables_of_an_unreleased_state_are_a_sentence_with_a_way_out(home: Path, change: str) -> None:
    with database.engine().begin() as connection:
        connection.execute(text(change))
    with pytest.raises(StoreUnavailable, match="not made by a release") as found:
        jobs.all_jobs()
    assert "title" in found.value.message or "jobs" in found.value.message
    assert "to another" in found.value.hint and "room" not in found.value.hint


@on_sqlite
def test_a_file_of_another_program_is_a_sentence_with_a_way_out(home: Path) -> None:
    with contextlib.closing(sqlite3.connect(home / database.FILE)) as other:
        other.execute("CREATE TABLE jobs (name TEXT)")
    with pytest.raises(StoreUnavailable, match="table jobs already exists") as found:
        jobs.all_jobs()
    assert f"move {database.FILE} away" in found.value.hint
    (home / database.FILE).write_text("no database " * 100)
    with pytest.raises(StoreUnavailable, match="file is not a database") as found:
        jobs.all_jobs()
    assert f"move {database.FILE} away" in found.value.hint


def test_a_database_of_a_newer_version_is_refused(home: Path) -> None:
    with database.engine().begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    made = database.create(database.url())
    with pytest.raises(InvalidSettings, match="newer version"):
        migrations.upgrade(made)
    made.dispose()
