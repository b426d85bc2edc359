"""The owner's routes of reviews under `/api/review`: the form, the list with its jobs, one review.

All are for the owner: results name what reviewers must not know. Reviewers use `routes.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from playground import models as catalog
from playground.core import Sampling
from playground.errors import InvalidRequest, PlaygroundError
from playground.jobs import kinds
from playground.metrics.stats import smallest_drop
from playground.models import names
from playground.review import make, report
from playground.review.make import MAX_NAME, MAX_PLACES, MAX_PROMPTS, MAX_RUNS, TITLE, Pairs, PromptSet, Terms
from playground.review.results import results, summary, votes_csv
from playground.review.spec import SAMPLING, ReviewSpec
from playground.settings import settings
from playground.spec import Spec, Whole
from playground.store import database, reviews, runs
from playground.store.schema import Job, Reveal
from playground.web.api import NO_STORE, error_row
from playground.web.forms import MAX_VARIANTS, addresses, variant_row
from playground.web.jobs import JobCards, Queue
from playground.web.owner import Owner

RUNS_OFFERED = 60
UNDECIDED = 0.2  # share of votes for neither side, assumed before there are votes
LISTED = 100
PLACES = 20  # of a public link, unless another number is given


class ReviewForm(Spec):
    """What the form of a review has. Raises InvalidRequest.

    source      "prompts": `variants` answer `prompts` in a job; "runs": the answers are those of stored comparisons
    reference   address of the variant that the others are compared with
    prompts     "bundled", of which `count` are taken, or "own": `text`, read as the file `file` if that is not ""
    """

    source: Literal["prompts", "runs"] = "prompts"
    reference: str = Field(default="", max_length=1200)
    variants: tuple[str, ...] = Field(default=(), max_length=MAX_VARIANTS)
    prompts: Literal["bundled", "own"] = "bundled"
    count: Whole | None = Field(default=None, ge=1, le=MAX_PROMPTS, title="The number of prompts")
    text: str = ""
    file: str = Field(default="", max_length=1000)
    max_tokens: Whole = Field(default=SAMPLING.max_tokens, ge=1, title="Max tokens")
    temperature: float = Field(default=SAMPLING.temperature, ge=0, le=5, title="The temperature")
    seed: Whole = Field(default=0, ge=0, title="The seed")
    runs: tuple[str, ...] = Field(default=(), max_length=MAX_RUNS)
    title: str = TITLE
    asked_by: str = ""
    pairs: Pairs = "reference"
    reveal: Reveal = "end"
    invitations: tuple[str, ...] = ()
    places: Whole = Field(default=0, ge=0, le=MAX_PLACES, title="The number of places")

    def terms(self) -> Terms:
        invited = tuple(dict.fromkeys(filter(None, (name.strip() for name in self.invitations))))
        return Terms(
            title=self.title.strip() or TITLE,
            asked_by=self.asked_by.strip(),
            pairs=self.pairs,
            reveal=self.reveal,
            invitations=invited,
            places=self.places,
        )

    def run_ids(self) -> tuple[str, ...]:
        """The chosen comparisons. Raises InvalidRequest if there is none."""
        if not self.runs:
            raise InvalidRequest("Select a comparison.", hint="Each one is a prompt with its answers.", field="runs")
        return self.runs

    def spec(self, terms: Terms) -> ReviewSpec:
        with _concerning("variants"):
            variants = addresses(self.reference, self.variants)
        with _concerning("text"):
            prompts = self._prompt_set()
        sampling = Sampling(max_tokens=self.max_tokens, temperature=self.temperature, seed=self.seed)
        spec = ReviewSpec(variants=variants, prompts=prompts, terms=terms, sampling=sampling)
        spec.check()
        return spec

    def _prompt_set(self) -> PromptSet:
        if self.prompts == "own":
            return make.read(self.file, self.text.encode(errors="replace")) if self.file else make.pasted(self.text)
        return make.bundled().first(self.count or len(make.bundled().prompts))


@contextmanager
def _concerning(field: str) -> Iterator[None]:
    """Name the form's field of an error that names none."""
    try:
        yield
    except PlaygroundError as error:
        error.field = error.field or field
        raise


