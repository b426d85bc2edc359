"""The Reviews page: its layout, values and events, and the form's fields as a spec.

It is for the owner alone: results name what reviewers must not know. No field of the form is trusted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from playground import models as catalog
from playground.core import Sampling, Variant
from playground.errors import InvalidRequest, OwnerOnly, PlaygroundError
from playground.jobs import kinds
from playground.metrics.stats import smallest_drop
from playground.models import names
from playground.review import make
from playground.review.make import MAX_INVITATIONS, MAX_RUNS, TITLE, PromptSet, Terms
from playground.review.results import results, summary
from playground.review.spec import SAMPLING, ReviewSpec
from playground.settings import settings
from playground.store import database, reviews, runs
from playground.store.schema import Job
from playground.web import event_data, forms
from playground.web import gradio as gr
from playground.web.forms import variant_row, whole
from playground.web.jobs import JobCards, Queue
from playground.web.owner import Owner
from playground.web.theme import html_part
from playground.web.values import inert

RUNS_OFFERED = 60
UNDECIDED = 0.2  # share of votes for neither side, assumed before there are votes
SECONDS = 25  # for one pair of short answers
log = logging.getLogger(__name__)
QUICK: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
LISTED = 100
MAX_NAMES = 20_000  # characters of the reviewers' names


def form_value(
    model: str,
    variants: Sequence[Variant] = (),
    origin: str = "",
    error: PlaygroundError | None = None,
    refusal: PlaygroundError | None = None,
) -> str:
    """The value of the form; for a visitor only the refusal."""
    value: dict[str, Any] = {"error": _error_row(error), "refusal": _error_row(refusal), "model": model}
    if refusal is not None:
        return inert(value)
    stored = set(names.stored(model)) if error is None else set()
    models = [name for name in catalog.models() if not name.startswith("@")]
    return inert(
        value
        | {
            "models": models if model in models else [model, *models],
            "origin": origin,
            "variants": [variant_row(variant, variant.name in stored) for variant in variants],
            "runs": _comparisons(),
            "bundled": len(make.bundled().prompts),
            "default": {"title": TITLE, "max_tokens": SAMPLING.max_tokens, "places": 20},
        }
    )


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


def plan(serial: object, spec: ReviewSpec) -> str:
    """The value of the plan: pairs, answers, time, and the smallest preference that so many votes can show."""
    count = len(spec.prompts.prompts)
    return inert(
        {
            "serial": serial,
            "items": spec.items,
            "prompts": count,
            "variants": len(spec.variants),
            "answers": count * len(spec.variants),
            "button": f"Make the {count * len(spec.variants)} answers",
            **_power(count, spec.items, spec.terms),
        }
    )


def plan_of_runs(serial: object, count: int, terms: Terms) -> str:
    """As `plan`, for a review of stored comparisons. The number of pairs is known only once they are read."""
    return inert(
        {
            "serial": serial,
            "items": count,
            "prompts": count,
            "variants": None,
            "answers": None,
            "button": f"Make a review of {count} comparison{'' if count == 1 else 's'}",
            **_power(count, count, terms),
        }
    )


def _power(prompts: int, items: int, terms: Terms) -> dict[str, Any]:
    return {
        "sees": 0.5 + smallest_drop(prompts, 1 - UNDECIDED) / 2,
        "minutes": max(1, round(items * SECONDS / 60)),
        "reviewers": len(terms.invitations),
        "places": terms.places,
    }


def plan_error(serial: object, error: PlaygroundError) -> str:
    """The value of the plan where the form cannot be used."""
    return inert({"serial": serial, "error": _error_row(error)})


def _error_row(error: PlaygroundError | None) -> list[str] | None:
    return [error.message, error.hint] if error else None


class Reviews:
    """The events of the page over one queue; `owner` checks that a request is the owner's."""

    def __init__(self, tab: Tab, queue: Queue, owner: Owner) -> None:
        self.tab, self.queue, self.owner = tab, queue, owner
        self._jobs = JobCards(queue, ("review",), card)
        self._lock = threading.Lock()

    def wire(self) -> None:
        form, board, opened = self.tab.form, self.tab.board, self.tab.opened
        for event, act, output in (
            (form.model, self.choose, form),
            (form.plan, self.plan, self.tab.plan),
            (form.begin, self.begin, board),
            (board.look, self.look, board),
            (board.cancel, self.cancel, board),
            (board.again, self.again, board),
            (board.remove, self.remove, board),
            (opened.open, self.open, opened),
            (opened.close, self.close, opened),
            (opened.invite, self.invite, opened),
            (opened.exclude, self.exclude, opened),
            (opened.link, self.link, opened),
        ):
            event(act, None, output, trigger_mode="multiple", **QUICK)

    # ---- the form
    def choose(self, data: gr.EventData, request: gr.Request) -> str:
        name = event_data.text(data, "name") or settings().model
        if refusal := self.owner.refusal(request):
            return form_value(name, refusal=refusal)
        try:
            model, _ = catalog.split(name)
            return form_value(model, catalog.variants(model), catalog.describe(model))
        except PlaygroundError as error:
            return form_value(name, error=error)

    def plan(self, data: gr.EventData, request: gr.Request) -> str:
        fields, serial = event_data.values(data), event_data.serial(data)
        try:
            self.owner.check(request)
            if from_runs(fields):
                return plan_of_runs(serial, len(run_ids(fields)), terms(fields))
            return plan(serial, spec(fields))
        except PlaygroundError as error:
            return plan_error(serial, error)

    def begin(self, data: gr.EventData, request: gr.Request) -> str:
        """Queue a job, or make the review at once from stored comparisons."""
        fields, review_ids = event_data.values(data), []

        def act() -> None:
            if from_runs(fields):
                review_ids.append(make.from_runs(terms(fields), run_ids(fields)).id)
            else:
                kinds.start(spec(fields), self.queue.submit)

        return self._owned(data, request, act, review_ids)

    # ---- jobs and reviews
    def look(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: None)

    def cancel(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: self.queue.cancel(event_data.text(data, "id")))

    def again(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: self.queue.again(event_data.text(data, "id")))

    def remove(self, data: gr.EventData, request: gr.Request) -> str:
        def act() -> None:
            if not database.exists() or not reviews.remove(event_data.text(data, "id")):
                raise reviews.unknown()

        return self._owned(data, request, act)

    def _owned(
        self, data: gr.EventData, request: gr.Request, act: Callable[[], object], review_ids: list[str] | None = None
    ) -> str:
        """Run `act` if the request is the owner's, and return the board's value; for a visitor only the error."""
        error = self.owner.attempt(request, act)
        value: dict[str, Any] = {
            "serial": event_data.serial(data),
            "error": _error_row(error),
        }
        if isinstance(error, OwnerOnly):
            return inert(value | {"owner": False, "jobs": [], "older": 0, "active": False, "reviews": []})
        with self._lock:
            try:
                rows = [summary(*row) for row in reviews.latest(LISTED)] if database.exists() else []
                listed = {row["id"] for row in rows}
                cards = self._jobs.rows(
                    event_data.ids(data, "logs"), True, lambda job: (job.result or {}).get("review") in listed
                )
            except (SQLAlchemyError, OSError, PlaygroundError):
                log.exception("The store cannot be read")
                return inert(value | {"broken": ["The reviews cannot be read.", "Details are in the log."]})
        return inert(value | cards | {"owner": True, "reviews": rows, "made": review_ids[0] if review_ids else None})

    # ---- one review
    def open(self, data: gr.EventData, request: gr.Request) -> str:
        return self._opened(data, request, lambda _: None)

    def close(self, data: gr.EventData, request: gr.Request) -> str:
        return self._opened(data, request, reviews.close)

    def invite(self, data: gr.EventData, request: gr.Request) -> str:
        return self._opened(data, request, lambda review: make.invite(review, event_data.text(data, "label")))

    def exclude(self, data: gr.EventData, request: gr.Request) -> str:
        off = bool(event_data.values(data).get("off"))

        def act(review: str) -> None:
            reviewer_id = event_data.text(data, "reviewer")
            if reviewer_id not in {reviewer.id for reviewer in reviews.reviewers(review)}:
                raise reviews.unknown()
            reviews.exclude(reviewer_id, time.time() if off else None)

        return self._opened(data, request, act)

    def link(self, data: gr.EventData, request: gr.Request) -> str:
        """Replace the common link by one with `places` places, or by none. The old one stops working."""

        def act(review: str) -> None:
            places = whole(event_data.values(data).get("places") or 0, "The number of places")
            if not 0 <= places <= make.MAX_PLACES:
                raise InvalidRequest(f"{places} places are asked for.", hint=f"Allowed: 0 to {make.MAX_PLACES}.")
            if places and reviews.get(review).reveal == "item":
                raise InvalidRequest("This review names the variants after each vote.", hint="Invite people by name.")
            reviews.set_link(review, reviews.new_key() if places else None, places)

        return self._opened(data, request, act)

    def _opened(self, data: gr.EventData, request: gr.Request, act: Callable[[str], object]) -> str:
        review_id = event_data.text(data, "id")
        value: dict[str, Any] = {"id": review_id, "serial": event_data.serial(data)}
        try:
            self.owner.check(request)
            if not database.exists():
                raise reviews.unknown()
            error = self.owner.attempt(request, lambda: act(review_id))
            value["error"] = _error_row(error)
            return inert(value | results(review_id))
        except PlaygroundError as error:
            return inert(value | {"gone": [error.message, error.hint]})


