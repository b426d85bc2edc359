"""What was measured becomes a run: whole, before anybody says so, and never in the way of the answer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from playground import machine
from playground.compare.outcome import OTHER_SETTINGS
from playground.compare.run import generate
from playground.compare.spec import GenerateSpec
from playground.compare.stored import Compared
from playground.core import Finish, Sampling, Trace
from playground.engines import subjects
from playground.errors import EngineDied, OutOfMemory
from playground.metrics.timing import timing
from playground.models import checkpoint
from playground.speed import report
from playground.speed.spec import BenchRow, Plan
from playground.store import database, runs
from playground.store.runs import keep
from playground.store.schema import Run
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine, Script
from tests.fakes.postgres import on_both

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _fake_catalog(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    catalog.install(monkeypatch)
    monkeypatch.setattr(machine, "probe", _no_torch)


def _no_torch(**_: object) -> machine.Probe:
    raise AssertionError("what ran on a CPU is recorded without a measurement")


def answered(*variants: str, divergence: bool = False, scripts: dict[str, Script] | None = None) -> Compared:
    names = variants or ("fake", "fake:nf4")
    return generate(
        FakeEngine(scripts or {}),
        GenerateSpec(variants=names, prompt="What is gravity?", system="Be brief.", divergence=divergence),
    )


def stored(made: Compared) -> Run:
    """As another process reads it."""
    kept = keep(made.run)
    assert kept.id and kept.error is None
    return runs.get(kept.id)


@on_both
def test_a_comparison_is_stored_with_everything_it_was(home: Path) -> None:
    made = answered(divergence=True)
    run = stored(made)
    assert (run.kind, run.model, run.job_id) == ("comparison", "fake", None)
    assert run.title == "fake · BF16, nf4 · What is gravity?"
    assert run.settings["sampling"]["max_tokens"] == 128 and run.settings["divergence"] is True
    assert run.settings["at_once"] is False
    assert run.versions["playground"] and run.versions["torch"] and run.versions["python"]
    assert run.device["device"] == "cpu" and run.device["name"] == machine.cpu_name() and run.device["cores"] > 0
    assert [(one["id"], one["label"], one["bytes"], one["engine"]) for one in run.variants] == [
        ("fake", "BF16", 269_000_000, "fake"),
        ("fake:nf4", "nf4", 110_000_000, "fake"),
    ]
    prompt = run.result["prompt"]
    assert [turn["role"] for turn in prompt["messages"]] == ["system", "user"] and prompt["template"] == "chat"
    assert prompt["ids"] == list(made.answers[0].prompt.ids) and "Be brief." in prompt["text"]  # type: ignore[union-attr]
    assert [found.id for found in runs.search("gravity NF4", kind="comparison")] == [run.id]


@on_both
def test_every_metric_is_computed_again_from_the_stored_tokens(home: Path) -> None:
    made = answered()
    for pane, result in zip(stored(made).result["panes"], made.answers, strict=True):
        tokens = pane["tokens"]
        trace = Trace(
            pane["metrics"]["prompt_tokens"],
            tuple(token["time_s"] for token in tokens),
            tuple(token["step_s"] for token in tokens),
            tokens[0]["step_s"],
            pane["clock"],
        )
        assert trace == result.trace(), "not a digit is lost"
        assert timing(trace).as_dict() | {"peak_memory_bytes": 280_000_000} == pane["metrics"]
        assert "".join(token["text"] for token in tokens) == pane["text"] == "".join(GRAVITY)
        assert [token["id"] for token in tokens] == pane["token_ids"]
        assert tokens[0]["top"][0] == [tokens[0]["id"], "Gravity", result.tokens[0].logprob]
        assert pane["loaded"]["kernel"] == "fake kernel" and pane["prompt"] is None and pane["sampling"] is None


def test_a_pane_comes_back_with_the_time_that_it_waited() -> None:
    made = answered()
    made.answers[1].finish = replace(made.answers[1].finish, waited_s=2.5)  # type: ignore[type-var]
    run = stored(made)
    assert [one.finish and one.finish.waited_s for one in Compared.from_row(run.as_row()).answers] == [0.0, 2.5]
    del run.result["panes"][0]["waited_s"]  # as an older version stored it
    assert Compared.from_row(run.as_row()).answers[0].finish == made.answers[0].finish


def test_the_verdict_and_the_divergence_are_those_that_were_shown() -> None:
    run = stored(answered("fake", "fake:nf4", "fake:nope", divergence=True))
    (verdict,) = run.result["verdict"]
    assert verdict["pane"] == 1 and verdict["headline"].startswith("nf4 is 59% smaller")
    assert verdict["size_ratio"] == pytest.approx(110 / 269) and verdict["identical"] is True
    assert verdict["text"].endswith("speed ratio (needs 17))") and "this prompt only" in verdict["caveats"]
    nothing, forced, blocked = run.result["forced"]
    assert nothing is None and forced["tokens"] == forced["total"] == len(forced["positions"]) == len(GRAVITY)
    assert forced["kld_mean"] == pytest.approx(sum(one["kld"] for one in forced["positions"]) / len(GRAVITY))
    assert forced["top1_agreement"] == sum(one["agrees"] for one in forced["positions"]) / len(GRAVITY)
    assert blocked["reason"] == "It was not loaded." and blocked["positions"] == []


def test_an_error_is_stored_with_its_pane_and_a_stop_before_the_first_token_is_not() -> None:
    died = {"fake:nf4": Script(error=EngineDied("It died.", hint="Again."), error_at=2)}
    pane = stored(answered(scripts=died)).result["panes"][1]
    assert pane["error"]["message"] == "It died." and len(pane["tokens"]) == 2 and pane["finish_reason"] == "error"
    failed = stored(answered("fake", scripts={"fake": Script(load_error=OutOfMemory("It does not fit."))}))
    assert failed.result["panes"][0]["error"]["code"] == "out_of_memory" and failed.result["verdict"] == []
    assert failed.variants[0]["content_hash"] is None, "nobody loaded it"
    made = answered("fake")
    made.answers[0].tokens.clear()
    made.answers[0].finish = Finish("abort", 0, 0)
    assert keep(made.run) == runs.Kept() and runs.count() == 2


def test_panes_that_were_asked_otherwise_say_how() -> None:
    made = answered()
    first, second = made.answers
    history = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, *first.source)
    made.answers[1].prompt = replace(made.answers[1].prompt, ids=(1, 2))  # type: ignore[type-var]
    second.source, second.sampling = history, Sampling(temperature=1.0)  # type: ignore[assignment]
    kept = keep(made.run)
    run = runs.get(kept.id)
    one, other = run.result["panes"]
    assert one["prompt"] is None and other["prompt"]["ids"] == [1, 2] and len(other["prompt"]["messages"]) == 4
    assert other["sampling"]["temperature"] == 1.0 and run.result["forced"] is None
    assert OTHER_SETTINGS in run.result["verdict"][0]["caveats"]


KILLED = """
import sys
from unittest import mock
import pytest
from tests.fakes import catalog
from tests.fakes.engine import FakeEngine
with pytest.MonkeyPatch.context() as patch:
    catalog.install(patch)
    from playground.compare.run import generate
    from playground.compare.spec import GenerateSpec
    from playground.store.runs import keep
    made = generate(FakeEngine(), GenerateSpec(variants=("fake", "fake:nf4"), prompt="What is gravity?"))
    print(keep(made.run).id, flush=True)
    sys.stdin.read()
