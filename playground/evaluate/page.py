"""The Evaluate page: its form, its parts, and what happens on it. Jobs run elsewhere; no event here takes long.

What the form sends becomes a job's spec, and nothing of it is trusted. The page asks (`look`) while it is open: twice a
second at most while a job runs, rarely otherwise.
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
from playground.web.forms import MAX_NAME, _names, _text, variant_row, variants, whole
from playground.web.jobs import Queue
from playground.web.owner import Rules
from playground.web.theme import drawn
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
DISCORDANCE = 0.10  # share of answers that change: what 4-bit weights do to small models; measured once it ran
FOUND = 60  # names of one search
MAX_TASKS = 32
MAX_TOKENS = 1_000_000
Asked = EvaluateSpec | DivergenceSpec
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
QUICK: dict[str, Any] = {"queue": False, **PRIVATE}
log = logging.getLogger(__name__)


def form_value(
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
            "default": {"limit": LIMIT, "batch_size": BATCH_SIZE, "text": BUNDLED, "tokens": TEXT_TOKENS},
            "error": _said(error),
            "refusal": _said(refusal),
        }
    )


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
    rows = [_row(name, limit) for name in tasks.without_bundled_groups(asked.conditions.tasks)]
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
            "text": {"name": text.text, "tokens": text.tokens, "alone": False} if text else None,
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
    n = tasks.item_count(name, limit)
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


class Evaluate:
    """The events of the page over one queue. `rules`: who may start, end and delete, and what visitors may look at."""

    def __init__(self, tab: Tab, queue: Queue, rules: Rules) -> None:
        self.tab, self.queue, self.rules, self.owner = tab, queue, rules, rules.owner
        self.board = Board(queue)
        self._searching, self._measuring = threading.Lock(), threading.Lock()

    def wire(self) -> None:
        form, board = self.tab.form, self.tab.board
        # "multiple": each question is answered, and the page takes the answer to its last one.
        for event, act, shown in (
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
            event(act, None, shown, trigger_mode="multiple", **QUICK)
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
        """Names of tasks. The first search makes lm-eval's index, in a process of its own."""
        serial, text = event_data.serial(data), event_data.text(data, "text")
        try:
            self.owner.check(request)
            with self._searching:
                return found(serial, text, tasks.search(text))
        except PlaygroundError as error:
            return found(serial, text, [], error)

    def plan(self, data: gr.EventData, request: gr.Request) -> str:
        return self._plan(data, request, measure=False)

    def pace(self, data: gr.EventData, request: gr.Request) -> str:
        """The plan once the pace of its variants is measured here: some seconds each, the first time."""
        if self.owner.refusal(request) is not None:
            return self._plan(data, request, measure=False)
        with self._measuring:
            return self._plan(data, request, measure=True)

    def _plan(self, data: gr.EventData, request: gr.Request, *, measure: bool) -> str:
        serial = event_data.serial(data)
        try:
            self.rules.check_model(request, *named(event_data.values(data)))
            asked = spec(event_data.values(data))
            return plan(serial, asked, _expected(asked, measure=measure))
        except PlaygroundError as error:
            return refused(serial, error)

    def begin(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: kinds.start(spec(event_data.values(data)), self.queue.submit))

    # ---- jobs and runs
    def look(self, data: gr.EventData, request: gr.Request) -> str:
        return self._value(data, request)

    def cancel(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: self.queue.cancel(event_data.text(data, "id")))

    def again(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: self.queue.again(event_data.text(data, "id")))

    def remove(self, data: gr.EventData, request: gr.Request) -> str:
        return self._owned(data, request, lambda: _remove(event_data.text(data, "id")))

    def _owned(self, data: gr.EventData, request: gr.Request, act: Callable[[], Any]) -> str:
        """Do what only the owner may, then look."""
        return self._value(data, request, self.owner.attempt(request, act))

    def _value(self, data: gr.EventData, request: gr.Request, error: PlaygroundError | None = None) -> str:
        owner = self.owner.refusal(request) is None
        return self.board.value(event_data.serial(data), event_data.ids(data, "logs"), error, owner=owner)

    # ---- one run
    def open(self, data: gr.EventData, request: gr.Request) -> str:
        wanted = event_data.text(data, "id")
        try:
            return inert(view(_run(wanted), owner=self.owner.refusal(request) is None))
        except PlaygroundError as error:
            return inert({"id": wanted, "error": [error.message, error.hint]})

    def browse(self, data: gr.EventData) -> str:
        sent, wanted = event_data.values(data), event_data.text(data, "id")
        said = {"id": wanted, "serial": event_data.serial(data)}
        try:
            run = _run(wanted)
            better = {task["name"]: bool(task["higher_is_better"]) for task in run.result.get("tasks") or ()}
            found = board.page(
                run.id, better, event_data.text(data, "task"), len(run.variants),
                event_data.whole(sent.get("variant")),
                event_data.text(data, "show"), event_data.whole(sent.get("offset")),
            )  # fmt: skip
            return inert(found | said)
        except PlaygroundError as error:
            return inert(said | {"error": [error.message, error.hint]})