def card(job: Job) -> dict[str, Any]:
    """The text of a job's card; the stored title where this version cannot read the spec."""
    names, prompts = job.spec.get("variants"), job.spec.get("prompts")
    if not isinstance(names, list) or not isinstance(prompts, dict) or len(names) < 2:
        return {"title": job.title, "model": "", "words": ""}
    model = str(names[0])
    others = ", ".join(str(name).removeprefix(f"{model}:") for name in names[1:])
    return {
        "title": f"{others} against {model}",
        "model": f"{len(prompts.get('prompts', ()))} {prompts.get('name', '')} prompts",
        "words": "answers for a blind review",
        "review": (job.result or {}).get("review"),
    }


# The layout.


@dataclass(frozen=True)
class Tab:
    """The page's components: the form and its plan, the board of jobs and reviews, one opened review."""

    form: gr.HTML
    plan: gr.HTML
    board: gr.HTML
    opened: gr.HTML


def layout() -> Tab:
    """Draw the page in the current Blocks. Its script shows one page at a time."""
    with gr.Column(elem_id="pg-reviews"):
        with gr.Row(elem_id="pg-reviews-ask"):
            form = html_part("reviewForm", signals="'model' 'plan' 'begin'", elem_id="pg-reviews-form")
            plan = html_part("reviewPlan", elem_id="pg-reviews-plan")
        board = html_part("reviewBoard", signals="'look' 'cancel' 'again' 'remove'", elem_id="pg-reviews-board")
        opened = html_part(
            "reviewOpened", signals="'open' 'close' 'invite' 'exclude' 'link'", elem_id="pg-reviews-opened"
        )
        html_part("reviewList", elem_id="pg-reviews-list")
    return Tab(form, plan, board, opened)