"""


@on_both
def test_kill_9_loses_nothing_that_was_told_as_saved(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and len(told) == 32
    run = runs.get(told)
    assert [pane["text"] for pane in run.result["panes"]] == ["".join(GRAVITY)] * 2


def test_a_store_that_fails_is_a_sentence_and_the_answer_stays(home: Path) -> None:
    database.path().mkdir()
    made = answered()
    kept = keep(made.run)
    assert not kept.id and kept.error is not None and str(kept.error).startswith("This result is not saved.")
    assert made.as_json()["panes"][0]["text"] == "".join(GRAVITY)


def rows(*tests: str, error: str = "") -> Sequence[BenchRow]:
    return [
        BenchRow("fake:nf4", "transformers", test, 4.0, 0.1, 2, 0.2, 110_000_000, "fake:nf4", "engine", device="cpu",
                 kernel="a kernel", error=error)
        for test in tests
    ]  # fmt: skip


def test_a_measurement_of_speed_is_a_run() -> None:
    made = rows("pp8", "tg4")
    kept = keep(lambda: report.bench(made, ["fake:nf4"], Plan(prompt_tokens=8, output_tokens=4, runs=2)))
    run = runs.get(kept.id)
    assert (run.kind, run.model, run.title) == ("bench", "fake", "fake · nf4 · pp8, tg4")
    assert run.result == {"rows": [row.as_dict() for row in made], "stopped": False}
    assert run.settings["addresses"] == ["fake:nf4"] and run.settings["depths"] == [0] and run.settings["runs"] == 2
    assert run.variants[0]["kernel"] == "a kernel" and run.variants[0]["loaded_bytes"] == 110_000_000
    assert report.bench([], ["fake"], Plan(), stopped=True) is None
    broken = report.bench(rows("load", error="No."), ["fake:nf4"], Plan())
    assert broken is not None and broken.variants[0]["content_hash"] is None
    unknown = report.bench(rows("load", error="No."), ["nowhere/model"], Plan())
    assert unknown is not None and unknown.model == "nowhere/model" and unknown.variants[0]["method"] is None


def test_weights_are_read_once(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(b"weights")
    first = checkpoint.cached_content_hash(file)
    monkeypatch.setattr(checkpoint, "content_hash", lambda _: "c" * 64)
    assert checkpoint.cached_content_hash(file) == first != "c" * 64
    file.write_bytes(b"other weights")
    assert checkpoint.cached_content_hash(file) == "c" * 64


def test_a_remote_variant_ran_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    made = answered()
    for pane in made.answers:
        pane.loaded = replace(pane.loaded, device="remote", engine="remote")  # type: ignore[type-var]
        pane.variant = replace(pane.variant, engines=("remote",))  # type: ignore[type-var]
    run = stored(made)
    assert run.device["device"] == "remote" and run.device["cores"] is None
    assert run.variants[0]["content_hash"].startswith("remote-")
    assert json.dumps(run.as_row())


def test_the_hash_of_weights_names_what_loading_makes_of_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed(variant: Any) -> str:
        return f"{'a' * 64}+{variant.quantize}"

    monkeypatch.setattr(subjects, "known_hash", hashed)
    assert stored(answered()).variants[1]["content_hash"] == f"{'a' * 64}+nf4"


def test_an_answer_comes_back_as_it_was_stored() -> None:
    made = answered("fake", "fake:nf4", "fake:nope", divergence=True)
    made.answers[1].sampling = Sampling(temperature=0.7, seed=3, stop=("\n\n", "●"))
    back = Compared.from_row(json.loads(json.dumps(made.run().as_row()))).answers  # type: ignore[union-attr]
    for before, after in zip(made.answers, back, strict=True):
        kept = ("variant_id", "tokens", "finish", "sampling", "source", "text", "loaded")
        assert {name: getattr(after, name) for name in kept} == {name: getattr(before, name) for name in kept}
        assert str(after.error) == str(before.error)
        assert before.error or after.as_json() == before.as_json()
        assert (after.forced is None) == (before.forced is None)
        if after.forced and before.forced:
            assert (after.forced.tokens, after.forced.total) == (before.forced.tokens, before.forced.total)
            assert after.forced.sentence("BF16") == before.forced.sentence("BF16")
