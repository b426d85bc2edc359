"""The Reviews page: its form, its parts, and what happens on it.

It is the owner's alone: results name what reviewers must not know. What the form sends becomes a job's spec or runs,
and nothing of it is trusted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy.exc import SQLAlchemyError

from playground import models as catalog
from playground.core import Sampling, Variant
from playground.errors import InvalidRequest, OwnerOnly, PlaygroundError
from playground.jobs import kinds
from playground.metrics.stats import smallest_drop
from playground.models import names
from playground.review import make
from playground.review.make import MAX_INVITATIONS, MAX_RUNS, TITLE, Pairs, PromptSet, Terms
from playground.review.results import results, summary
from playground.review.spec import SAMPLING, ReviewSpec
from playground.settings import settings
from playground.store import database, reviews, runs
from playground.store.schema import Job, Reveal
from playground.web import event_data, forms
from playground.web import gradio as gr
from playground.web.forms import variant_row, whole
from playground.web.jobs import JobCards, Queue
from playground.web.owner import Owner
from playground.web.theme import drawn
from playground.web.values import inert

RUNS_OFFERED = 60
UNDECIDED = 0.2  # share of votes that prefer nobody, for what can be said before there is one
SECONDS = 25  # that a person takes for a pair of short answers
log = logging.getLogger(__name__)
QUICK: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
LISTED = 100
MAX_NAMES = 20_000  # characters of the reviewers' names


def form_value(
    model: str,
    found: Sequence[Variant] = (),
    origin: str = "",
    error: PlaygroundError | None = None,
    refusal: PlaygroundError | None = None,
) -> str:
    """The value of the form. To whoever is not the owner it says only why."""
    said: dict[str, Any] = {"error": _error_row(error), "refusal": _error_row(refusal), "model": model}
    if refusal is not None:
        return inert(said)
    made = set(names.stored(model)) if error is None else set()
    models = [name for name in catalog.models() if not name.startswith("@")]
    return inert(
        said
        | {
            "models": models if model in models else [model, *models],
            "origin": origin,
            "variants": [variant_row(variant, variant.name in made) for variant in found],
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


def plan(serial: object, asked: ReviewSpec) -> str:
    """What reviewers will have before them, and what their votes can show."""
    count = len(asked.prompts.prompts)
    return inert(
        {
            "serial": serial,
            "items": asked.items,
            "prompts": count,
            "variants": len(asked.variants),
            "answers": count * len(asked.variants),
            "button": f"Make the {count * len(asked.variants)} answers",
            **_power(count, asked.items, asked.terms),
        }
    )


def plan_of_runs(serial: object, count: int, terms: Terms) -> str:
    """The same of answers that are there; how many pairs they make is known when they are read."""
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


def _power(prompts_: int, items: int, terms: Terms) -> dict[str, Any]:
    return {
        "sees": 0.5 + smallest_drop(prompts_, 1 - UNDECIDED) / 2,
        "minutes": max(1, round(items * SECONDS / 60)),
        "reviewers": len(terms.invitations),
        "places": terms.places,
    }


def plan_error(serial: object, error: PlaygroundError) -> str:
    """The value of the plan when there is none."""
    return inert({"serial": serial, "error": _error_row(error)})


def _error_row(error: PlaygroundError | None) -> list[str] | None:
    return [error.message, error.hint] if error else None


class Reviews:
    """The events of the page over one queue. `owner`: the only one who may see and do any of it."""

    def __init__(self, tab: Tab, queue: Queue, owner: Owner) -> None:
        self.tab, self.queue, self.owner = tab, queue, owner
        self._jobs = JobCards(queue, ("review",), card)
        self._lock = threading.Lock()

    def wire(self) -> None:
        form, board, opened = self.tab.form, self.tab.board, self.tab.opened
        for event, act, shown in (
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
            event(act, None, shown, trigger_mode="multiple", **QUICK)

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
        sent, serial = event_data.values(data), event_data.serial(data)
        try:
            self.owner.check(request)
            if from_runs(sent):
                return plan_of_runs(serial, len(run_ids(sent)), terms(sent))
            return plan(serial, spec(sent))
        except PlaygroundError as error:
            return plan_error(serial, error)

    def begin(self, data: gr.EventData, request: gr.Request) -> str:
        """Queue a job, or make the review at once of answers that are there."""
        sent, made = event_data.values(data), []

        def act() -> None:
            if from_runs(sent):
                made.append(make.from_runs(terms(sent), run_ids(sent)).id)
            else:
                kinds.start(spec(sent), self.queue.submit)

        return self._owned(data, request, act, made)

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
        self, data: gr.EventData, request: gr.Request, act: Callable[[], object], made: list[str] | None = None
    ) -> str:
        """Do what only the owner may, then look. Others get the reason and nothing else."""
        error = self.owner.attempt(request, act)
        said: dict[str, Any] = {
            "serial": event_data.serial(data),
            "error": [error.message, error.hint] if error else None,
        }
        if isinstance(error, OwnerOnly):
            return inert(said | {"owner": False, "jobs": [], "older": 0, "active": False, "reviews": []})
        with self._lock:
            try:
                rows = [summary(*row) for row in reviews.latest(LISTED)] if database.exists() else []
                known = {row["id"] for row in rows}
                cards = self._jobs.rows(
                    event_data.ids(data, "logs"), True, lambda job: (job.result or {}).get("review") in known
                )
            except (SQLAlchemyError, OSError, PlaygroundError):
                log.exception("The store cannot be read")
                return inert(said | {"broken": ["The reviews cannot be read.", "Details are in the log."]})
        return inert(said | cards | {"owner": True, "reviews": rows, "made": made[0] if made else None})

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
            wanted = event_data.text(data, "reviewer")
            if wanted not in {one.id for one in reviews.reviewers(review)}:
                raise reviews.unknown()
            reviews.exclude(wanted, time.time() if off else None)

        return self._opened(data, request, act)

    def link(self, data: gr.EventData, request: gr.Request) -> str:
        """A new common link with so many places, or none: the one before it opens no more."""

        def act(review: str) -> None:
            places = whole(event_data.values(data).get("places") or 0, "The number of places")
            if not 0 <= places <= make.MAX_PLACES:
                raise InvalidRequest(f"{places} places are asked for.", hint=f"Allowed: 0 to {make.MAX_PLACES}.")
            if places and reviews.get(review).reveal == "item":
                raise InvalidRequest("This review names the variants after each vote.", hint="Invite people by name.")
            reviews.set_link(review, reviews.new_key() if places else None, places)

        return self._opened(data, request, act)

    def _opened(self, data: gr.EventData, request: gr.Request, act: Callable[[str], object]) -> str:
        wanted = event_data.text(data, "id")
        said: dict[str, Any] = {"id": wanted, "serial": event_data.serial(data)}
        try:
            self.owner.check(request)
            if not database.exists():
                raise reviews.unknown()
            error = self.owner.attempt(request, lambda: act(wanted))
            said["error"] = [error.message, error.hint] if error else None
            return inert(said | results(wanted))
        except PlaygroundError as error:
            return inert(said | {"gone": [error.message, error.hint]})


def card(job: Job) -> dict[str, Any]:
    """What a job prepares, in words; one that this version cannot read keeps its title."""
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


# What is on the page.


@dataclass(frozen=True)
class Tab:
    """What is to be reviewed and by whom, what so many votes can show; jobs and reviews; one review and its results."""

    form: gr.HTML
    plan: gr.HTML
    board: gr.HTML
    opened: gr.HTML


def layout() -> Tab:
    """Draw the page in the current Blocks; the script shows one page at a time."""
    with gr.Column(elem_id="pg-reviews"):
        with gr.Row(elem_id="pg-reviews-ask"):
            form = drawn("reviewForm", signals="'model' 'plan' 'begin'", elem_id="pg-reviews-form")
            plan = drawn("reviewPlan", elem_id="pg-reviews-plan")
        board = drawn("reviewBoard", signals="'look' 'cancel' 'again' 'remove'", elem_id="pg-reviews-board")
        opened = drawn("reviewOpened", signals="'open' 'close' 'invite' 'exclude' 'link'", elem_id="pg-reviews-opened")
        drawn("reviewList", elem_id="pg-reviews-list")
    return Tab(form, plan, board, opened)


# The form, as a spec or as runs.


def from_runs(data: Mapping[str, Any]) -> bool:
    """Whether the answers are those of stored comparisons."""
    return data.get("source") == "runs"


def run_ids(data: Mapping[str, Any]) -> list[str]:
    """Raises InvalidRequest."""
    found = data.get("runs")
    listed = [one[:64] for one in found if isinstance(one, str)] if isinstance(found, list) else []
    if not listed:
        raise InvalidRequest("No comparison is chosen.", hint="Each one is a prompt with its answers.")
    if len(listed) > MAX_RUNS:
        raise InvalidRequest(f"{len(listed)} comparisons are chosen.", hint=f"Allowed: {MAX_RUNS}.")
    return list(dict.fromkeys(listed))


def spec(data: Mapping[str, Any]) -> ReviewSpec:
    """Raises PlaygroundError."""
    found = ReviewSpec(
        variants=forms.variants(data),
        prompts=prompt_set(data),
        terms=terms(data),
        sampling=sampling(data),
    )
    found.check()
    return found


def prompt_set(data: Mapping[str, Any]) -> PromptSet:
    """Bundled, pasted or a file's. Raises InvalidRequest."""
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
    """Raises InvalidRequest."""
    typed = data.get("invitations")
    lines = (typed if isinstance(typed, str) else "")[:MAX_NAMES].replace(",", "\n").splitlines()
    names = tuple(dict.fromkeys(name.strip()[:100] for name in lines if name.strip()))
    if len(names) > MAX_INVITATIONS:
        raise InvalidRequest(f"{len(names)} reviewers are named.", hint=f"Allowed: {MAX_INVITATIONS}.")
    return Terms(
        title=_text(data, "title") or TITLE,
        pairs=cast(Pairs, _text(data, "pairs") or "reference"),
        reveal=cast(Reveal, _text(data, "reveal") or "end"),
        invitations=names,
        places=whole(data.get("places") or 0, "The number of places") if data.get("common") else 0,
    )


def sampling(data: Mapping[str, Any]) -> Sampling:
    """Raises InvalidRequest."""
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
    found = data.get(key)
    return found.strip()[:300] if isinstance(found, str) else ""
