"""`python -m playground eval`: what it prints, and that its numbers are those of lm-eval's own command line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from playground.cli import app
from playground.errors import InvalidRequest, UnknownTask, UnknownVariant
from playground.evaluate import cli, passes, tables
from playground.evaluate import job as evaluate_job
from playground.evaluate.spec import EvaluateSpec
from playground.jobs import progress
from playground.models import bundled
from playground.store import folders, jobs, runs
from playground.store.schema import Job
from tests.evaluate.conftest import index
from tests.fakes.command_line import playground
from tests.fakes.model import make_tiny

pytestmark = pytest.mark.filterwarnings("ignore")  # lm-eval's, transformers' and datasets' own
ROOT = Path(__file__).parents[2]
ROW = [
    *("variant", "task", "metric", "n", "score", "stderr", "recovery", "flips_lost", "flips_won", "mcnemar_p"),
    *("diff", "diff_ci95", "discordance", "smallest_drop", "verdict", "truncated", "cut_prompts", "warnings"),
]
OPTIONS = ["--tasks", "gsm8k", "--few-shot", "1", "--gen", "max_gen_toks=16", "--batch-size", "2"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny", context=1024)


@pytest.fixture
def data(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GSM8K of our own, where the hub is not asked."""
    folder = tmp_path / "data/gsm8k"
    folder.mkdir(parents=True)
    for split, first in (("test", 0), ("train", 50)):
        numbers = range(first, first + 12)
        rows = [{"question": f"{n} and {'so ' * (n % 4)}{n}?", "answer": f"#### {2 * n}"} for n in numbers]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("PLAYGROUND_DATASETS", str(folder.parent))
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(home / "datasets"))
    index(home)
    return folder


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The job's body in this process."""

    def follow(job: Job) -> Job:
        folders.job(job.id).mkdir(parents=True)
        told = progress.Report(folders.job(job.id))
        with contextlib.closing(told):
            job.result = evaluate_job.run(EvaluateSpec.from_stored(job.spec), folders.job(job.id), told)
        return job

    monkeypatch.setattr(cli, "follow", follow)
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")
    monkeypatch.setattr("playground.machine.device_facts", lambda: {"name": "a test's"})
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", home / "datasets")


@pytest.mark.usefixtures("data", "here")
def test_json_is_the_rows_and_nothing_else(tiny: Path) -> None:
    done = CliRunner().invoke(app, ["eval", str(tiny), f"{tiny}:fp32", *OPTIONS, "--limit", "5", "--json"])
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [list(row) for row in rows] == [ROW, ROW]
    assert [row["variant"] for row in rows] == [str(tiny), f"{tiny}:fp32"]
    assert (rows[0]["verdict"], rows[0]["n"], rows[0]["metric"]) == ("reference", 5, "exact_match,strict-match")
    assert runs.get(runs.latest("evaluation")[0].id).result["rows"] == rows


@pytest.mark.usefixtures("data", "here")
def test_people_get_a_table(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(cli.out, "_width", 200)
    pace = passes.Pass(imports_s=8.0, load_s=2.0, token_s=0.002, step_s=0.05, row_s=0.004)
    monkeypatch.setattr(passes, "cached", lambda _: pace)
    done = CliRunner().invoke(app, ["eval", str(tiny), f"{tiny}:fp32", *OPTIONS, "--limit", "5"])
    assert done.exit_code == 0, done.stderr
    assert "GSM8K: exact_match,strict-match, 1 examples, the first 5 of 12 items" in done.stdout
    assert "McNemar p" in done.stdout
    assert re.search(r"Expected: \d+ to \d+ s\.", done.stderr)
    assert "generation_config.json not read\n" in done.stdout
    assert "Run " in done.stdout


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ([*OPTIONS, "--gen", "temperature"], InvalidRequest, "not NAME=VALUE"),
        (["--tasks", "gsm9k"], UnknownTask, "gsm8k"),
        (["--tasks", ""], InvalidRequest, "No task"),
        ([*OPTIONS, "--multiturn"], InvalidRequest, "need the chat template"),
    ],
)
def test_what_is_wrong_is_said_at_once(tiny: Path, arguments: list[str], error: type[Exception], said: str) -> None:
    done = CliRunner().invoke(app, ["eval", str(tiny), *arguments])
    assert isinstance(done.exception, error)
    assert said in str(done.exception)
    assert jobs.all_jobs() == []


@pytest.mark.usefixtures("data")
def test_an_unknown_variant_is_said_at_once(tiny: Path) -> None:
    assert isinstance(CliRunner().invoke(app, ["eval", f"{tiny}:nf5", *OPTIONS]).exception, UnknownVariant)
    assert isinstance(CliRunner().invoke(app, ["eval", *OPTIONS]).exception, InvalidRequest)


@pytest.mark.usefixtures("data")
def test_search(home: Path) -> None:
    index(home, arc_easy="arc/arc_easy.yaml", humaneval="humaneval/humaneval.yaml")
    assert CliRunner().invoke(app, ["eval", "--search", "human"]).stdout == "humaneval  runs the model's code\n"
    (found,) = json.loads(CliRunner().invoke(app, ["eval", "--search", "arc_easy", "--json"]).stdout)
    assert found == {"name": "arc_easy", "title": "arc_easy", "group": False, "bundled": False, "unsafe": False}


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **more}


