"""The routes `/api/evaluate/...` of the page and of scripts, and the functions `/evaluate` and `/runs`."""

from __future__ import annotations

import threading
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request as HttpRequest

from playground import models
from playground.errors import PlaygroundError, UnknownRun
from playground.evaluate import board, figures, tasks
from playground.evaluate import form as form_values
from playground.evaluate.board import Board
from playground.evaluate.spec import (
    BATCH_SIZE,
    TEXT_TOKENS,
    Conditions,
    DivergenceSpec,
    EvaluateSpec,
    Passage,
    PlanRequest,
    Request,
    arguments,
)
from playground.jobs import kinds
from playground.report import paths
from playground.spec import Spec
from playground.store import database, runs
from playground.store.schema import Run
from playground.texts.prose import BUNDLED
from playground.web import gradio as gr
from playground.web.forms import MAX_NAME
from playground.web.jobs import Queue
from playground.web.owner import Owner, Rules

MAX_RUNS = 1000  # in one response
MAX_LOGS = 16  # of jobs, in one response


class RunId(Spec):
    """The id of a stored run."""

    id: str


def router(owner: Owner, rules: Rules, queue: Queue) -> APIRouter:
    """Return the routes of the page. What starts, changes or lists something is for the owner."""
    routes = APIRouter(prefix="/api/evaluate", tags=["evaluate"])
    evaluations = Board(queue)
    searching, measuring = threading.Lock(), threading.Lock()

    @routes.get("/form")
    def form(request: HttpRequest, model: str = "") -> dict[str, Any]:
        """The variants of a model, the tasks that are listed without a search, and defaults."""
        owner.check(request)
        name, _ = models.split(model.strip()[:MAX_NAME] or rules.opens_with(request))
        return form_values.form(name)

    @routes.get("/tasks")
    def search(request: HttpRequest, search: str = "") -> dict[str, Any]:
        """Tasks and groups whose names contain every word of `search`. The first search reads lm-eval's index."""
        owner.check(request)
        with searching:
            return form_values.search_results(tasks.search(search[:MAX_NAME]))

    @routes.post("/plan")
    def plan(asked: PlanRequest, request: HttpRequest) -> dict[str, Any]:
        """What a request would take, and the smallest drop that each task can detect."""
        owner.check(request)
        spec = form_values.checked(asked.spec)
        if not asked.measure:
            return form_values.plan(spec, measure=False, drop=asked.drop)
        with measuring:
            return form_values.plan(spec, measure=True, drop=asked.drop)

    @routes.post("/start")
    def start(asked: Request, request: HttpRequest) -> dict[str, Any]:
        """Queue a job; its row as in `/jobs`."""
        owner.check(request)
        return _queued_row(queue, form_values.checked(asked.spec))

    @routes.get("/board")
    def look(request: HttpRequest, log: Annotated[list[str], Query()] = []) -> dict[str, Any]:  # noqa: B006
        """Jobs, and for the owner the stored runs; with the logs of the jobs that are named."""
        return evaluations.value(log[:MAX_LOGS], owner=is_owner(request))

    @routes.get("/run")
    def run(request: HttpRequest, id: str) -> dict[str, Any]:
        """One run, for everybody who has its id: verdict, warnings, tables."""
        return board.view(_run(id, is_owner(request)), owner=is_owner(request))

    @routes.get("/plots")
    def plots(request: HttpRequest, id: str) -> dict[str, Any]:
        """The plots of a run as Vega-Lite specifications."""
        return figures.of_run(_run(id, is_owner(request)))

    @routes.get("/items")
    def items(
        request: HttpRequest, id: str, task: str, variant: int = 1, show: str = "flips", offset: int = 0
    ) -> dict[str, Any]:
        """A page of items: prompt, expected answer, and the answers of the reference and of one variant."""
        return board.items_of(_run(id, is_owner(request)), task, variant, show, offset)

    @routes.post("/remove")
    def remove(asked: RunId, request: HttpRequest) -> dict[str, Any]:
        """Delete a run and its items."""
        owner.check(request)
        if not database.exists() or not runs.remove(asked.id):
            raise UnknownRun(f"There is no run {asked.id[:40]!r}.", hint="It was deleted before.")
        return {"id": asked.id}

    def is_owner(request: HttpRequest) -> bool:
        return owner.refusal(request) is None

    return routes