class Invitation(Spec):
    label: str = Field(max_length=MAX_NAME, title="The name")


class Exclusion(Spec):
    """`excluded`: whether the reviewer's votes are left out; they are kept either way."""

    reviewer: str
    excluded: bool = True


class PublicLink(Spec):
    """`places`: how many people may vote through the new public link; 0: there is none."""

    places: Whole = Field(default=PLACES, ge=0, le=MAX_PLACES, title="The number of places")


def router(queue: Queue, owner: Owner) -> APIRouter:
    """Return the routes over one queue of jobs."""
    routes = APIRouter(prefix="/api/review", tags=["review"])
    board = _Board(queue)

    def opened(review_id: str) -> dict[str, Any]:
        if not database.exists():
            raise reviews.unknown()
        return results(review_id)

    @routes.get("/form")
    def form(request: Request, model: str = "") -> dict[str, Any]:
        """Return what can be chosen for a model: variants, stored comparisons, and the defaults."""
        owner.check(request)
        return choices(model or settings().model)

    @routes.post("/plan")
    def plan(form: ReviewForm, request: Request) -> dict[str, Any]:
        """Return how many pairs and answers a form makes, and the smallest preference that its votes can show."""
        owner.check(request)
        return cost(form)

    @routes.post("/start")
    def start(form: ReviewForm, request: Request) -> dict[str, Any]:
        """Queue the job that generates the answers, or make the review of stored comparisons at once."""
        owner.check(request)
        terms = form.terms()
        if form.source == "runs":
            return {"review": make.from_runs(terms, form.run_ids()).id, "job": None}
        return {"review": None, "job": kinds.start(form.spec(terms), queue.submit)}

    @routes.get("/board")
    def look(request: Request, log: Annotated[list[str], Query()] = []) -> dict[str, Any]:  # noqa: B006
        """Return the jobs of reviews and the list of reviews, the newest first. `log`: jobs whose log is included."""
        owner.check(request)
        return board.value(log)

    @routes.get("/{review_id}")
    def show(review_id: str, request: Request) -> dict[str, Any]:
        """Return the results of a review: the JSON of `review show`."""
        owner.check(request)
        return opened(review_id)

    @routes.get("/{review_id}/votes")
    def votes(review_id: str, request: Request) -> Response:
        """Return one line per vote as CSV."""
        owner.check(request)
        opened(review_id)
        headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="review-{review_id[:8]}-votes.csv"'}
        return Response(votes_csv(review_id), media_type="text/csv; charset=utf-8", headers=headers)

    @routes.post("/{review_id}/close")
    def close(review_id: str, request: Request) -> dict[str, Any]:
        """Accept no further vote, show the names unless they are never shown, and store the result as a run.

        Cannot be undone.
        """
        owner.check(request)
        opened(review_id)
        reviews.close(review_id, lambda: report.review(results(review_id)))
        return opened(review_id)

    @routes.post("/{review_id}/invite")
    def invite(review_id: str, invitation: Invitation, request: Request) -> dict[str, Any]:
        """Invite one more reviewer."""
        owner.check(request)
        opened(review_id)
        make.invite(review_id, invitation.label)
        return opened(review_id)

    @routes.post("/{review_id}/exclude")
    def exclude(review_id: str, exclusion: Exclusion, request: Request) -> dict[str, Any]:
        """Leave out all votes of a reviewer, or count them again."""
        owner.check(request)
        if exclusion.reviewer not in {row["id"] for row in opened(review_id)["reviewers"]}:
            raise reviews.unknown()
        reviews.exclude(exclusion.reviewer, time.time() if exclusion.excluded else None)
        return opened(review_id)

    @routes.post("/{review_id}/link")
    def link(review_id: str, public: PublicLink, request: Request) -> dict[str, Any]:
        """Replace the public link by a new one, or by none. The old one stops working."""
        owner.check(request)
        if public.places and opened(review_id)["review"]["reveal"] == "item":
            raise InvalidRequest(
                "This review shows the names after each vote, so it cannot have a public link.",
                hint="Invite people by name.",
            )
        reviews.set_link(review_id, reviews.new_key() if public.places else None, public.places)
        return opened(review_id)

    @routes.post("/{review_id}/remove")
    def remove(review_id: str, request: Request) -> dict[str, Any]:
        """Delete a review with all its votes."""
        owner.check(request)
        if not database.exists() or not reviews.remove(review_id):
            raise reviews.unknown()
        return {"id": review_id}

    return routes


