"""The Evaluate page: its form, its parts and their events. Jobs run in other processes; no event blocks for long.

The form becomes a job's spec, and none of its fields is trusted. An open page polls `look`: at most twice a second
while a job runs, rarely otherwise.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from playground import models as catalog
from playground.core import Variant
from playground.errors import InvalidRequest, PlaygroundError, UnknownRun
from playground.evaluate import board, estimate, tasks
from playground.evaluate.board import Board, view
from playground.evaluate.estimate import Expected
from playground.evaluate.spec import (
    BATCH_SIZE,
    TEXT_TOKENS,
    Conditions,
    DivergenceSpec,
    EvaluateSpec,
    Passage,
    arguments,
)
from playground.evaluate.tasks import TaskChoice
from playground.jobs import kinds
from playground.machine import busy
from playground.metrics.stats import smallest_drop
from playground.models import names
from playground.store import database, runs
from playground.store.schema import Run
from playground.texts import hub
from playground.texts.prose import BUNDLED
from playground.web import event_data
from playground.web import gradio as gr
from playground.web.forms import MAX_NAME, field_names, field_text, variant_row, variants, whole
from playground.web.jobs import Queue
from playground.web.owner import Rules
from playground.web.theme import html_part
from playground.web.values import inert

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
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
QUICK: dict[str, Any] = {"queue": False, **PRIVATE}
log = logging.getLogger(__name__)


def form_value(
    model: str,
    variants: Sequence[Variant] = (),
    origin: str = "",
    error: PlaygroundError | None = None,
    refusal: PlaygroundError | None = None,
) -> str:
    """Return the value of the form: variants, tasks and defaults. `refusal`: why this visitor may not start jobs."""
    stored = set(names.stored(model)) if error is None else set()
    model_names = [name for name in catalog.models() if not name.startswith("@")]
    return inert(
        {
            "model": model,
            "models": model_names if model in model_names else [model, *model_names],
            "origin": origin,
            "variants": [variant_row(variant, variant.name in stored) for variant in variants],
            "tasks": default_tasks(),
            "default": {"limit": LIMIT, "batch_size": BATCH_SIZE, "text": BUNDLED, "tokens": TEXT_TOKENS},
            "error": _error_text(error),
            "refusal": _error_text(refusal),
        }
    )


def default_tasks() -> list[dict[str, Any]]:
    """Return the tasks that are listed without a search: the bundled ones, then the presets."""
    bundled = [row.choice() for row in tasks.bundled().values() if not row.group]
    presets = [TaskChoice(name, title, False, False, False) for name, (title, _) in tasks.PRESETS.items()]
    return [_task(choice) for choice in (*bundled, *presets)]


def search_results(
    serial: object, text: str, choices: Sequence[TaskChoice], error: PlaygroundError | None = None
) -> str:
    """Return the value of a search."""
    return inert(
        {
            "serial": serial,
            "text": text,
            "tasks": [_task(choice) for choice in choices[:MAX_RESULTS]],
            "more": max(0, len(choices) - MAX_RESULTS),
            "error": _error_text(error),
        }
    )


def _task(choice: TaskChoice) -> dict[str, Any]:
    return asdict(choice) | {"full": tasks.items(choice.name), "about": ABOUT.get(choice.name, "")}


def plan(serial: object, spec: AnySpec, expected: Expected) -> str:
    """Return the value of the plan: items, estimated time and the smallest drop that each task can show."""
    count = len(spec.variants)
    if isinstance(spec, DivergenceSpec):
        return inert(
            {
                "serial": serial,
                "variants": count,
                "tasks": [],
                "text": {"name": spec.text, "tokens": spec.tokens, "alone": True},
                "speed": False,
                "button": f"Measure the divergence of {count - 1} variant{'' if count == 2 else 's'}",
                "time": _time(expected),
            }
        )
    limit = spec.conditions.limit
    rows = [_row(name, limit) for name in tasks.without_bundled_groups(spec.conditions.tasks)]
    item_total = None if None in [row["n"] for row in rows] else sum(row["n"] for row in rows)
    text = spec.divergence
    return inert(
        {
            "serial": serial,
            "variants": count,
            "tasks": rows,
            "items": item_total,
            "answers": None if item_total is None else item_total * count,
            "sample": limit is not None,
            "discordance": DISCORDANCE,
            "button": button(count, len(rows)),
            "text": {"name": text.text, "tokens": text.tokens, "alone": False} if text else None,
            "speed": spec.speed,
            "time": _time(expected),
        }
    )


def _time(expected: Expected) -> dict[str, Any]:
    return expected.as_dict() | {"measures": expected.measures}


def button(variants: int, count: int) -> str:
    """Return "Evaluate 3 variants on 4 tasks"."""
    return f"Evaluate {variants} variants on {count} task{'' if count == 1 else 's'}"


def _row(name: str, limit: int | None) -> dict[str, Any]:
    n = tasks.item_count(name, limit)
    return {
        "name": name,
        "n": n,
        "full": tasks.items(name),
        "smallest_drop": None if n is None else smallest_drop(n, DISCORDANCE),
    }


def plan_error(serial: object, error: PlaygroundError) -> str:
    """Return the value of the plan for a form that is not valid."""
    return inert({"serial": serial, "error": _error_text(error)})


def _error_text(error: PlaygroundError | None) -> list[str] | None:
    return [error.message, error.hint] if error else None


class Evaluate:
    """The events of the page over one queue. `rules`: who may start, cancel and delete, and what visitors may see."""

    def __init__(self, tab: Tab, queue: Queue, rules: Rules) -> None:
        self.tab, self.queue, self.rules, self.owner = tab, queue, rules, rules.owner
        self.board = Board(queue)
        self._searching, self._measuring = threading.Lock(), threading.Lock()

    def wire(self) -> None:
        form, board = self.tab.form, self.tab.board
        # "multiple": every event gets a response, and the page uses that of its last one.
        for event, handler, output in (
            (form.model, self.choose, form),
            (form.search, self.search, self.tab.tasks),
            (form.plan, self.plan, self.tab.plan),
            (form.begin, self.begin, board),
            (board.look, self.look, board),
            (board.cancel, self.cancel, board),
            (board.again, self.again, board),
            (board.remove, self.remove, board),
            (self.tab.run.open, self.open, self.tab.run),
            (self.tab.items.browse, self.browse, self.tab.items),
        ):
            event(handler, None, output, trigger_mode="multiple", **QUICK)
        form.pace(self.pace, None, self.tab.plan, concurrency_limit=2, trigger_mode="multiple", **PRIVATE)

    # ---- the form
    def choose(self, data: gr.EventData, request: gr.Request) -> str:
        refusal = self.owner.refusal(request)
        name = event_data.text(data, "name") or self.rules.opens_with(request)
        try:
            self.rules.check_model(request, name)
            model, _ = catalog.split(name)
            return form_value(model, catalog.variants(model), catalog.describe(model), refusal=refusal)
        except PlaygroundError as error:
            return form_value(name, error=error, refusal=refusal)

    def search(self, data: gr.EventData, request: gr.Request) -> str:
        """Return the tasks whose names match. The first search builds lm-eval's index, in a subprocess."""
        serial, text = event_data.serial(data), event_data.text(data, "text")
        try:
            self.owner.check(request)
            with self._searching:
                return search_results(serial, text, tasks.search(text))
        except PlaygroundError as error:
            return search_results(serial, text, [], error)

    def plan(self, data: gr.EventData, request: gr.Request) -> str:
        return self._plan(data, request, measure=False)

    def pace(self, data: gr.EventData, request: gr.Request) -> str:
        """Return the plan after measuring the pace of its variants, which takes some seconds each the first time."""
        if self.owner.refusal(request) is not None:
            return self._plan(data, request, measure=False)
        with self._measuring:
            return self._plan(data, request, measure=True)

    def _plan(self, data: gr.EventData, request: gr.Request, *, measure: bool) -> str:
        serial = event_data.serial(data)
        try:
            self.rules.check_model(request, *variant_names(event_data.values(data)))
            spec = spec_of(event_data.values(data))
            return plan(serial, spec, _expected(spec, measure=measure))
        except PlaygroundError as error:
            return plan_error(serial, error)

    def begin(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: kinds.start(spec_of(event_data.values(data)), self.queue.submit))

    # ---- jobs and runs
    def look(self, data: gr.EventData, request: gr.Request) -> str:
        return self._value(data, request)

    def cancel(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: self.queue.cancel(event_data.text(data, "id")))

    def again(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: self.queue.again(event_data.text(data, "id")))

    def remove(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: _remove(event_data.text(data, "id")))

    def _owned(self, data: gr.EventData, request: gr.Request, action: Callable[[], Any]) -> str:
        """Run an action that only the owner may run, then return the value of the board."""
        return self._value(data, request, self.owner.attempt(request, action))

    def _value(self, data: gr.EventData, request: gr.Request, error: PlaygroundError | None = None) -> str:
        owner = self.owner.refusal(request) is None
        return self.board.value(event_data.serial(data), event_data.ids(data, "logs"), error, owner=owner)

    # ---- one run
    def open(self, data: gr.EventData, request: gr.Request) -> str:
        run_id = event_data.text(data, "id")
        try:
            return inert(view(_run(run_id), owner=self.owner.refusal(request) is None))
        except PlaygroundError as error:
            return inert({"id": run_id, "error": [error.message, error.hint]})

    def browse(self, data: gr.EventData) -> str:
        values, run_id = event_data.values(data), event_data.text(data, "id")
        envelope = {"id": run_id, "serial": event_data.serial(data)}
        try:
            run = _run(run_id)
            better = {task["name"]: bool(task["higher_is_better"]) for task in run.result.get("tasks") or ()}
            page = board.page(
                run.id, better, event_data.text(data, "task"), len(run.variants),
                event_data.whole(values.get("variant")),
                event_data.text(data, "show"), event_data.whole(values.get("offset")),
            )  # fmt: skip
            return inert(page | envelope)
        except PlaygroundError as error:
            return inert(envelope | {"error": [error.message, error.hint]})