def _run(run_id: str, as_owner: bool) -> Run:
    if not database.exists():
        raise UnknownRun(f"There is no run {run_id[:40]!r}.", hint="Nothing has been stored here yet.")
    return runs.get(run_id, as_owner)


def endpoints(app: gr.Server, owner: Owner, queue: Queue) -> None:
    """Add both endpoints to the server."""

    def evaluate(
        variants: list[str],
        tasks: list[str],
        request: gr.Request,
        limit: int = 0,
        few_shot: int = -1,
        chat_template: bool = False,
        multiturn: bool = False,
        divergence: bool = False,
        text: str = BUNDLED,
        tokens: int = TEXT_TOKENS,
        speed: bool = False,
        generation: str = "",
        strip_thinking: bool = False,
        batch_size: int = BATCH_SIZE,
        seed: int = -1,
        engine: str = "",
    ) -> dict[str, Any]:
        """Queue a job that measures variants on tasks, or how far they moved. For the owner: on this machine,
        or logged in.

        Parameters:
            variants: ids as in /models, the reference first.
            tasks: names of tasks and groups, lm-eval's or the bundled; none, with divergence, measures that alone.
            limit: the first so many items of each task; 0 is all of them.
            few_shot: examples before each question; -1 is the task's own number.
            chat_template: render prompts with the model's chat template.
            multiturn: with it, examples as turns of the conversation.
            divergence: also measure how far each distribution moved.
            text: for divergence: bundled, or a data set of the hub as owner/name.
            tokens: of that text, at most.
            speed: also measure decode tok/s.
            generation: arguments of generation that replace the task's own: "max_gen_toks=512, temperature=0.6".
            strip_thinking: score only what follows the last </think>.
            batch_size: prompts computed at once.
            seed: -1 is lm-eval's own.
            engine: transformers, or vllm; empty is transformers.

        Returns:
            The job as `/jobs` lists it: poll that until its state is over; its result names the run.
        """
        try:
            owner.check(request)
            passage = Passage(text=text, tokens=tokens) if divergence else None
            if passage is not None and not tasks:
                alone = DivergenceSpec(variants=tuple(variants), text=text, tokens=tokens)
                return _queued_row(queue, form_values.checked(alone))
            conditions = Conditions.model_validate(
                {
                    "tasks": tasks,
                    "limit": limit or None,
                    "few_shot": None if few_shot < 0 else few_shot,
                    "chat_template": chat_template,
                    "multiturn": chat_template and multiturn,
                    "generation": arguments(generation),
                    "strip_thinking": strip_thinking,
                    "batch_size": batch_size,
                    "seed": None if seed < 0 else seed,
                }
            )
            spec = EvaluateSpec(
                variants=tuple(variants), conditions=conditions, engine=engine, divergence=passage, speed=speed
            )
            return _queued_row(queue, form_values.checked(spec))
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def stored_runs(request: gr.Request, id: str = "", kind: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """Stored results, the newest first, for the owner; or one of them by its id, with all its numbers.

        Parameters:
            id: of one run; empty lists them.
            kind: comparison, evaluation, divergence, bench or quantization; empty is every kind.
            limit: how many are listed.

        Returns:
            One row per run: id, kind, title, model, created_at, settings, versions, device, variants, job_id; of the
            one that was asked for also result: tasks, rows, divergence, warnings, seconds. Paths are cut to their last
            name.
        """
        try:
            if id:
                if not database.exists():
                    raise UnknownRun(f"There is no run {id[:40]!r}.")
                return [paths.run(runs.get(id).as_row())]
            owner.check(request)
            latest = runs.latest(kind, limit=max(1, min(limit, MAX_RUNS))) if database.exists() else []
            return [paths.run(_summary(run)) for run in latest]
        except PlaygroundError as error:
            raise gr.Error(str(error), print_exception=False) from error

    app.api(evaluate, name="evaluate")
    stored_runs.__name__ = "runs"  # what a tool is called, for a client that speaks MCP
    app.api(stored_runs, name="runs")


def _queued_row(queue: Queue, spec: EvaluateSpec | DivergenceSpec) -> dict[str, Any]:
    """Queue a job and return its row."""
    job = queue.get(kinds.start(spec, queue.submit))
    return board.measuring_job(job, job.as_row())


def _summary(run: Run) -> dict[str, Any]:
    """Return the row of a listed run, whose result is not loaded."""
    return {name: getattr(run, name) for name in (column.name for column in run.__table__.columns) if name != "result"}
