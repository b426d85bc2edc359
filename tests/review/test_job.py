"""The review job: every variant answers every prompt, what was answered is kept, and the answers become a review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from playground.compare.run import Comparison
from playground.core import Sampling
from playground.errors import Cancelled, EngineError, InvalidRequest, OutOfMemory
from playground.jobs import kinds, progress
from playground.review import job
from playground.review.make import Terms, pasted
from playground.review.spec import ReviewSpec
from playground.store import folders, reviews
from tests.fakes import catalog
from tests.fakes.engine import FakeEngine, Script

NAMES = ("fake", "fake:nf4")


@pytest.fixture
def engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    catalog.install(monkeypatch)
    found = FakeEngine({"fake:nf4": Script(tokens=("Apples", " fall"), step_s=0, first_s=0)})
    monkeypatch.setattr(job, "Engines", lambda: found)
    monkeypatch.setattr(job.models, "resolve", lambda name, _: name)
    monkeypatch.setattr(job, "weights_hash", lambda spec: f"hash of {spec}")
    return found


def spec(*variants: str, **terms: Any) -> ReviewSpec:
    return ReviewSpec(
        variants=variants or NAMES,
        prompts=pasted("What is gravity?\nWhy?"),
        terms=Terms(invitations=("Anna",), **terms),
        sampling=Sampling(max_tokens=9),
    )


def run(asked: ReviewSpec, job_id: str = "job") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder = folders.job(job_id)
    folder.mkdir(parents=True)
    told = progress.Report(folder)
    try:
        return job.run(asked, folder, told), progress.read(folder)[0]
    finally:
        told.close()


def test_answers_become_a_review(engine: FakeEngine) -> None:
    result, events = run(spec())
    found = reviews.of_job("job")
    assert found is not None and found.id == result["review"]
    assert [(item.prompt, item.second_text) for item in reviews.items(found.id)] == [
        ("What is gravity?", "Apples fall"),
        ("Why?", "Apples fall"),
    ]
    assert reviews.items(found.id)[0].first_text.startswith("Gravity is a")
    assert [row["content_hash"] for row in found.variants] == ["hash of fake", "hash of fake:nf4"]
    assert found.settings["sampling"]["max_tokens"] == 9 and found.settings["set"] == "pasted"
    assert [(e["done"], e["total"]) for e in events if e.get("stage") == "answering"] == [(0, 2), (1, 2), (2, 2)]
    assert {one.sampling.max_tokens for one in engine.asked} == {9} and engine.closed
    assert found.settings["cut"] == [[0, 0, 9], [1, 0, 9]], "by the limit of tokens: BF16 alone"
    assert not list((folders.settings().cache / "evaluations").glob("*")), "what is stored is not kept twice"


def test_an_interrupted_one_goes_on_where_it_was(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    events = Comparison.events
    calls: list[Comparison] = []

    def once(self: Comparison) -> Any:
        calls.append(self)
        if len(calls) == 2:
            raise Cancelled("Stopped.")
        return events(self)

    monkeypatch.setattr(Comparison, "events", once)
    with pytest.raises(Cancelled):
        run(spec())
    (kept,) = (folders.settings().cache / "evaluations").glob(f"*/{job.ANSWERS}")
    assert json.loads(kept.read_text())["prompt"] == "What is gravity?"
    with kept.open("a") as file:
        file.write('{"prompt": "Wh')  # killed while it wrote
    result, told = run(spec(), "again")
    assert len(calls) == 3, "the first prompt was not asked again"
    assert len(reviews.items(result["review"])) == 2
    assert any("1 prompts were answered" in event.get("text", "") for event in told)


def test_one_that_cannot_be_loaded_ends_it_and_one_bad_answer_does_not(engine: FakeEngine) -> None:
    engine.scripts["fake:int8"] = Script(error=EngineError("It stumbled."), error_at=1)
    result, told = run(spec("fake", "fake:nf4", "fake:int8"))
    found = reviews.get(result["review"])
    assert found.settings["failed"] == 2 and len(reviews.items(found.id)) == 2
    assert any("did not answer prompt 1: It stumbled." in event.get("text", "") for event in told)
    engine.scripts["fake:fp4"] = Script(load_error=OutOfMemory("It does not fit."))
    with pytest.raises(OutOfMemory):
        run(spec("fake", "fake:fp4"), "other")


def test_a_title_that_unblinds_is_refused_before_anything_is_loaded(engine: FakeEngine) -> None:
    with pytest.raises(InvalidRequest, match="names a variant"):
        run(spec(title="Is nf4 worse?"))
    assert engine.loaded == set()
    with pytest.raises(InvalidRequest, match="names a variant"):
        spec(title="Is nf4 worse?").check()


def test_the_spec_comes_back_from_json() -> None:
    asked = spec(places=3, pairs="all")
    assert kinds.kind("review").Spec.from_stored(json.loads(json.dumps(asked.model_dump(mode="json")))) == asked
    assert asked.items == 2 and asked.title == "fake, fake:nf4 · 2 pasted prompts"
    with pytest.raises(InvalidRequest, match="named twice"):
        spec("fake", "fake")
    with pytest.raises(InvalidRequest, match="1 variants"):
        spec("fake")
