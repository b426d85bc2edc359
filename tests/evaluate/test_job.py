"""The body of an evaluate job on tiny models: what is stored, what is kept of an interrupted one, what is shared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from playground.errors import EvaluationError, OutOfMemory, UnknownTask
from playground.evaluate import harness, items
from playground.evaluate import job as evaluate_job
from playground.evaluate.local_model import LocalModel
from playground.evaluate.spec import Conditions, EvaluateSpec
from playground.jobs import ending, kinds, progress
from playground.store import folders, jobs, runs
from tests.fakes.engine import FakeEngine, Script
from tests.fakes.model import make_tiny

pytestmark = pytest.mark.filterwarnings("ignore")  # lm-eval's, transformers' and datasets' own
QUESTIONS = [{"question": f"{n} and {n} {'is ' * (n % 4)}?", "answer": f"#### {2 * n}"} for n in range(9)]
CONDITIONS = Conditions(tasks=("gsm8k",), few_shot=0, generation={"max_gen_toks": 8}, batch_size=2)
Job = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two models of one shape with other weights."""
    base = tmp_path_factory.mktemp("models")
    return str(make_tiny(base / "one", seed=1)), str(make_tiny(base / "two", seed=2))


@pytest.fixture
def job(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Runs the body in the folder of a job, over local data."""
    (tmp_path / "data/gsm8k").mkdir(parents=True)
    (tmp_path / "data/gsm8k/test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    monkeypatch.setenv("PLAYGROUND_DATASETS", str(tmp_path / "data"))
    monkeypatch.setenv("PLAYGROUND_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", home / "datasets")
    monkeypatch.setattr("playground.machine.device_facts", lambda: {"name": "a test's"})

    def run(*variants: str, name: str = "job", **more: Any) -> dict[str, Any]:
        spec = EvaluateSpec(variants=variants, conditions=more.pop("conditions", CONDITIONS), **more)
        folder = folders.job(name)
        folder.mkdir(parents=True, exist_ok=True)
        told = progress.Report(folder)
        try:
            return evaluate_job.run(
                EvaluateSpec.from_stored(json.loads(json.dumps(spec.model_dump(mode="json")))), folder, told
            )
        finally:
            told.close()

    return run


def stages(name: str = "job") -> list[str]:
    return [event["stage"] for event in progress.read(folders.job(name))[0] if event["kind"] == "stage"]


def notes(name: str = "job") -> list[str]:
    return [event["text"] for event in progress.read(folders.job(name))[0] if event["kind"] == "note"]


def kept(home: Path) -> list[Path]:
    return sorted(home.glob("cache/evaluations/*"))


def test_what_is_stored(job: Job, home: Path, twins: tuple[str, str]) -> None:
    result = job(*twins)
    run = runs.get(result["run"])
    assert (run.kind, run.job_id, run.model) == ("evaluation", "job", twins[0])
    assert [one["id"] for one in run.variants] == list(twins)
    assert run.variants[0]["content_hash"] != run.variants[1]["content_hash"]
    assert run.variants[0]["loaded_bytes"] == run.variants[0]["bytes"]
    assert len(run.variants[0]["template_hash"]) == 16
    assert run.settings["generation"] == {"max_gen_toks": 8}
    assert run.settings["engine"] == "transformers"
    assert run.versions["lm-eval"]
    (facts,) = run.result["tasks"]
    assert (facts["metric"], facts["n"], facts["sample"]) == ("exact_match,strict-match", 9, False)
    assert [(row["variant"], row["task"]) for row in run.result["rows"]] == [(name, "gsm8k") for name in twins]
    sides = [items.read(folders.items(run.id, "gsm8k") / f"{n}.jsonl") for n in (0, 1)]
    assert [item.doc_id for item in sides[0]] == list(range(9))
    assert [item.prompt_hash for item in sides[0]] == [item.prompt_hash for item in sides[1]]
    assert [item.answer for item in sides[0]] != [item.answer for item in sides[1]], "one cache for two models"
    assert kept(home) == [], "a finished evaluation is measured anew"
    assert f"{twins[1]} (2 of 2): generating answers" in stages()


class Killed(BaseException):
    """In place of SIGKILL: nothing that catches errors sees it."""


def stop_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    original = LocalModel._model_generate

    def generate(self: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal batches
        batches -= 1
        if batches < 0:
            raise Killed
        return original(self, *arguments, **named)

    monkeypatch.setattr(LocalModel, "_model_generate", generate)


def test_an_interrupted_job_goes_on_and_ends_with_the_same_numbers(
    job: Job, home: Path, twins: tuple[str, str]
) -> None:
    whole = runs.get(job(*twins)["run"])
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 7)  # five batches of the first model, two of the second
        with pytest.raises(Killed):
            job(*twins, name="killed")
    assert runs.of_job("killed") is None
    assert len(kept(home)) == 2
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 4)  # the batch in which it was killed, and the rest
        resumed = runs.get(job(*twins, name="resumed")["run"])
    assert notes("resumed")[:2] == [
        f"{twins[0]} was measured before the interruption.",
        f"{twins[1]} goes on from where it was interrupted.",
    ]
    assert resumed.result["rows"] == whole.result["rows"]
    assert resumed.result["tasks"] == whole.result["tasks"]
    for number in (0, 1):
        before, after = (folders.items(run.id, "gsm8k") / f"{number}.jsonl" for run in (whole, resumed))
        assert before.read_bytes() == after.read_bytes()
    assert kept(home) == []


@pytest.mark.parametrize(
    "other",
    [
        {"limit": 8},
        {"few_shot": 1},
        {"chat_template": True},
        {"generation": {"max_gen_toks": 9}},
        {"batch_size": 3},
        {"seed": 1},
        {"strip_thinking": True},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_conditions_share_nothing(job: Job, home: Path, twins: tuple[str, str], other: dict[str, Any]) -> None:
    if "few_shot" in other:
        (home.parent / "data/gsm8k/train.jsonl").write_text(json.dumps(QUESTIONS[0]) + "\n" + json.dumps(QUESTIONS[1]))
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Killed):
            job(twins[0])
        stop_after(patch, 0)
        with pytest.raises(Killed):
            job(twins[0], conditions=Conditions.from_stored(CONDITIONS.model_dump(mode="json") | other))
    assert len(kept(home)) == 2


def test_the_same_weights_under_two_names_are_measured_twice(job: Job, home: Path, twins: tuple[str, str]) -> None:
    import shutil

    copy = str(shutil.copytree(twins[0], home / "copy"))
    run = runs.get(job(twins[0], copy)["run"])
    assert len({one["content_hash"] for one in run.variants}) == 1
    assert [stage for stage in stages() if stage.endswith("generating answers")][-1].startswith(copy)
    assert "same-weights" in {warning["code"] for warning in run.result["warnings"]}


def test_quantizing_while_loading_is_other_weights(job: Job, twins: tuple[str, str]) -> None:
    run = runs.get(
        job(
            twins[0],
            f"{twins[0]}:fp32",
            conditions=Conditions.from_stored(CONDITIONS.model_dump(mode="json") | {"limit": 2}),
        )["run"]
    )
    digest = run.variants[0]["content_hash"]
    assert run.variants[1]["content_hash"] == f"{digest}+float32"
    assert (run.variants[1]["dtype"], run.variants[1]["loaded_bytes"]) == (
        "float32",
        2 * run.variants[0]["loaded_bytes"],
    )


def test_what_is_wrong_is_said_before_a_model_is_loaded(
    job: Job, home: Path, twins: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "answer", lambda *_: pytest.fail("it was asked"))
    (home / "cache").mkdir()
    from tests.evaluate.conftest import index

    index(home)
    with pytest.raises(UnknownTask):
        job(twins[0], conditions=Conditions(tasks=("gsm8k", "gsm9k")))
    with pytest.raises(EvaluationError, match="named twice"):
        job(twins[0], twins[0])
    with pytest.raises(EvaluationError, match="no engine 'vlm'"):
        job(twins[0], engine="vlm")
    with pytest.raises(EvaluationError, match="do not run on llamacpp"):
        job(f"{twins[0]}@llamacpp")


def test_a_worker_that_died_after_storing_is_done(job: Job, twins: tuple[str, str]) -> None:
    spec = EvaluateSpec(variants=(twins[0],), conditions=CONDITIONS)
    row = jobs.add(spec.kind, spec.title, spec.model_dump(mode="json"), "cpu")
    jobs.claim(row.id, 1, "long ago", 1, "long ago")
    result = job(twins[0], name=row.id)
    ending.settle(row.id)
    ended = jobs.get(row.id)
    assert (ended.state, ended.result) == ("done", {"run": result["run"]})


def test_the_spec_as_json() -> None:
    spec = EvaluateSpec(
        variants=("a", "a:nf4"),
        conditions=CONDITIONS,
        engine="vllm",
        divergence={"text": "bundled", "tokens": 64},
        speed=True,
    )
    assert kinds.kind("evaluate").Spec.from_stored(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec
    assert spec.title == "a, a:nf4 · gsm8k"
    assert spec.settings()["divergence"] == {"text": "bundled", "tokens": 64}


def test_divergence_beside_the_tasks(job: Job, home: Path, twins: tuple[str, str]) -> None:
    run = runs.get(job(*twins, divergence={"text": "bundled", "tokens": 200})["run"])
    rows = run.result["divergence"]
    assert [row["variant"] for row in rows] == [twins[0], "noise-floor", twins[1]]
    assert rows[0]["kld_mean"] == 0 < rows[1]["kld_mean"] < rows[2]["kld_mean"]
    assert {row["tokens"] for row in rows} == {200}
    assert run.settings["divergence"] == {"text": "bundled", "tokens": 200}
    assert kept(home) == []


def test_speed_is_measured_before_the_tasks(job: Job, twins: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = {twins[0]: Script(tokens=[" river"] * 64, step_s=0.001, first_s=0.002)}
    monkeypatch.setattr(evaluate_job, "Engines", lambda: FakeEngine(scripts))
    run = runs.get(job(twins[0], speed=True)["run"])
    speed = run.variants[0]["speed"]
    assert speed["decode_tok_s"] > 0
    assert (speed["prompt_tokens"], speed["output_tokens"], speed["repetitions"]) == (256, 64, 3)
    spoken = stages()
    assert spoken.index(f"{twins[0]}: measuring speed") < spoken.index(f"{twins[0]}: generating answers")


def test_a_variant_that_has_no_speed_keeps_its_scores_and_says_why(
    job: Job, twins: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = Script(tokens=[" river"] * 64, step_s=0.001, first_s=0.002)
    none = Script(load_error=OutOfMemory("It does not fit.", hint="Close something."))
    monkeypatch.setattr(evaluate_job, "Engines", lambda: FakeEngine({twins[0]: fast, twins[1]: none}))
    run = runs.get(job(*twins, speed=True)["run"])
    assert run.variants[0]["speed"] and run.variants[1]["speed"] is None
    (warning,) = (one for one in run.result["warnings"] if one["code"] == "no-speed")
    assert warning["variants"] == [twins[1]] and "It does not fit. Close something." in warning["text"]
    assert [row["variant"] for row in run.result["rows"]] == list(twins)
    assert run.result["estimate"]["missing"] == [] and run.result["sizes"]["gsm8k"]["prompt"] > 0
