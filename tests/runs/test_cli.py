"""`runs` on the command line, and what `generate` and `bench` say of the runs that they leave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from playground import cli, console, machine
from playground.errors import InvalidRequest, UnknownRun
from playground.store import database, runs
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine, Script
from tests.fakes.evaluation_run import divergence_run, evaluation


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    catalog.install(monkeypatch)
    many = Script(tokens=(*GRAVITY, *GRAVITY), step_s=0.001)

    @contextmanager
    def running() -> Iterator[FakeEngine]:
        yield FakeEngine({"fake:nf4": many, "fake": many})

    monkeypatch.setattr(console, "open_engines", running)
    monkeypatch.setattr(machine, "probe", lambda **_: machine.Probe("cpu", "a processor", 2**33, 2**32, "2", 1, 1e12))


def call(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(cli.app, list(arguments))
    assert done.exit_code == code, done.output
    return done


def refused(kind: type[Exception], *arguments: str) -> str:
    done = CliRunner().invoke(cli.app, list(arguments))
    assert isinstance(done.exception, kind), done.output
    return str(done.exception)


def made(prompt: str = "What is gravity?") -> str:
    return str(json.loads(call("generate", "fake", "fake:nf4", "--prompt", prompt, "--json").stdout)["run"])


def test_generate_leaves_a_run_and_says_which() -> None:
    done = call("generate", "fake", "fake:nf4", "--prompt", "What is gravity?", "--divergence", "--json")
    row = json.loads(done.stdout)
    assert f"Saved as run {row['run']}" in done.stderr
    stored = runs.get(row["run"])
    assert stored.result["panes"][1]["times_s"] == row["panes"][1]["times_s"]
    assert stored.result["forced"][1]["kld_mean"] == row["panes"][1]["divergence"]["kld_mean"]
    assert "run" not in json.loads(call("generate", "fake", "--prompt", "Hi", "--no-save", "--json").stdout)
    assert runs.count() == 1


def test_a_store_that_fails_costs_no_answer() -> None:
    database.path().mkdir(parents=True)
    done = call("generate", "fake", "fake:nf4", "--prompt", "What is gravity?", "--json")
    row = json.loads(done.stdout)
    assert row["run"] is None and len(row["panes"][1]["token_ids"]) == 24
    assert "This result is not saved." in done.stderr.replace("\n", " ")


def test_bench_leaves_a_run() -> None:
    done = call("bench", "fake", "-p", "0", "-n", "4", "-r", "1", "--json")
    (found,) = runs.search(kind="bench")
    assert f"Saved as run {found.id}" in done.stderr
    assert runs.get(found.id).result["rows"] == json.loads(done.stdout)
    call("bench", "fake", "-p", "0", "-n", "4", "-r", "1", "--no-save")
    assert runs.count() == 1


def test_list_and_show() -> None:
    assert "No runs." in call("runs", "list").stdout and not database.exists()
    first, second = made(), made("What is [bold]mass[/bold]?")
    listed = json.loads(call("runs", "list", "--json").stdout)
    assert [row["id"] for row in listed] == [second, first] and "result" not in listed[0]
    table = " ".join(call("runs", "list", "--text", "MASS nf4").stdout.split())
    assert "What is [bold]mass[/bold]?" in table and second[:12] in table and first[:12] not in table
    assert json.loads(call("runs", "list", "--kind", "bench", "--json").stdout) == []
    assert len(json.loads(call("runs", "list", "--model", "fake", "--limit", "1", "--json").stdout)) == 1
    assert "1 more" in call("runs", "list", "--limit", "1").stderr
    shown = json.loads(call("runs", "show", first[:8], "--json").stdout)
    assert shown == runs.entry(first).as_row(result=True) and shown["result"]["panes"][0]["tokens"]
    text = call("runs", "show", first).stdout
    assert "fake:nf4 · nf4 · 110 MB" in text and "nf4 is 59% smaller" in text and first in text
    assert "Did you mean" in refused(InvalidRequest, "runs", "list", "--kind", "comparision")


def test_an_evaluation_shows_its_tables_and_nothing_is_cut_in_a_pipe() -> None:
    measured, distance = evaluation(), divergence_run()
    for run in (measured, distance):
        runs.add(run)
    whole = call("runs", "show", measured.id).stdout
    rows = measured.result["rows"]
    assert "McNemar p" in whole and measured.result["warnings"][0]["text"] in whole
    lines = [line for line in whole.splitlines() if rows[1]["variant"] in line]
    assert any(f"{rows[1]['score']:.4f}" in line for line in lines), "a row is one line"
    of_text = call("runs", "show", distance.id).stdout
    assert "noise-floor" in of_text and "KLD in nats" in of_text


def test_panes_are_named_as_they_were_asked_for_and_have_their_speeds() -> None:
    said = call("generate", "fake", "fake:nf4", "--prompt", "Hi").stdout.splitlines()
    assert said[0] == "fake" and "fake:nf4" in said
    speeds = [line for line in said if " tok/s · TTFT " in line]
    assert len(speeds) == 2


def test_what_the_owner_says() -> None:
    run = made()
    assert "'The good one'" in call("runs", "rename", run[:10], "The good one").stdout
    call("runs", "note", run, "Look [here].")
    call("runs", "revoke", run)
    with pytest.raises(UnknownRun):
        runs.get(run)
    (row,) = json.loads(call("runs", "list", "--json").stdout)
    assert (row["title"], row["note"]) == ("The good one", "Look [here].") and row["revoked_at"]
    assert "(revoked)" in call("runs", "list").stdout.replace("\n", " ")
    assert "Look [here]." in call("runs", "show", run).stdout
    call("runs", "revoke", run, "--undo")
    assert runs.get(run).id == run
    call("runs", "delete", run)
    assert "There is no run" in refused(UnknownRun, "runs", "show", run)


def test_an_id_that_is_none_or_several() -> None:
    assert "Nothing was measured here yet." in refused(UnknownRun, "runs", "show", "abc")
    for _ in range(17):  # of sixteen first letters one comes twice
        made()
    first = [run.id[0] for run in runs.latest()]
    twice = next(letter for letter in first if first.count(letter) > 1)
    assert "Write more of the id." in refused(InvalidRequest, "runs", "show", twice)


def test_export_writes_json(tmp_path: Path) -> None:
    run = made()
    file = tmp_path / "run.json"
    call("runs", "export", run, "--json", str(file))
    found = json.loads(file.read_text())
    assert found["id"] == run and len(found["result"]["panes"]) == 2
    assert "Nothing is asked for." in refused(InvalidRequest, "runs", "export", run)
    assert "cannot be written" in refused(
        InvalidRequest, "runs", "export", run, "--json", str(tmp_path / "no/run.json")
    )
