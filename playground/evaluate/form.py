"""What the Evaluate page shows before a job: the form's choices, and the plan of what is asked for.

Values are JSON. Requests are specs (`spec.py`); `checked` says which of them a client may start.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from playground import models
from playground.errors import InvalidRequest, PlaygroundError
from playground.evaluate import estimate, tasks
from playground.evaluate.estimate import Expected
from playground.evaluate.spec import BATCH_SIZE, DROP, TEXT_TOKENS, DivergenceSpec, EvaluateSpec, Passage
from playground.evaluate.tasks import TaskChoice
from playground.machine import busy
from playground.metrics.stats import items_to_detect, smallest_drop
from playground.models import names
from playground.texts import hub
from playground.texts.prose import BUNDLED
from playground.web.forms import addresses, variant_row

ABOUT = {
    "coqa": "conversations about a passage, F1",
    "gsm8k": "grade-school word problems, exact match",
    "bundled_reading": "conversations about a passage, F1",
    "bundled_math": "word problems, exact match",
    "bundled_facts": "multiple choice, accuracy",
    "bundled_cloze": "last word of a passage, accuracy",
}
LIMIT = 100
DISCORDANCE = 0.10  # assumed share of answers that change: typical of small models in 4 bits; a run measures its own
MAX_RESULTS = 60  # tasks of one search
MAX_TASKS = 32
MAX_TOKENS = 1_000_000
AnySpec = EvaluateSpec | DivergenceSpec
log = logging.getLogger(__name__)


def checked(spec: AnySpec) -> AnySpec:
    """Return the spec with the addresses of variants that exist here. Raises PlaygroundError.

    A text is bundled or a data set of the hub, never a file: who asks may be on another machine.
    """
    reference, *others = spec.variants
    passage: DivergenceSpec | Passage | None = spec if isinstance(spec, DivergenceSpec) else spec.divergence
    if passage is not None and passage.text != BUNDLED:
        hub.check(passage.text, "or leave it at the bundled text")
    if passage is not None and passage.tokens > MAX_TOKENS:
        raise InvalidRequest(f"{passage.tokens:,} tokens of text are too many: {MAX_TOKENS:,} is the limit.")
    if isinstance(spec, EvaluateSpec) and len(spec.conditions.tasks) > MAX_TASKS:
        count = len(spec.conditions.tasks)
        raise InvalidRequest(f"{count} tasks are chosen; the limit is {MAX_TASKS} at once.", hint="Use a group.")
    return spec.changed(variants=addresses(reference, others))


# The form.


def form(model: str) -> dict[str, Any]:
    """Return what can be chosen for a model: its variants, the tasks without a search, and defaults.

    Raises CatalogError.
    """
    stored = set(names.stored(model))
    others = [name for name in models.models() if not name.startswith("@")]
    return {
        "model": model,
        "models": others if model in others else [model, *others],
        "origin": models.describe(model),
        "variants": [variant_row(variant, variant.name in stored) for variant in models.variants(model)],
        "tasks": default_tasks(),
        "default": {
            "limit": LIMIT,
            "batch_size": BATCH_SIZE,
            "text": BUNDLED,
            "tokens": TEXT_TOKENS,
            "drop": DROP,
        },
    }


def default_tasks() -> list[dict[str, Any]]:
    """Return the tasks that are listed without a search: the bundled ones, then the presets."""
    bundled = [row.choice() for row in tasks.bundled().values() if not row.group]
    presets = [TaskChoice(name, title, False, False, False) for name, (title, _) in tasks.PRESETS.items()]
    return [_task(choice) for choice in (*bundled, *presets)]


def search_results(choices: Sequence[TaskChoice]) -> dict[str, Any]:
    """Return the tasks of a search; "more" counts those that are left out."""
    return {
        "tasks": [_task(choice) for choice in choices[:MAX_RESULTS]],
        "more": max(0, len(choices) - MAX_RESULTS),
    }


def _task(choice: TaskChoice) -> dict[str, Any]:
    return asdict(choice) | {"full": tasks.items(choice.name), "about": ABOUT.get(choice.name, "")}


# The plan.


def plan(spec: AnySpec, *, measure: bool, drop: float = DROP) -> dict[str, Any]:
    """Return the plan of a spec: items, estimated time, and the smallest drop that each task can detect."""
    expected, count = _expected(spec, measure=measure), len(spec.variants) - 1
    variants = f"{count} variant{'' if count == 1 else 's'}"
    if isinstance(spec, DivergenceSpec):
        return {
            "variants": count,
            "tasks": [],
            "text": {"name": spec.text, "tokens": spec.tokens, "alone": True},
            "speed": False,
            "button": f"Measure the divergence of {variants}",
            "time": _time(expected),
            "power": None,
        }
    limit = spec.conditions.limit
    rows = [_row(name, limit) for name in tasks.without_bundled_groups(spec.conditions.tasks)]
    item_total = None if None in [row["n"] for row in rows] else sum(row["n"] for row in rows)
    text = spec.divergence
    return {
        "variants": count,
        "tasks": rows,
        "items": item_total,
        "answers": None if item_total is None else item_total * len(spec.variants),
        "sample": limit is not None,
        "discordance": DISCORDANCE,
        "button": f"Evaluate {variants} on {len(rows)} task{'' if len(rows) == 1 else 's'}",
        "text": {"name": text.text, "tokens": text.tokens, "alone": False} if text else None,
        "speed": spec.speed,
        "time": _time(expected),
        "power": _power(spec, rows, expected, drop, measure=measure),
    }


def _row(name: str, limit: int | None) -> dict[str, Any]:
    n = tasks.item_count(name, limit)
    return {
        "name": name,
        "n": n,
        "full": tasks.items(name),
        "smallest_drop": None if n is None else smallest_drop(n, DISCORDANCE),
    }


def _power(
    spec: EvaluateSpec, rows: Sequence[dict[str, Any]], expected: Expected, drop: float, *, measure: bool
) -> dict[str, Any]:
    """Return how many items of each task detect `drop`, how long they take, and which tasks have fewer."""
    items = items_to_detect(drop, DISCORDANCE)
    short = [row["name"] for row in rows if row["full"] is not None and row["full"] < items]
    enough = all(row["n"] is not None and row["n"] >= items for row in rows)
    seconds = None
    if expected.seconds is not None and not enough:
        larger = spec.changed(conditions=spec.conditions.changed(limit=items))
        seconds = _time(_expected(larger, measure=measure))["seconds"]
    return {"drop": drop, "items": items, "short": short, "enough": enough, "seconds": seconds}


def _time(expected: Expected) -> dict[str, Any]:
    return expected.as_dict() | {"measures": expected.measures}


def _expected(spec: AnySpec, *, measure: bool) -> Expected:
    """Return the estimated time; one without seconds if the estimate fails, because a job may start without it."""
    try:
        return estimate.expected(spec, estimate.tasks_of(spec), measure=measure, busy=max(0.0, busy() - 1))
    except (PlaygroundError, OSError, SQLAlchemyError) as error:
        log.info("No estimate: %s", error)
        return Expected(None, missing=(f"The time cannot be estimated: {error}",))