def choices(model: str) -> dict[str, Any]:
    """Return what can be chosen for a model. Raises PlaygroundError for an unknown one."""
    with _concerning("model"):
        model, _ = catalog.split(model)
        variants = catalog.variants(model)
        stored = set(names.stored(model))
        origin = catalog.describe(model)
    models = [name for name in catalog.models() if not name.startswith("@")]
    return {
        "model": model,
        "models": models if model in models else [model, *models],
        "origin": origin,
        "variants": [variant_row(variant, variant.name in stored) for variant in variants],
        "runs": _comparisons(),
        "bundled": len(make.bundled().prompts),
        "default": {"title": TITLE, "max_tokens": SAMPLING.max_tokens, "places": PLACES},
    }


def _comparisons() -> list[dict[str, Any]]:
    rows = runs.latest("comparison", limit=RUNS_OFFERED) if database.exists() else []
    return [
        {
            "id": run.id,
            "title": run.title,
            "created": run.created_at,
            "labels": [row.get("label") or row["id"] for row in run.variants],
        }
        for run in rows
    ]


def cost(form: ReviewForm) -> dict[str, Any]:
    """Return the cost and the statistical power of a review. Raises PlaygroundError.

    answers, variants  None for stored comparisons, of which `items` counts the prompts: pairs are made on start
    minutes            that one reviewer takes
    sees               the smallest win rate that one reviewer's votes can detect
    error              there is no reviewer yet; figures need none
    """
    nobody = not form.invitations and not form.places
    terms = (form.changed(invitations=("?",)) if nobody else form).terms()
    spec = None if form.source == "runs" else form.spec(terms)
    prompts = len(spec.prompts.prompts) if spec else len(form.run_ids())
    items = spec.items if spec else prompts
    return {
        "items": items,
        "prompts": prompts,
        "variants": len(spec.variants) if spec else None,
        "answers": prompts * len(spec.variants) if spec else None,
        "minutes": make.minutes(items),
        "sees": 0.5 + smallest_drop(prompts, 1 - UNDECIDED) / 2,
        "reviewers": 0 if nobody else len(terms.invitations),
        "places": terms.places,
        "error": error_row(make.no_reviewer()) if nobody else None,
    }


class _Board:
    """Jobs and reviews. Reads each event of a job once, so one request at a time."""

    def __init__(self, queue: Queue) -> None:
        self._cards = JobCards(queue, ("review",), card)
        self._lock = threading.Lock()

    def value(self, logs: list[str]) -> dict[str, Any]:
        with self._lock:
            rows = [summary(*row) for row in reviews.latest(LISTED)] if database.exists() else []
            listed = {row["id"] for row in rows}
            jobs = self._cards.rows(logs, True, lambda job: (job.result or {}).get("review") in listed)
        return jobs | {"reviews": rows}


def card(job: Job) -> dict[str, Any]:
    """The text of a job's card; the stored title where this version cannot read the spec."""
    variants, prompts = job.spec.get("variants"), job.spec.get("prompts")
    if not isinstance(variants, list) or not isinstance(prompts, dict) or len(variants) < 2:
        return {"title": job.title, "model": "", "words": ""}
    model = str(variants[0])
    others = ", ".join(str(name).removeprefix(f"{model}:") for name in variants[1:])
    return {
        "title": f"{others} against {model}",
        "model": f"{len(prompts.get('prompts', ()))} {prompts.get('name', '')} prompts",
        "words": "answers for a blind review",
        "review": (job.result or {}).get("review"),
    }
