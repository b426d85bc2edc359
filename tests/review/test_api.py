"""The owner's routes of reviews: the form as a spec, the list, one review and its downloads."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from playground.errors import InvalidRequest, StoreUnavailable
from playground.review import api
from playground.review.api import ReviewForm
from playground.review.results import percent
from playground.review.spec import ReviewSpec
from playground.runs import export, listing, page
from playground.store import reviews, runs
from playground.web.api import install
from playground.web.owner import Owner
from tests.fakes import catalog
from tests.fakes.asgi import Client
from tests.fakes.queue import FakeQueue
from tests.fakes.review import comparison, invited, prefers, review, vote_all

FORM: dict[str, Any] = {"reference": "fake", "variants": ["fake:nf4"], "invitations": ["Anna", " Ben ", "", "Anna"]}


@pytest.fixture
def queue(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    monkeypatch.setattr("playground.jobs.queue.best_device", lambda: "cpu")
    catalog.install(monkeypatch)
    return FakeQueue()


@pytest.fixture
def client(queue: FakeQueue) -> Client:
    return Client(app(queue, Owner("127.0.0.1")))


def app(queue: FakeQueue, owner: Owner) -> FastAPI:
    made = FastAPI()
    install(made)
    made.include_router(api.router(queue, owner))
    return made


def error(answer: Any) -> dict[str, str]:
    assert answer.status_code >= 400, answer.text
    found: dict[str, str] = answer.json()["error"]
    return found


def test_the_form_becomes_a_spec(queue: FakeQueue) -> None:
    form = ReviewForm.model_validate(FORM | {"count": 8, "seed": 3, "asked_by": "Jacob"})
    spec = form.spec(form.terms())
    assert isinstance(spec, ReviewSpec) and spec.terms.invitations == ("Anna", "Ben")
    assert len(spec.prompts.prompts) == 8 and spec.sampling.seed == 3 and spec.terms.places == 0
    assert spec.terms.asked_by == "Jacob"
    own = ReviewForm.model_validate(
        FORM | {"prompts": "own", "text": '{"prompt": "Why?"}', "file": "mine.jsonl", "places": 5}
    )
    assert own.spec(own.terms()).prompts.prompts == ("Why?",) and own.terms().places == 5


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ({"count": "many"}, "count", "number of prompts is 'many'"),
        ({"count": 0}, "count", "Allowed"),
        ({"temperature": "warm"}, "temperature", "temperature is 'warm'"),
        ({"max_tokens": 0}, "max_tokens", "Max tokens is 0"),
        ({"variants": []}, "variants", "Only the reference"),
        ({"variants": ["fake:unknown"]}, "variants", "unknown"),
        ({"reveal": "soon"}, "reveal", "reveal is 'soon'"),
        ({"title": "Is it nf4?"}, "title", "'nf4', which names a variant"),
        ({"asked_by": "The nf4 team"}, "asked_by", "'nf4', which names a variant"),
        ({"invitations": []}, "invitations", "Add at least one reviewer."),
        ({"reveal": "item", "places": 3}, "reveal", "public link"),
        ({"prompts": "own", "text": " \n"}, "text", "Enter at least one prompt."),
        ({"source": "runs"}, "runs", "Select a comparison."),
        ({"colour": "red"}, "colour", "no field"),
    ],
)
def test_a_refusal_names_its_field(client: Client, more: dict[str, Any], field: str, words: str) -> None:
    found = error(client.post("/api/review/start", FORM | more))
    assert found["field"] == field and words in f"{found['message']} {found['hint']}" and found["hint"] is not None


def test_what_can_be_chosen(client: Client) -> None:
    run = comparison("Why?", ["a", "b"])
    found = client.get("/api/review/form").json()
    assert found["model"] == "fake" and found["variants"][0]["reference"]
    assert [(row["id"], row["labels"]) for row in found["runs"]] == [(run.id, ["BF16", "nf4"])]
    assert error(client.get("/api/review/form", {"model": "/no/such"}))["field"] == "model"


def test_the_plan_needs_no_reviewer_yet_and_says_so(client: Client) -> None:
    plan = client.post("/api/review/plan", FORM | {"count": 6}).json()
    assert (plan["items"], plan["answers"], plan["variants"], plan["reviewers"]) == (6, 12, 2, 2)
    assert plan["error"] is None and 0.5 < plan["sees"] <= 1 and plan["minutes"] >= 1
    nobody = client.post("/api/review/plan", FORM | {"count": 6, "invitations": []}).json()
    assert nobody["answers"] == 12 and nobody["reviewers"] == 0 and nobody["error"]["field"] == "invitations"
    runs = [comparison(f"{n}?", ["a", "b"]).id for n in range(3)]
    stored = client.post("/api/review/plan", {"source": "runs", "runs": runs, "places": 4}).json()
    assert (stored["items"], stored["answers"], stored["places"]) == (3, None, 4)


def test_a_job_is_queued_or_the_review_is_made_at_once(client: Client, queue: FakeQueue) -> None:
    started = client.post("/api/review/start", FORM).json()
    assert started["review"] is None and list(queue.jobs) == [started["job"]]
    made = client.post(
        "/api/review/start", {"source": "runs", "runs": [comparison("Q?", ["a", "b"]).id], "invitations": ["Anna"]}
    ).json()
    board = client.get("/api/review/board", {"log": started["job"]}).json()
    assert [row["id"] for row in board["reviews"]] == [made["review"]] and board["jobs"][0]["id"] == started["job"]
    assert client.get(f"/api/review/{made['review']}").json()["sentence"] == "Nobody has voted yet."


def test_the_owner_manages_a_review(client: Client) -> None:
    found = review(3, places=2)
    path = f"/api/review/{found.id}"
    who = invited(found)[0]
    vote_all(found, who.key, prefers("plum"))
    invitation = client.post(f"{path}/invite", {"label": "Cleo"}).json()
    assert [row["label"] for row in invitation["reviewers"]] == ["Anna", "Ben", "Cleo"]
    assert client.post(f"{path}/exclude", {"reviewer": who.id}).json()["counted"] == 0
    assert client.post(f"{path}/exclude", {"reviewer": who.id, "excluded": False}).json()["counted"] == 3
    renewed = client.post(f"{path}/link", {"places": 5}).json()["review"]
    assert renewed["places"] == 5 and renewed["key"] not in (None, found.key)
    assert client.post(f"{path}/link", {"places": 0}).json()["review"]["key"] is None
    assert client.post(f"{path}/close").json()["review"]["closed"]
    assert error(client.post(f"{path}/invite", {"label": "Dan"}))["code"] == "review_over"
    assert client.post(f"{path}/remove").json() == {"id": found.id} and not reviews.latest()
    for verb in ("close", "remove"):
        assert error(client.post(f"{path}/{verb}"))["code"] == "unknown_review"


def test_a_closed_review_becomes_one_run_without_the_reviewers(client: Client) -> None:
    found = review(6, variants=3, title="Which answer is clearer?", places=2)
    anna, ben = invited(found)
    vote_all(found, anna.key, prefers("plum"))
    vote_all(found, ben.key, prefers("plum"))
    assert not runs.latest("review"), "an open review is no result yet"
    closed = client.post(f"/api/review/{found.id}/close").json()
    client.post(f"/api/review/{found.id}/close")
    (run,) = runs.latest("review")
    whole = runs.get(run.id)
    assert whole.model == "fake" and [row["label"] for row in whole.variants] == ["BF16", "nf4", "W3A16"]
    assert whole.result["pairs"] == closed["pairs"] and whole.result["reviewers"] == 2
    shown = page.view(runs.entry(run.id), owner=False)
    assert shown["kind_words"] == "Review" and shown["title"] == "Which answer is clearer?"
    assert shown["review"]["sentence"] == closed["sentence"]
    wins = [row for row in closed["pairs"] if row["labels"] == ["BF16", "nf4"]]
    (line,) = listing.Rows().lines([runs.entry(run.id)])
    assert line["number"] == ("0%", f"preferred nf4 ({'–'.join(percent(end) for end in wins[0]['win_rate']['ci95'])}%)")
    secrets = ("Anna", "Ben", anna.key, ben.key, found.key, found.id, "plum", "Question")
    for form in export.FORMS.values():
        text = form.make(whole, "", "").decode("latin-1")
        assert text and not [word for word in secrets if word and word in text], form
    Draft202012Validator(export.schema()).validate(export.as_json(whole))
    (first, *_) = csv.DictReader(io.StringIO(export.csv(whole)))
    assert first["label"] == "nf4" and first["votes"] == "12" and float(first["win_rate"]) == 0


def test_a_review_whose_result_cannot_be_stored_stays_open(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    found = review(2)
    vote_all(found, invited(found)[0].key, prefers("plum"))
    with monkeypatch.context() as patch:
        patch.setattr(api.report, "review", lambda _: (_ for _ in ()).throw(StoreUnavailable("The disk is full.")))
        assert error(client.post(f"/api/review/{found.id}/close"))["message"] == "The disk is full."
    assert client.get(f"/api/review/{found.id}").json()["review"]["closed"] is None and not runs.latest("review")
    assert client.post(f"/api/review/{found.id}/close").json()["review"]["closed"] and runs.latest("review")


def test_a_review_without_a_vote_becomes_no_run(client: Client) -> None:
    found = review(2)
    assert client.post(f"/api/review/{found.id}/close").json()["review"]["closed"]
    assert not runs.latest("review")


def test_votes_are_a_table(client: Client) -> None:
    found = review(3)
    anna, ben = invited(found)
    vote_all(found, anna.key, prefers("pear"))
    vote_all(found, ben.key, lambda _: "tie", most=1)
    client.post(f"/api/review/{found.id}/exclude", {"reviewer": ben.id})
    answer = client.get(f"/api/review/{found.id}/votes")
    assert (
        answer.headers["content-type"].startswith("text/csv") and "attachment" in answer.headers["content-disposition"]
    )
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 4 and {row["reviewer"] for row in rows} == {"Anna", "Ben"}
    for row in rows:
        assert {row["a"], row["b"]} == {"BF16", "nf4"}
        if row["reviewer"] == "Anna":
            assert row["counted"] == "True" and row["preferred"] == "nf4" == row[row["choice"]]
        else:
            assert row["counted"] == "False" and (row["choice"], row["preferred"]) == ("tie", "")


def test_only_the_owner_may(queue: FakeQueue) -> None:
    found = review(2)
    public = app(queue, Owner("0.0.0.0"))  # noqa: S104
    bodies = {"exclude": {"reviewer": invited(found)[0].id}, "invite": {"label": "Eve"}, "start": FORM, "plan": FORM}
    visitor, paths = Client(public), public.openapi()["paths"]
    assert len(paths) == 11
    for template, methods in paths.items():
        path = template.format(review_id=found.id)
        for method in methods:
            body = bodies.get(path.rsplit("/", 1)[1], {})
            answer = visitor.get(path) if method == "get" else visitor.post(path, body)
            assert error(answer)["code"] == "owner_only", path
            assert found.id not in answer.text
    assert len(invited(found)) == 2 and queue.jobs == {}


def test_a_stored_job_of_another_version_has_its_title() -> None:
    queue = FakeQueue()
    job = queue.get(queue._add("review", "a title", {"variants": "?"}, "cpu"))
    assert api.card(job) == {"title": "a title", "model": "", "words": ""}


def test_too_many_names_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="too many reviewers"):
        ReviewForm(invitations=tuple(f"n{n}" for n in range(101))).terms()
