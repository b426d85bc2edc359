"""What the Evaluate page says before anything runs: the form, and what a choice will take and can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from playground import models as catalog
from playground.core import Variant
from playground.engines import base
from playground.errors import PlaygroundError
from playground.evaluate import tasks
from playground.evaluate.estimate import Expected
from playground.evaluate.form import BUNDLED_TEXT, TOKENS, Asked
from playground.evaluate.spec import BATCH_SIZE, DivergenceSpec
from playground.evaluate.tasks import TaskChoice
from playground.metrics.stats import smallest_drop
from playground.models import names
from playground.web.values import inert, size

ABOUT = {
    "coqa": "conversations about a passage, F1",
    "gsm8k": "grade-school word problems, exact match",
    "bundled_reading": "conversations about a passage, F1",
    "bundled_math": "word problems, exact match",
    "bundled_facts": "multiple choice, accuracy",
    "bundled_cloze": "last word of a passage, accuracy",
}
LIMIT = 100
DISCORDANCE = 0.10  # share of answers that change: what 4-bit weights do to small models; measured once it ran
FOUND = 60  # names of one search


def form(
    model: str,
    found: Sequence[Variant] = (),
    origin: str = "",
    error: PlaygroundError | None = None,
    refusal: PlaygroundError | None = None,
) -> str:
    """The value of the form: what there is to compare, and on what. `refusal`: why whoever asks may only look."""
    made = set(names.stored(model)) if error is None else set()
    models = [name for name in catalog.models() if not name.startswith("@")]
    return inert(
        {
            "model": model,
            "models": models if model in models else [model, *models],
            "origin": origin,
            "variants": [variant_row(variant, variant.name in made) for variant in found],
            "tasks": offered(),
            "default": {"limit": LIMIT, "batch_size": BATCH_SIZE, "text": BUNDLED_TEXT, "tokens": TOKENS},
            "error": _said(error),
            "refusal": _said(refusal),
        }
    )


def variant_row(variant: Variant, stored: bool) -> dict[str, Any]:
    """One variant of a form: what it is, and why it cannot be chosen."""
    options = base.options(variant)
    why = "" if any(option.runs for option in options) else next((option.why for option in options), "")
    return {
        "id": variant.id,
        "label": variant.label,
        "size": size(variant),
        "bits": variant.bits_per_weight,
        "reference": variant.is_reference,
        "source": variant.source,
        "stored": stored,
        "why": why,
    }


def offered() -> list[dict[str, Any]]:
    """The tasks that are shown before anybody searches: the bundled ones, then the presets."""
    bundled = [row.choice() for row in tasks.bundled().values() if not row.group]
    presets = [TaskChoice(name, title, False, False, False) for name, (title, _) in tasks.PRESETS.items()]
    return [_task(choice) for choice in (*bundled, *presets)]


def found(serial: object, text: str, choices: Sequence[TaskChoice], error: PlaygroundError | None = None) -> str:
    """The value of a search."""
    return inert(
        {
            "serial": serial,
            "text": text,
            "tasks": [_task(choice) for choice in choices[:FOUND]],
            "more": max(0, len(choices) - FOUND),
            "error": _said(error),
        }
    )


def _task(choice: TaskChoice) -> dict[str, Any]:
    return asdict(choice) | {"full": tasks.items(choice.name), "about": ABOUT.get(choice.name, "")}


def plan(serial: object, asked: Asked, expected: Expected) -> str:
    """What it will take and what it can show."""
    count = len(asked.variants)
    if isinstance(asked, DivergenceSpec):
        return inert(
            {
                "serial": serial,
                "variants": count,
                "tasks": [],
                "text": {"name": asked.text, "tokens": asked.tokens, "alone": True},
                "speed": False,
                "button": f"Measure the divergence of {count - 1} variant{'' if count == 2 else 's'}",
                "time": _time(expected),
            }
        )
    limit = asked.conditions.limit
    rows = [_row(name, limit) for name in tasks.single(asked.conditions.tasks)]
    every = None if None in [row["n"] for row in rows] else sum(row["n"] for row in rows)
    text = asked.divergence
    return inert(
        {
            "serial": serial,
            "variants": count,
            "tasks": rows,
            "items": every,
            "answers": None if every is None else every * count,
            "sample": limit is not None,
            "discordance": DISCORDANCE,
            "button": button(count, len(rows)),
            "text": {"name": text["text"], "tokens": text["tokens"], "alone": False} if text else None,
            "speed": asked.speed,
            "time": _time(expected),
        }
    )


def _time(expected: Expected) -> dict[str, Any]:
    return expected.as_dict() | {"measures": expected.measures}


def button(variants: int, count: int) -> str:
    """ "Evaluate 3 variants on 4 tasks"."""
    return f"Evaluate {variants} variants on {count} task{'' if count == 1 else 's'}"


def _row(name: str, limit: int | None) -> dict[str, Any]:
    n = tasks.asked(name, limit)
    return {
        "name": name,
        "n": n,
        "full": tasks.items(name),
        "smallest_drop": None if n is None else smallest_drop(n, DISCORDANCE),
    }


def refused(serial: object, error: PlaygroundError) -> str:
    """The value of the plan when there is none."""
    return inert({"serial": serial, "error": _said(error)})


def _said(error: PlaygroundError | None) -> list[str] | None:
    return [error.message, error.hint] if error else None