def _expected(asked: Asked, *, measure: bool) -> Expected:
    """How long it will take. That nothing can be said of it is no reason not to run it."""
    try:
        return estimate.expected(asked, estimate.tasks_of(asked), measure=measure, busy=max(0.0, busy() - 1))
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
    """What to measure, the tasks that a search finds, what a choice can show; jobs and runs; one run and its items."""

    form: gr.HTML
    tasks: gr.HTML
    plan: gr.HTML
    board: gr.HTML
    run: gr.HTML
    items: gr.HTML


def layout() -> Tab:
    """Draw the page in the current Blocks; the script shows one page at a time."""
    with gr.Column(elem_id="pg-evaluate"):
        with gr.Row(elem_id="pg-evaluate-ask"):
            form = drawn("evaluateForm", signals="'model' 'search' 'plan' 'pace' 'begin'", elem_id="pg-evaluate-form")
            plan = drawn("evaluatePlan", elem_id="pg-evaluate-plan")
        tasks = drawn("evaluateTasks", elem_id="pg-evaluate-tasks")
        board = drawn("evaluateBoard", signals="'look' 'cancel' 'again' 'remove'", elem_id="pg-evaluate-board")
        run = drawn("evaluateRun", signals="'open'", elem_id="pg-evaluate-run")
        items = drawn("evaluateItems", signals="'browse'", elem_id="pg-evaluate-items")
        drawn("evaluateRuns", elem_id="pg-evaluate-runs")
    return Tab(form, tasks, plan, board, run, items)


# The form, as a spec.


def spec(data: Mapping[str, Any]) -> Asked:
    """The form as a spec; without tasks a divergence alone, which has no speed beside it. Raises PlaygroundError."""
    chosen, distance = variants(data), divergence(data)
    if distance is not None and not data.get("tasks"):
        return DivergenceSpec(variants=chosen, text=distance.text, tokens=distance.tokens)
    return EvaluateSpec(
        variants=chosen,
        conditions=conditions(data),
        engine=_text(data, "engine"),
        divergence=distance,
        speed=bool(data.get("speed")),
    )


def named(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Every variant that the form names, before any is looked up."""
    return tuple(filter(None, (_text(data, "reference", MAX_NAME), *_names(data, "variants"))))


def conditions(data: Mapping[str, Any]) -> Conditions:
    """What every variant is asked, and how. Raises InvalidRequest."""
    tasks = _names(data, "tasks")
    if len(tasks) > MAX_TASKS:
        raise InvalidRequest(f"{len(tasks)} tasks are chosen; {MAX_TASKS} at once is the limit.", hint="Use a group.")
    chat = bool(data.get("chat_template"))
    return Conditions(
        tasks=tasks,
        limit=_optional(data, "limit", "The limit"),
        few_shot=_optional(data, "few_shot", "Few-shot"),
        chat_template=chat,
        multiturn=chat and bool(data.get("multiturn")),
        generation=arguments(_text(data, "generation")),
        strip_thinking=bool(data.get("strip_thinking")),
        batch_size=_optional(data, "batch_size", "The batch size") or BATCH_SIZE,
        seed=_optional(data, "seed", "The seed"),
    )


def divergence(data: Mapping[str, Any]) -> Passage | None:
    """The text that both read, where the distributions are to be compared. Raises InvalidRequest."""
    if not data.get("divergence"):
        return None
    text = _text(data, "text") or BUNDLED
    if text != BUNDLED:
        hub.check(text, "or leave it at the bundled text")
    tokens = _optional(data, "tokens", "Tokens of text") or TEXT_TOKENS
    if tokens > MAX_TOKENS:
        raise InvalidRequest(f"{tokens:,} tokens of text are too many: {MAX_TOKENS:,} is the limit.")
    return Passage(text=text, tokens=tokens)


def _optional(data: Mapping[str, Any], key: str, name: str) -> int | None:
    """A whole number, or None where nothing was typed."""
    found = data.get(key)
    return None if found is None or not str(found).strip() else whole(found, name)
