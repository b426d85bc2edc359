"""The command line: JSON alone on standard output, one sentence for an error, the documented fields."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from playground.store import runs
from tests.fakes.command_line import playground
from tests.fakes.model import make_tiny

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' and bitsandbytes' own


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("cli") / "tiny")


def test_generate_json_is_alone_on_standard_output_and_recomputes(tiny: Path, home: Path) -> None:
    words = ["generate", str(tiny), f"{tiny}:nf4", "--prompt", "What is gravity?", "--max-tokens", "24", "--json"]
    command = [sys.executable, "-m", "playground", *words]  # a process: libraries may write to its standard output too
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert len(made["panes"]) == 2 and made["prompt_ids"]
    stored = runs.get(made["run"])
    assert [one["content_hash"][64:] for one in stored.variants] == ["", "+nf4"]
    assert [pane["times_s"] for pane in stored.result["panes"]] == [pane["times_s"] for pane in made["panes"]]
    for pane in made["panes"]:
        times, metrics = pane["times_s"], pane["metrics"]
        assert len(times) == len(pane["token_ids"]) == len(pane["steps_s"]) == metrics["output_tokens"]
        assert metrics["ttft_s"] == times[0] and metrics["e2e_s"] == times[-1]
        assert metrics["prompt_tokens"] == len(made["prompt_ids"])
        if len(times) > 1:
            span = times[-1] - times[0]
            assert metrics["decode_tok_s"] == pytest.approx((len(times) - 1) / span)
            assert metrics["tpot_s"] == pytest.approx(span / (len(times) - 1))
        assert metrics["peak_memory_bytes"] > 0


def test_generate_prints_texts_and_a_verdict(tiny: Path, home: Path) -> None:
    done = playground("generate", str(tiny), f"{tiny}:int8", "--prompt", "Hi", "--max-tokens", "4", "--raw")
    assert done.returncode == 0, done.stderr
    assert f"{tiny}:int8" in done.stdout.replace("\n", "") and "this prompt only" in done.stdout.replace("\n", " ")


def test_bench_json_has_the_documented_fields(tiny: Path, home: Path) -> None:
    done = playground("bench", str(tiny), "-p", "16", "-n", "8", "-r", "2", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["test"] for row in rows] == ["pp16", "tg8"]
    assert all(row["tok_s_mean"] > 0 and row["runs"] == 2 for row in rows)
    assert rows[0]["mbu"] is None and 0 < rows[1]["mbu"] < 1.5


def test_models_json_has_the_documented_fields(tiny: Path, home: Path) -> None:
    done = playground("models", str(tiny), "--json")
    rows = json.loads(done.stdout)
    assert done.returncode == 0 and rows[0]["id"] == str(tiny)
    fields = {"id", "model", "method", "scheme", "path", "bytes", "bits_per_weight", "engines"}
    assert all(set(row) == fields for row in rows)
    assert {row["id"].removeprefix(str(tiny)) for row in rows} >= {"", ":nf4", ":fp4", ":int8", ":fp32"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["generate", "smollm2:nf5", "--prompt", "x"], "nf4"),
        (["generate", "/no/such/folder", "--prompt", "x"], "/no/such/folder"),
        (["generate", "smollm2", "--prompt", " "], "The prompt is empty."),
        (["models", "smolm2"], "smollm2"),
    ],
)
def test_an_error_is_one_sentence_with_a_way_out_and_no_traceback(
    arguments: list[str], sentence: str, home: Path
) -> None:
    done = playground(*arguments)
    assert done.returncode == 1
    text = (done.stderr + done.stdout).replace("\n", " ")
    assert sentence in text and "Traceback" not in text


def test_with_json_a_failed_pane_is_in_the_json_and_on_standard_error(home: Path) -> None:
    done = playground("generate", "smollm2:nf5", "--prompt", "x", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["panes"][0]["error"]["code"] == "unknown_variant"
    assert "nf5" in done.stderr