def _expected(spec: AnySpec, *, measure: bool) -> Expected:
    """Return the estimated time; one without seconds if the estimate fails, because a job may start without it."""
    try:
        return estimate.expected(spec, estimate.tasks_of(spec), measure=measure, busy=max(0.0, busy() - 1))
    except (PlaygroundError, OSError, SQLAlchemyError) as error:
        log.info("No estimate: %s", error)
        return Expected(None, missing=(f"How long it takes cannot be said: {error}",))


def _run(run_id: str) -> Run:
    if not database.exists():
        raise UnknownRun(f"There is no run {run_id[:40]!r}.", hint="Nothing was stored here yet.")
    return runs.get(run_id)


def _remove(run_id: str) -> None:
    if not database.exists() or not runs.remove(run_id):
        raise UnknownRun(f"There is no run {run_id[:40]!r}.", hint="It was deleted before.")


# What is on the page.


@dataclass(frozen=True)
class Tab:
    """The parts: form, results of a search, plan; jobs and runs; one run and its items."""

    form: gr.HTML
    tasks: gr.HTML
    plan: gr.HTML
    board: gr.HTML
    run: gr.HTML
    items: gr.HTML


def layout() -> Tab:
    """Add the page to the current Blocks; the script shows one page at a time."""
    with gr.Column(elem_id="pg-evaluate"):
        with gr.Row(elem_id="pg-evaluate-ask"):
            form = html_part(
                "evaluateForm", signals="'model' 'search' 'plan' 'pace' 'begin'", elem_id="pg-evaluate-form"
            )
            plan = html_part("evaluatePlan", elem_id="pg-evaluate-plan")
        tasks = html_part("evaluateTasks", elem_id="pg-evaluate-tasks")
        board = html_part("evaluateBoard", signals="'look' 'cancel' 'again' 'remove'", elem_id="pg-evaluate-board")
        run = html_part("evaluateRun", signals="'open'", elem_id="pg-evaluate-run")
        items = html_part("evaluateItems", signals="'browse'", elem_id="pg-evaluate-items")
        html_part("evaluateRuns", elem_id="pg-evaluate-runs")
    return Tab(form, tasks, plan, board, run, items)


