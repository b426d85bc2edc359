"""`make table`: what it makes, what it takes as it is, and what it writes. The commands are scripted."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from playground.evaluate import unfinished
from playground.store import runs
from tests.fakes.evaluation_run import TASKS, VARIANTS, evaluation
from tests.fakes.variants import made

ROOT = Path(__file__).parents[2]
PAGE = "before\n{begin}\nyesterday\n{end}\nafter\n"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quality_table", ROOT / "scripts/quality_table.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(script: ModuleType, tmp_path: Path) -> Path:
    path = tmp_path / "measurements.md"
    path.write_text(PAGE.format(begin=script.BEGIN, end=script.END))
    return path


def test_it_makes_what_is_missing_measures_once_and_writes(
    home: Path, script: ModuleType, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def command(*words: str) -> None:
        asked.append(list(words))
        settings = script.specification(words[1:3], ["bundled_facts"], 20, 64).settings()
        evaluation(VARIANTS[:2], TASKS[2:3], settings=settings, versions=unfinished.versions())

    monkeypatch.setattr(script, "command", command)
    monkeypatch.setattr(script, "expectation", lambda spec: "It takes a moment.")
    arguments = ["table", "--only", "nf4", "--tasks", "bundled_facts", "--limit", "20", "--tokens", "64"]
    arguments += ["--page", str(page), "--bench", str(tmp_path / "bench")]
    monkeypatch.setattr(sys, "argv", arguments)
    script.main()
    (words,) = asked
    assert words[:3] == ["eval", "smollm2", "smollm2:nf4"] and words[3:] == [
        "--tasks", "bundled_facts", "--limit", "20", "--batch-size", "16", "--kld", "--tokens", "64", "--speed",
    ]  # fmt: skip
    written = page.read_text()
    assert written.startswith("before\n") and written.endswith("\nafter\n") and "yesterday" not in written
    assert "| `smollm2:nf4` | 112 MB | 6.66 | 3.1 ± 0.1 |" in written and "noise floor" in written
    (place,) = (tmp_path / "bench").glob("table-*.json")
    assert json.loads(place.read_text())["id"] == runs.latest("evaluation")[0].id
    script.main()
    assert len(asked) == 1, "the stored run has all of it"
    assert page.read_text() == written
    monkeypatch.setattr(sys, "argv", [*arguments[:-4], "--again", *arguments[-4:]])
    script.main()
    assert len(asked) == 2


def test_a_variant_that_is_there_is_not_made_again(
    home: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(script, "known", lambda model, row: f"{model}:{row.scheme}" if asked else "")
    monkeypatch.setattr(script, "command", lambda *words: asked.append(words))
    row = script.Wanted("gptq", "W4A16", script.TEXT)
    assert script.variant("smollm2", row, 1, 2) == "smollm2:W4A16"
    assert script.variant("smollm2", row, 1, 2) == "smollm2:W4A16"
    assert asked == [("quantize", "smollm2", "--method", "gptq", "--scheme", "W4A16", *script.TEXT)]


def test_it_finds_variants_by_method_and_scheme(home: Path, script: ModuleType) -> None:
    assert script.known("smollm2", script.Wanted("bitsandbytes", "nf4", made=False)) == "smollm2:nf4"
    wanted = script.Wanted("awq", "W4A16_ASYM")
    assert script.known("smollm2", wanted) == ""
    made("awq-w4a16_asym-g64")
    assert script.known("smollm2", wanted) == "smollm2:awq-w4a16_asym-g64"
    assert script.known("smollm2", script.Wanted("awq", "W4A16")) == ""


@pytest.mark.parametrize(
    "changed", [{"versions": {"torch": "1.0"}}, {"settings": {"limit": 7}}, {"variants": VARIANTS[:3]}]
)
def test_another_measurement_is_not_taken_for_this_one(home: Path, script: ModuleType, changed: dict[str, Any]) -> None:
    spec = script.specification(["smollm2", "smollm2:nf4"], ["bundled_facts"], 20, 64)
    settings = spec.settings() | changed.get("settings", {})
    evaluation(
        changed.get("variants", VARIANTS[:2]), TASKS[2:3], files=False, settings=settings,
        versions=changed.get("versions", unfinished.versions()),
    )  # fmt: skip
    assert script.stored(spec) is None
    evaluation(VARIANTS[:2], TASKS[2:3], files=False, settings=spec.settings(), versions=unfinished.versions())
    assert script.stored(spec) is not None


def test_a_difference_that_can_be_seen_is_bold_and_a_withheld_one_says_so(home: Path, script: ModuleType) -> None:
    text = script.table(evaluation(files=False).as_row())
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| `")}
    assert "**" in lines["`smollm2:rtn-w3a16-g64`"] and " worse" in lines["`smollm2:rtn-w3a16-g64`"]
    assert "no verdict" in lines["`smollm2:w8a8`"]
    assert "**" not in lines["`smollm2`"] and "AMD EPYC, 2 cores" in text


def test_a_file_without_a_place_for_the_table_is_left_alone(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no place for the table"):
        script.between("no markers", "table")
