"""`python -m playground review`: made from comparisons and from prompts, listed and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from playground import cli, console
from playground.errors import InvalidRequest
from playground.jobs import queue
from playground.review import voting
from playground.review.spec import ReviewSpec
from playground.store import reviews
from playground.store.schema import Job
from tests.fakes import catalog
from tests.fakes.review import comparison, invited, prefers, review, vote_all


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["review", *arguments])


def test_from_comparisons_to_a_sentence(home: Path) -> None:
    ids = [comparison(f"Question {n}?", [f"The plum of {n}", f"The pear of {n}"]).id for n in range(12)]
    assert "No reviews" in run("list").output
    made = run(
        "make",
        "--runs",
        ",".join(ids[:6]),
        "--runs",
        ids[6],
        "--runs",
        ",".join(ids[7:]),
        "--reviewers",
        "Anna",
        "--json",
    )
    assert made.exit_code == 0, made.output
    said = json.loads(made.stdout)
    (link,) = said["links"]
    found = reviews.get(said["review"])
    key = invited(found)[0].key
    assert link == {"reviewer": "Anna", "link": f"http://127.0.0.1:7860/review/{found.id}#{key}"}
    vote_all(found, key, prefers("plum"))
    listed = json.loads(run("list", "--json").stdout)
    assert [(row["id"], row["items"], row["votes"]) for row in listed] == [(found.id, 12, 12)]
    shown = json.loads(run("show", found.id, "--json").stdout)
    assert shown["pairs"][0]["win_rate"]["losses"] == 12
    words = run("show", found.id).output
    assert "Reviewers preferred BF16 to nf4" in words and "Anna: 12 of 12" in words
    assert voting.state(found.id, key)["stage"] == "done"


def test_prompts_go_through_a_job(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)
    asked: list[ReviewSpec] = []

    def submit(spec: ReviewSpec, device: str) -> Job:
        asked.append(spec)
        return Job(id="job", kind=spec.kind, title=spec.title, spec={}, device=device, state="queued", created_at=0)

    def follow(job: Job) -> Job:
        job.result = {"review": review(2).id}
        return job

    monkeypatch.setattr(queue, "submit", submit)
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")
    monkeypatch.setattr(console, "follow", follow)
    made = run(
        "make", "fake", "fake:nf4", "--prompts", "bundled", "--count", "16", "--places", "9", "--max-tokens", "50"
    )
    assert made.exit_code == 0, made.output
    (spec,) = asked
    assert spec.variants == ("fake", "fake:nf4") and len(spec.prompts.prompts) == 16
    assert spec.sampling.max_tokens == 50 and spec.terms.places == 9
    assert "Anna: http://" in made.output


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--reviewers", "Anna"], "Where do the answers come from"),
        (["fake", "--runs", "x", "--reviewers", "Anna"], "have their variants"),
        (["--runs", "x"], "at least one reviewer"),
        (["fake", "fake:nf4", "--prompts", "bundled", "--places", "1", "--title", "nf4?"], "names a variant"),
        (["fake", "--prompts", "bundled", "--places", "1"], "1 variants"),
    ],
)
def test_what_cannot_be_made(home: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], match: str) -> None:
    catalog.install(monkeypatch)
    found: Any = run("make", *arguments).exception
    assert isinstance(found, InvalidRequest) and match in str(found)
