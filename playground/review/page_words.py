"""What the Reviews page says before anything runs: the form, and what so many votes can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from playground import models as catalog
from playground.core import Variant
from playground.errors import PlaygroundError
from playground.evaluate.words import variant_row
from playground.metrics.stats import smallest_drop
from playground.models import names
from playground.review import make
from playground.review.make import TITLE, Terms
from playground.review.spec import SAMPLING, ReviewSpec
from playground.store import database, runs
from playground.web.values import inert

RUNS_OFFERED = 60
UNDECIDED = 0.2  # share of votes that prefer nobody, for what can be said before there is one
SECONDS = 25  # that a person takes for a pair of short answers


def form(
    model: str,
    found: Sequence[Variant] = (),
    origin: str = "",
    error: PlaygroundError | None = None,
    refusal: PlaygroundError | None = None,
) -> str:
    """The value of the form. To whoever is not the owner it says only why."""
    said: dict[str, Any] = {"error": _said(error), "refusal": _said(refusal), "model": model}
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
            **_shows(count, asked.items, asked.terms),
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
            **_shows(count, count, terms),
        }
    )


def _shows(prompts_: int, items: int, terms: Terms) -> dict[str, Any]:
    return {
        "sees": 0.5 + smallest_drop(prompts_, 1 - UNDECIDED) / 2,
        "minutes": max(1, round(items * SECONDS / 60)),
        "reviewers": len(terms.invitations),
        "places": terms.places,
    }


def refused(serial: object, error: PlaygroundError) -> str:
    """The value of the plan when there is none."""
    return inert({"serial": serial, "error": _said(error)})


def _said(error: PlaygroundError | None) -> list[str] | None:
    return [error.message, error.hint] if error else None
