"""Runs: stored once, read by others, removed with their files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm.exc import DetachedInstanceError

from playground.errors import UnknownRun
from playground.store import folders, runs
from playground.store.schema import Run


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


def test_what_is_removed_is_gone_with_its_files(home: Path) -> None:
    run = stored()
    folders.run(run.id).mkdir(parents=True)
    (folders.run(run.id) / "items.jsonl").write_text("{}")
    assert runs.remove(run.id) and not folders.run(run.id).exists() and not runs.remove(run.id)
    with pytest.raises(UnknownRun, match="no run"):
        runs.get(run.id)
