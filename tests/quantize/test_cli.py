"""`quantize` and `jobs` on the command line."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from playground import cli, console
from playground.errors import Cancelled, InvalidRequest, OutOfMemory, PlaygroundError, UnknownJob
from playground.jobs import ending, queue
from playground.methods.recipe import Recipe, command
from playground.quantize import estimate, job
from playground.quantize.spec import QuantizeSpec
from playground.store import folders, jobs
from playground.texts import Calibration
from tests.fakes.job import WORKER, steps, wait_for
from tests.fakes.model import make_tiny
from tests.models.conftest import make_folder

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> str:
    """Standard output of a command in this process; raises what it raises."""
    done = CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False, standalone_mode=False)
    if isinstance(done.exception, PlaygroundError):
        raise done.exception
    return done.stdout


def queued(spec: Any) -> str:
    return queue.submit(spec, "cpu").id


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[QuantizeSpec]:
    """What `quantize` would have queued; it stops there."""
    found: list[QuantizeSpec] = []

    def submit(spec: QuantizeSpec, device: str) -> None:
        found.append(spec)
        raise Cancelled("far enough")

    monkeypatch.setattr(queue, "submit", submit)
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")
    return found


def test_following_a_job_to_its_end(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = jobs.get(queued(steps("layer first")))
    job = console.follow(queue.submit(steps("layer a", "sleep 0.5")), WORKER)
    assert job.state == "done" and job.result == {"steps": 2}
    assert jobs.get(first.id).state == "done", "what was queued before runs before"
    said = capfd.readouterr()
    assert said.out == "" and "waiting for 1 other job" in said.err and "] sleep" in said.err


def test_a_job_after_the_one_that_is_followed_is_left_to_others(home: Path) -> None:
    mine = queue.submit(steps("layer a"))
    after = queued(steps("layer b"))
    console.follow(mine, WORKER)
    assert jobs.get(after).state == "queued"


def test_the_failure_of_a_job_is_the_failure_of_the_command(home: Path) -> None:
    with pytest.raises(OutOfMemory, match="more memory"):
        console.follow(queue.submit(steps("raise memory")), WORKER)


def test_interrupt_cancels(home: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    words = ("partial 100000", f"touch {here}", f"until {tmp_path / 'never'}")
    code = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background hands on that it is ignored
from playground import console
from playground.errors import Cancelled
from playground.jobs.queue import submit
from tests.fakes.job import WORKER, steps
try:
    console.follow(submit(steps(*{words!r})), WORKER)
except Cancelled:
    sys.exit(130)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    wait_for(here)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    (job,) = jobs.all_jobs()
    assert job.state == "cancelled" and ending.members(job.id) == []
    assert list(folders.variants().iterdir()) == []


def test_list_show_and_log(home: Path) -> None:
    assert "No jobs" in run("jobs", "list")
    assert json.loads(run("jobs", "list", "--json")) == []
    made = queue.submit(steps("layer a", "raise bug"))
    with pytest.raises(PlaygroundError):
        console.follow(made, WORKER)
    assert made.id in run("jobs", "list") and "failed" in run("jobs", "list")
    (row,) = json.loads(run("jobs", "list", "--json"))
    assert (row["id"], row["state"], row["error"]["code"]) == (made.id, "failed", "job_error")
    assert "KeyError" in run("jobs", "show", made.id)
    assert json.loads(run("jobs", "show", made.id, "--json"))["folder"] == str(folders.job(made.id))
    assert run("jobs", "log", made.id, "-n", "1").strip() == "KeyError: 'model.layers.0'"
    for verb in ("show", "cancel", "log"):
        with pytest.raises(UnknownJob):
            run("jobs", verb, "nope")


def test_cancel_of_a_queued_job(home: Path) -> None:
    made = queued(steps("layer a"))
    assert "is cancelled" in run("jobs", "cancel", made)
    assert jobs.get(made).state == "cancelled"


@pytest.mark.parametrize(
    ("recipe", "more"),
    [
        (Recipe(method="rtn", scheme="W4A16", group_size=64), {}),
        (
            Recipe(
                method="gptq", scheme="W4A16", group_size=32, ignore=("lm_head", "re:.*layers.0.mlp.*"), kv_cache="FP8"
            ),
            {"name": "my-one"},
        ),
        (
            Recipe(method="gptq", scheme="W4A16", group_size=64, keep=(("re:.*down_proj$", "W8A16"),)),
            {"out": "/somewhere/a b"},
        ),
        (Recipe(method="fp8", scheme="FP8_DYNAMIC", calibration={}), {}),
        (
            Recipe(
                method="gptq",
                scheme="W8A8",
                calibration=Calibration(samples=7, max_length=99, seed=3).model_dump(mode="json"),
            ),
            {},
        ),
        (
            Recipe(
                method="awq",
                scheme="W4A16_ASYM",
                group_size=64,
                calibration=Calibration(source="owner/name:config:train").model_dump(mode="json"),
            ),
            {},
        ),
        (Recipe(method="gptq", scheme="W4A16", group_size=64, options={"dampening_frac": 0.05}), {}),
    ],
    ids=lambda value: getattr(value, "scheme", "") or None,
)
def test_the_command_repeats_the_job(
    home: Path, tmp_path: Path, asked: list[QuantizeSpec], recipe: Recipe, more: dict[str, str]
) -> None:
    from playground.models.variants import open_checkpoint
    from playground.quantize.recipes import complete

    model = str(make_folder(tmp_path / "m"))
    wanted = QuantizeSpec(model=model, recipe=complete(open_checkpoint(model), recipe).recipe, **more)
    words = shlex.split(command(model, wanted.recipe, out=wanted.out, name=wanted.name))
    assert words[:4] == ["python", "-m", "playground", "quantize"]
    with pytest.raises(Cancelled):
        run(*words[3:])
    assert asked == [wanted]


def test_paths_are_from_the_root(
    home: Path, tmp_path: Path, asked: list[QuantizeSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path / "m")
    (tmp_path / "text.jsonl").write_text("{}")
    monkeypatch.chdir(tmp_path)
    options = ["--method", "gptq", "--scheme", "W4A16", "--calibration", "text.jsonl", "--out", "made"]
    with pytest.raises(Cancelled):
        run("quantize", "./m", *options)
    (spec,) = asked
    assert (spec.model, spec.out) == (str(tmp_path / "m"), str(tmp_path / "made"))
    assert spec.recipe.calibration["source"] == str(tmp_path / "text.jsonl")


@pytest.mark.parametrize(
    "wrong",
    [
        ["--kv-cache", "FP4"], ["--keep", "W8A16"], ["--option", "x"], ["--samples", "0"], ["--calibration", "x.exe"],
        ["--name", "nf4"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_queued(
    home: Path, tmp_path: Path, asked: list[QuantizeSpec], wrong: list[str]
) -> None:
    model = str(make_folder(tmp_path / "m"))
    with pytest.raises(InvalidRequest) as caught:
        run("quantize", model, "--method", "rtn", "--scheme", "W4A16", *wrong)
    assert caught.value.hint and asked == []


def test_what_cannot_fit_is_refused(
    home: Path, tmp_path: Path, asked: list[QuantizeSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (estimate, job):
        monkeypatch.setattr(module, "facts", lambda *_, **__: estimate.Facts(None, 1000, 2**40))
    with pytest.raises(OutOfMemory) as caught:
        run("quantize", str(make_folder(tmp_path / "m")), "--method", "rtn", "--scheme", "W4A16")
    assert caught.value.hint and asked == []


@pytest.mark.slow
def test_a_real_one(home: Path, tmp_path: Path) -> None:
    model = make_tiny(tmp_path / "tiny")
    made = json.loads(run("quantize", str(model), "--method", "rtn", "--scheme", "W8A16", "--json"))
    documented = "variant path method scheme group_size bytes_before bytes_after bits_per_weight seconds"
    documented += " peak_memory_bytes recipe_path content_hash"
    assert set(documented.split()) <= set(made)
    assert made["bytes_after"] < made["bytes_before"] and Path(made["path"], "config.json").exists()
    rows = json.loads(run("models", str(model), "--json"))
    assert rows[-1]["id"] == made["variant"] and rows[-1]["bytes"] == made["bytes_after"]