# The form, as a spec.


def spec_of(data: Mapping[str, Any]) -> AnySpec:
    """Return the spec of a form; without tasks that of a divergence, which has no speed. Raises PlaygroundError."""
    ids, passage = variants(data), divergence(data)
    if passage is not None and not data.get("tasks"):
        return DivergenceSpec(variants=ids, text=passage.text, tokens=passage.tokens)
    return EvaluateSpec(
        variants=ids,
        conditions=conditions(data),
        engine=field_text(data, "engine"),
        divergence=passage,
        speed=bool(data.get("speed")),
    )


def variant_names(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of all variants in the form, whether they exist or not."""
    return tuple(filter(None, (field_text(data, "reference", MAX_NAME), *field_names(data, "variants"))))


def conditions(data: Mapping[str, Any]) -> Conditions:
    """Return the tasks and settings of a form. Raises InvalidRequest."""
    tasks = field_names(data, "tasks")
    if len(tasks) > MAX_TASKS:
        raise InvalidRequest(f"{len(tasks)} tasks are chosen; {MAX_TASKS} at once is the limit.", hint="Use a group.")
    chat_template = bool(data.get("chat_template"))
    return Conditions(
        tasks=tasks,
        limit=_optional(data, "limit", "The limit"),
        few_shot=_optional(data, "few_shot", "Few-shot"),
        chat_template=chat_template,
        multiturn=chat_template and bool(data.get("multiturn")),
        generation=arguments(field_text(data, "generation")),
        strip_thinking=bool(data.get("strip_thinking")),
        batch_size=_optional(data, "batch_size", "The batch size") or BATCH_SIZE,
        seed=_optional(data, "seed", "The seed"),
    )


def divergence(data: Mapping[str, Any]) -> Passage | None:
    """Return the text of the divergence; None where the form leaves it out. Raises InvalidRequest."""
    if not data.get("divergence"):
        return None
    text = field_text(data, "text") or BUNDLED
    if text != BUNDLED:
        hub.check(text, "or leave it at the bundled text")
    tokens = _optional(data, "tokens", "Tokens of text") or TEXT_TOKENS
    if tokens > MAX_TOKENS:
        raise InvalidRequest(f"{tokens:,} tokens of text are too many: {MAX_TOKENS:,} is the limit.")
    return Passage(text=text, tokens=tokens)


def _optional(data: Mapping[str, Any], key: str, name: str) -> int | None:
    """Return a whole number; None for an empty field. Raises InvalidRequest."""
    value = data.get(key)
    return None if value is None or not str(value).strip() else whole(value, name)
