"""`bench` on the command line: options, forms of output, exit status; over a scripted engine, in this process."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from playground import cli, console, machine
from playground.errors import InvalidRequest, OutOfMemory
from tests.fakes.engine import FakeEngine, Script

MANY = tuple(f"w{n}" for n in range(32))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    names = ("one", "one@llamacpp", "one@transformers", "two", "two@llamacpp")
    engine = FakeEngine({name: Script(tokens=MANY, step_s=0.001, first_s=0.001) for name in names})

    @contextmanager
    def running() -> Iterator[FakeEngine]:
        try:
            yield engine
        finally:
            engine.close()

    monkeypatch.setattr(console, "open_engines", running)
    probe = machine.Probe("cpu", "a processor", 2**33, 2**32, "2", 1, 1e12)
    monkeypatch.setattr(machine, "probe", lambda **_: probe)
    return engine


def bench(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, ["bench", *arguments])


def test_json_csv_and_table_say_the_same(fake: FakeEngine) -> None:
    plan = ("one", "-p", "8", "-n", "4", "-d", "0,16", "-r", "2", "--concurrency", "1,2")
    as_json = json.loads(bench(*plan, "--json").stdout)
    tests = ["pp8", "tg4", "tg4 @ d16", "pp8+tg4 @ c1", "pp8+tg4 @ c2"]
    assert [row["test"] for row in as_json] == tests
    lines = list(csv.DictReader(io.StringIO(bench(*plan, "--csv").stdout)))
    assert [line["test"] for line in lines] == tests and list(lines[0]) == list(as_json[0])
    table = bench(*plan).stdout
    assert "tg4 @ d16" in table and "TPOT" in table
    assert fake.closed


def test_engines_are_taken_from_the_address_else_from_the_option(fake: FakeEngine) -> None:
    done = bench("one@transformers", "two", "--engine", "llamacpp", "-p", "4", "-n", "0", "-r", "1", "--json")
    assert done.exit_code == 0, done.stderr
    assert [row["address"] for row in json.loads(done.stdout)] == ["one@transformers", "two@llamacpp"]
    assert [row["variant"] for row in json.loads(done.stdout)] == ["one", "two"]


def test_a_failed_row_is_in_the_json_and_on_standard_error_with_status_1(fake: FakeEngine) -> None:
    fake.scripts["two"].load_error = OutOfMemory("It does not fit.", hint="Close something.")
    done = bench("two", "one", "-p", "4", "-n", "0", "-r", "1", "--json")
    assert done.exit_code == 1
    assert [(row["variant"], row["error"]) for row in json.loads(done.stdout)] == [
        ("two", "It does not fit."),
        ("one", ""),
    ]
    assert "It does not fit. Close something." in done.stderr


def test_a_log_gets_a_line_a_stage(fake: FakeEngine) -> None:
    done = bench("one", "-p", "4", "-n", "4", "-r", "2", "--json")
    *lines, saved = done.stderr.splitlines()
    words = [line.split("] ")[1].split(" · ")[0] for line in lines]
    assert words == [
        "Measuring memory bandwidth",
        "one: Loading",
        "one: Reading weights",
        *(
            f"one: {test} of 4 tokens: {step}"
            for test in ("prefill", "decode")
            for step in ("warm-up", "run 1 of 2", "run 2 of 2")
        ),
    ]
    assert saved.startswith("Saved as run ")
    assert not bench("one", "-p", "4", "-n", "0", "-r", "1", "--json", "--no-progress", "--no-save").stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["one", "-d", "0;512"], "-d is '0;512'"),
        (["one", "--concurrency", "a"], "--concurrency is 'a'"),
        (["one", "--json", "--csv"], "two forms of one output"),
        (["one", "--engine", "vlm"], "no engine 'vlm'"),
        (["one", "-n", "1"], "two output tokens"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(arguments: list[str], sentence: str) -> None:
    done = bench(*arguments)
    assert isinstance(done.exception, InvalidRequest)
    assert sentence in str(done.exception) and done.exception.hint