# The form's fields, as a spec or as runs.


def from_runs(data: Mapping[str, Any]) -> bool:
    """Whether the answers are to be taken from stored comparisons."""
    return data.get("source") == "runs"


def run_ids(data: Mapping[str, Any]) -> list[str]:
    """The ids of the chosen comparisons. Raises InvalidRequest."""
    ids = data.get("runs")
    chosen = [run_id[:64] for run_id in ids if isinstance(run_id, str)] if isinstance(ids, list) else []
    if not chosen:
        raise InvalidRequest("No comparison is chosen.", hint="Each one is a prompt with its answers.")
    if len(chosen) > MAX_RUNS:
        raise InvalidRequest(f"{len(chosen)} comparisons are chosen.", hint=f"Allowed: {MAX_RUNS}.")
    return list(dict.fromkeys(chosen))


def spec(data: Mapping[str, Any]) -> ReviewSpec:
    """The spec of the form's fields. Raises PlaygroundError."""
    review_spec = ReviewSpec(
        variants=forms.variants(data),
        prompts=prompt_set(data),
        terms=terms(data),
        sampling=sampling(data),
    )
    review_spec.check()
    return review_spec


def prompt_set(data: Mapping[str, Any]) -> PromptSet:
    """The bundled prompts, the pasted ones, or a file's. Raises InvalidRequest."""
    text, name = data.get("text"), data.get("file")
    if data.get("prompts") == "own":
        typed = text if isinstance(text, str) else ""
        if isinstance(name, str) and name:
            return make.read(name[-200:], typed.encode("utf-8", errors="replace"))
        return make.pasted(typed)
    count = whole(data.get("count") or len(make.bundled().prompts), "The number of prompts")
    if count < 1:
        raise InvalidRequest("No prompt is asked for.", hint="Take 1 or more.")
    return make.bundled().first(count)


def terms(data: Mapping[str, Any]) -> Terms:
    """The terms of the form's fields. Raises InvalidRequest."""
    typed = data.get("invitations")
    lines = (typed if isinstance(typed, str) else "")[:MAX_NAMES].replace(",", "\n").splitlines()
    names = tuple(dict.fromkeys(name.strip()[:100] for name in lines if name.strip()))
    if len(names) > MAX_INVITATIONS:
        raise InvalidRequest(f"{len(names)} reviewers are named.", hint=f"Allowed: {MAX_INVITATIONS}.")
    chosen = {name: text for name in ("title", "pairs", "reveal") if (text := _text(data, name))}
    places = whole(data.get("places") or 0, "The number of places") if data.get("common") else 0
    return Terms.model_validate({**chosen, "invitations": names, "places": places})


def sampling(data: Mapping[str, Any]) -> Sampling:
    """The sampling of the form's fields. Raises InvalidRequest."""
    typed = _text(data, "temperature")
    try:
        temperature = float(typed or SAMPLING.temperature)
    except ValueError:
        raise InvalidRequest(f"{typed[:40]!r} is no temperature.", hint="0 is greedy.") from None
    return Sampling(
        max_tokens=whole(data.get("max_tokens") or SAMPLING.max_tokens, "Max tokens"),
        temperature=temperature,
        seed=whole(data.get("seed") or 0, "The seed"),
    )


def _text(data: Mapping[str, Any], key: str) -> str:
    text = data.get(key)
    return text.strip()[:300] if isinstance(text, str) else ""
