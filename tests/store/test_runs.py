"""Runs: stored once, read by others, removed with their files."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import column, insert, inspect, table, text
from sqlalchemy.orm.exc import DetachedInstanceError

from playground.errors import InvalidRequest, UnknownRun
from playground.store import database as store_database
from playground.store import folders, migrations, runs
from playground.store.schema import Run
from tests.fakes.postgres import on_sqlite


def stored(**values: Any) -> Run:
    run = Run(
        **{
            "id": runs.new_id(),
            "kind": "evaluation",
            "title": "smollm2 · bundled_facts",
            "model": "smollm2",
            "created_at": time.time(),
            "settings": {"limit": 10},
            "versions": {"torch": "2.13.0"},
            "device": {"name": "cpu"},
            "variants": [{"id": "smollm2"}],
            "result": {"rows": []},
            **values,
        }
    )
    runs.add(run)
    return run


def test_a_run_comes_back_as_it_was(home: Path) -> None:
    run = stored(job_id="a")
    assert runs.get(run.id).as_row() == run.as_row()
    found = runs.of_job("a")
    assert found is not None and found.id == run.id and runs.of_job("b") is None
    assert len(run.id) == 32


def test_the_list_is_newest_first_and_reads_no_results(home: Path) -> None:
    ids = [stored(created_at=float(n), kind="evaluation" if n % 2 else "divergence").id for n in range(4)]
    assert [run.id for run in runs.latest()] == ids[::-1]
    assert [run.id for run in runs.latest(limit=1)] == ids[3:]
    assert [run.id for run in runs.latest("divergence")] == [ids[2], ids[0]]
    assert runs.latest(model="other") == []
    with pytest.raises(DetachedInstanceError):
        _ = runs.latest()[0].result


def test_search_looks_in_titles_notes_models_and_variants_in_any_case(home: Path) -> None:
    nf4 = stored(title="Schwerkraft ÄÖ 100%", variants=[{"id": "smollm2", "label": "BF16"}, {"id": "smollm2:nf4"}])
    other = stored(title="gravity", model="/models/Other_1", kind="comparison", created_at=1.0)
    assert [found.id for found in runs.search("NF4 schwerkraft")] == [nf4.id]
    assert [found.id for found in runs.search("äö")] == [nf4.id]
    assert [found.id for found in runs.search("other_1 GRAV")] == [other.id]
    assert runs.search("other%1") == [] and runs.search("0% nf4")[0].id == nf4.id
    assert [found.id for found in runs.search(other.id)] == [other.id]
    runs.annotate(other.id, "a nice One: Ärger")
    assert [found.id for found in runs.search("ärger nice gravity")] == [other.id]
    assert [found.id for found in runs.search(since=2.0)] == [nf4.id] == [found.id for found in runs.search(limit=1)]
    assert [found.id for found in runs.search(offset=1)] == [other.id]
    assert (runs.count(), runs.count("nice"), runs.count(kind="evaluation"), runs.count(since=2.0)) == (2, 1, 1, 1)
    assert runs.models() == ["/models/Other_1", "smollm2"]


def test_what_the_owner_says_is_beside_the_run(home: Path) -> None:
    run = stored()
    assert runs.entry(run.id).as_row(result=True) == run.as_row() | {"note": "", "revoked_at": None}
    runs.rename(run.id, " The good\none ")
    runs.annotate(run.id, "Look at gsm8k.\nIt moved.")
    found = runs.entry(run.id)
    assert (found.title, found.note) == ("The good one", "Look at gsm8k.\nIt moved.")
    assert runs.get(run.id).as_row() == run.as_row(), "the run itself never changes"
    assert "result" not in runs.search("good")[0].as_row()
    runs.rename(run.id, "")
    assert runs.entry(run.id).title == run.title and runs.search("good") == []
    with pytest.raises(InvalidRequest, match="10,001 characters"):
        runs.annotate(run.id, "x" * 10_001)
    with pytest.raises(UnknownRun):
        runs.rename("nope", "x")


def test_a_revoked_run_is_there_for_its_owner_alone(home: Path) -> None:
    run = stored(job_id="j")
    runs.revoke(run.id)
    with pytest.raises(UnknownRun) as revoked:
        runs.get(run.id)
    with pytest.raises(UnknownRun) as missing:
        runs.get(runs.new_id())
    assert str(revoked.value).replace(run.id, "") == re.sub("[0-9a-f]{32}", "", str(missing.value))
    assert runs.search() == runs.latest() == [] and runs.count() == 0
    assert runs.get(run.id, owner=True).id == run.id and runs.count(revoked=True) == 1
    (entry,) = runs.search(revoked=True)
    assert entry.revoked_at is not None and entry.revoked_at <= time.time()
    runs.restore(run.id)
    assert runs.get(run.id).id == run.id and runs.search()[0].revoked_at is None
    runs.revoke(run.id)
    assert runs.remove(run.id)
    with pytest.raises(UnknownRun):
        runs.restore(run.id)


def test_an_id_may_be_cut_short(home: Path) -> None:
    ids = [stored(id=f"{begin}{'0' * 30}").id for begin in ("ab", "ac", "b_")]
    assert runs.whole_id("ab") == ids[0] and runs.whole_id(ids[1]) == ids[1]
    with pytest.raises(InvalidRequest, match="Several runs begin with 'a'"):
        runs.whole_id("a")
    for nothing in ("", " ", "c", "%", "bx"):
        with pytest.raises(UnknownRun):
            runs.whole_id(nothing)


def test_titles_hold_what_any_database_takes(home: Path) -> None:
    run = stored(title=f"a\0b \ud800\n{'x' * 2000}")
    assert runs.get(run.id).title.startswith("ab ? xxx") and len(run.title) == 1200 and run.title.endswith("…")


@on_sqlite
@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (("", "", "", None, False), "ix_runs_created_at_id"),
        (("", "bench", "", None, True), "ix_runs_kind_created_at_id"),
        (("", "", "smollm2", 1.0, False), "ix_runs_model_created_at_id"),
        (("gravity", "", "", None, False), "ix_runs_created_at_id"),
        (("", "bench", "", None, False, True), "ix_runs_kind_created_at_id"),
    ],
)
def test_a_list_reads_an_index_in_its_final_order_and_no_results(home: Path, asked: Any, index: str) -> None:
    """So ten thousand runs with results of megabytes are listed as fast as short ones (`scripts/bench_runs.py`)."""
    with store_database.reading() as session:
        query = (
            runs._search_query(*asked).limit(50).compile(session.connection(), compile_kwargs={"literal_binds": True})
        )
        plan = [str(row[-1]) for row in session.execute(text(f"EXPLAIN QUERY PLAN {query}".replace(":", r"\:")))]
    assert index in plan[0] and not any("TEMP B-TREE" in step for step in plan), plan
    assert "runs.result" not in str(query)


def test_no_column_is_behind_a_result(home: Path, database: str) -> None:
    columns = [column.name for column in Run.__table__.columns]
    assert columns[-1] == "result"
    with store_database.engine().connect() as connection:
        found = [column["name"] for column in inspect(connection).get_columns("runs")]
    assert found == columns if database == "sqlite" else set(found) == set(columns)


def test_runs_of_before_are_found_by_their_words(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step that adds notes keeps every run, and looks into those that are there."""
    from alembic import command
    from alembic.config import Config

    made = store_database.create(store_database.url())
    with made.execution_options(writes=True).begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(migrations.FOLDER))
        command.upgrade(config, "0002")
        row = {
            "id": "a" * 32, "kind": "evaluation", "title": "Ümlaut", "model": "smollm2", "created_at": 1.5,
            "settings": "{}", "versions": "{}", "device": "{}", "variants": '[{"id": "smollm2:nf4"}]',
            "result": '{"rows": [1]}',
        }  # fmt: skip
        connection.execute(insert(table("runs", *map(column, row))).values(row))
    made.dispose()
    (found,) = runs.search("ümlaut NF4")
    assert runs.get(found.id).result == {"rows": [1]} and found.run.job_id is None and found.run.created_at == 1.5


def test_what_is_removed_is_gone_with_its_files(home: Path) -> None:
    run = stored()
    folders.run(run.id).mkdir(parents=True)
    (folders.run(run.id) / "items.jsonl").write_text("{}")
    assert runs.remove(run.id) and not folders.run(run.id).exists() and not runs.remove(run.id)
    with pytest.raises(UnknownRun, match="no run"):
        runs.get(run.id)
