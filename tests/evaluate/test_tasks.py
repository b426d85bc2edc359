"""Tasks by name: presets, groups, search, nearest names, permission; lm-eval's whole index, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from playground.core import Progress
from playground.errors import UnknownTask, UnsafeTask
from playground.evaluate import task_index, tasks
from tests.evaluate.conftest import index


@pytest.fixture
def indexed(home: Path) -> Path:
    index(home, arc_easy="arc/arc_easy.yaml", arc_challenge="arc/arc_challenge.yaml", humaneval="humaneval/x.yaml")
    return home


def test_a_preset_needs_no_index(home: Path) -> None:
    found = tasks.resolve(["gsm8k", "coqa"])
    assert [(row.title, row.yaml and row.yaml.exists()) for row in found.values()] == [("GSM8K", True), ("CoQA", True)]
    assert not list(home.rglob("*.json"))


@pytest.mark.usefixtures("indexed")
def test_a_group_is_all_that_it_consists_of() -> None:
    found = tasks.resolve(["ai2_arc"])
    assert set(found) == {"ai2_arc", "arc_easy", "arc_challenge"}
    assert found["ai2_arc"].yaml is None


@pytest.mark.usefixtures("indexed")
def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(UnknownTask, match="arc_esy") as caught:
        tasks.resolve(["gsm8k", "arc_esy"])
    assert caught.value.hint.startswith("Did you mean arc_easy")


@pytest.mark.usefixtures("indexed")
def test_a_task_that_runs_code_is_refused_unless_allowed() -> None:
    with pytest.raises(UnsafeTask, match="humaneval runs code that the model wrote"):
        tasks.resolve(["gsm8k", "humaneval"])
    assert "humaneval" in tasks.resolve(["humaneval"], allow_code=True)


@pytest.mark.usefixtures("indexed")
def test_search_holds_every_word_and_begins_with_the_best() -> None:
    assert [one.name for one in tasks.search("ARC")] == ["arc_challenge", "arc_easy", "ai2_arc"]
    assert [one.name for one in tasks.search("arc easy")] == ["arc_easy"]
    assert [(one.name, one.unsafe) for one in tasks.search("humaneval")] == [("humaneval", True)]
    assert [one.title for one in tasks.all_tasks()[:2]] == ["CoQA", "GSM8K"]
    assert tasks.search("no such words") == []


def test_groups_in_groups_are_named() -> None:
    listed = ["a", {"task": "b", "num_fewshot": 0}, {"group": "c", "task": ["d", {"task": "e"}]}, {"group": "f"}]
    assert list(task_index.names(listed)) == ["a", "b", "d", "e", "f"]
    assert list(task_index.names("a")) == []


def test_looking_tasks_up_imports_no_lm_eval(home: Path) -> None:
    index(home, arc_easy="arc/arc_easy.yaml")
    code = (
        "import sys; from playground.evaluate import tasks; tasks.all_tasks(); tasks.resolve(['gsm8k', 'arc_easy']);"
        "sys.exit(', '.join({'lm_eval', 'torch', 'transformers', 'datasets'} & set(sys.modules)) or 0)"
    )
    child = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


@pytest.mark.slow
def test_the_whole_index_is_built_once(home: Path) -> None:
    told: list[Progress] = []
    found = {one.name: one for one in tasks.all_tasks(told.append)}
    assert len(found) > 10_000
    assert found["humaneval"].unsafe and not found["hellaswag"].unsafe
    assert found["mmlu"].group and "mmlu_abstract_algebra" in tasks.resolve(["mmlu"])
    assert [stage.stage for stage in told] == ["Indexing lm-eval's tasks, once"]
    tasks.all_tasks(told.append)
    assert len(told) == 1