def evaluated(*arguments: str) -> list[dict[str, Any]]:
    """The rows that the command prints."""
    done = playground("eval", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def lm_eval_cli(model: Path, tasks: Path, out: Path, *arguments: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Results and samples of `python -m lm_eval`."""
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu", "--log_samples"]
    command += ["--model_args", f"pretrained={model},dtype=bfloat16", "--tasks", "gsm8k", "--output_path", str(out)]
    command += ["--include_path", str(tasks), *arguments]
    done = subprocess.run(command, cwd=out.parent, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (results,), (samples,) = out.rglob("results_*.json"), out.rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    strict = sorted((row for row in rows if row["filter"] == "strict-match"), key=lambda row: row["doc_id"])
    return json.loads(results.read_text())["results"]["gsm8k"], strict


def own_yaml(folder: Path, data: Path) -> Path:
    """The task over local data, written by hand: not the file that this program writes."""
    from playground.evaluate import tasks

    folder.mkdir()
    files = "".join(f"    {split}: {data / f'{split}.jsonl'}\n" for split in ("train", "test"))
    (folder / "gsm8k.yaml").write_text(
        f"include: {tasks.package() / 'gsm8k/gsm8k.yaml'}\ntask: gsm8k\ndataset_path: json\ndataset_name: null\n"
        f"dataset_kwargs:\n  data_files:\n{files}"
    )
    return folder


def agree(rows: list[dict[str, Any]], results: dict[str, Any], samples: list[dict[str, Any]]) -> None:
    """Scores, and every answer."""
    from playground.evaluate import items

    run = runs.get(runs.latest("evaluation")[0].id)
    answers = items.read(folders.items(run.id, "gsm8k") / "0.jsonl")
    assert rows[0]["score"] == results["exact_match,strict-match"]
    assert rows[0]["stderr"] == pytest.approx(results["exact_match_stderr,strict-match"])
    assert [(one.doc_id, one.doc_hash, one.answer, one.score) for one in answers] == [
        (row["doc_id"], row["doc_hash"], row["resps"][0][0], row["exact_match"]) for row in samples
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_tiny_model_as_lm_evals_command_line(data: Path, tiny: Path, tmp_path: Path) -> None:
    same = ["--limit", "7", "--seed", "5"]
    theirs = lm_eval_cli(
        tiny, own_yaml(tmp_path / "own", data), tmp_path / "out", *same,
        "--num_fewshot", "1", "--gen_kwargs", "max_gen_toks=16", "--batch_size", "2",
    )  # fmt: skip
    agree(evaluated(str(tiny), *OPTIONS, *same), *theirs)


GSM8K = ROOT.parent / "shared/data/gsm8k"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not GSM8K.is_dir(), reason="GSM8K is not at ../shared/data/gsm8k")
@pytest.mark.skipif(bundled.gguf() is None, reason="the bundled model is not installed")
def test_the_bundled_model_on_gsm8k_as_lm_evals_command_line(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PLAYGROUND_DATASETS", str(GSM8K.parent))
    rows = evaluated("smollm2", "--tasks", "gsm8k", "--limit", "6", "--gen", "max_gen_toks=48", "--batch-size", "3")
    model = bundled.restore(lambda _: None, lambda: False)
    theirs = lm_eval_cli(
        model, own_yaml(tmp_path / "own", GSM8K), tmp_path / "out",
        "--limit", "6", "--gen_kwargs", "max_gen_toks=48", "--batch_size", "3",
    )  # fmt: skip
    agree(rows, *theirs)


def wait(found: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("data")
def test_kill_9_of_the_worker_then_the_same_command_again(tiny: Path, tmp_path: Path) -> None:
    arguments = (str(tiny), *OPTIONS[:4], "--gen", "max_gen_toks=100", "--batch-size", "1")
    command = [sys.executable, "-m", "playground", "eval", *arguments, "--json"]
    with (tmp_path / "log").open("w") as log:
        first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=log, env=environment())

        def answering() -> Job | None:
            job = next(iter(jobs.all_jobs(("running",))), None)
            events = progress.read(folders.job(job.id))[0] if job else []
            return job if any(event.get("unit") == "answers" and event["done"] >= 2 for event in events) else None

        job = wait(answering)
        os.kill(job.pid, signal.SIGKILL)
        assert first.wait(30) == 1
    assert "SIGKILL" in (tmp_path / "log").read_text()
    assert jobs.get(job.id).state == "failed"
    resumed = evaluated(*arguments)
    (after,) = [one for one in jobs.all_jobs() if one.id != job.id]
    told = progress.read(folders.job(after.id))[0]
    assert any("goes on from where it was" in event.get("text", "") for event in told)
    assert next(event["done"] for event in told if event.get("unit") == "answers") >= 1
    assert resumed == evaluated(*arguments)


def test_a_divergence_over_one_document_has_no_standard_error() -> None:
    assert tables._kld({"kld_mean": 0.305, "kld_stderr": None}) == "0.305"
    assert tables._kld({"kld_mean": 0.305, "kld_stderr": 0.0351}) == "0.305 ± 0.035"
    assert tables._kld(None) == "–"
