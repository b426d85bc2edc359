"""The documented endpoints `/evaluate` and `/runs`, for gradio_client and plain HTTP."""

from __future__ import annotations

from typing import Any

from playground.errors import PlaygroundError, UnknownRun
from playground.evaluate import board
from playground.evaluate.spec import (
    BATCH_SIZE,
    TEXT_TOKENS,
    Conditions,
    DivergenceSpec,
    EvaluateSpec,
    Passage,
    arguments,
)
from playground.jobs import kinds
from playground.report import paths
from playground.store import database, runs
from playground.store.schema import Run
from playground.texts import hub
from playground.texts.prose import BUNDLED
from playground.web import gradio as gr
from playground.web.forms import addresses
from playground.web.jobs import Queue
from playground.web.owner import Owner

MAX_RUNS = 1000  # in one response


def endpoints(owner: Owner, queue: Queue) -> None:
    """Add both endpoints to the current Blocks."""

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
            chosen = addresses(variants[0] if variants else "", variants[1:])
            if divergence and text != BUNDLED:  # no path: a caller may be on another machine
                hub.check(text, "or leave it at the bundled text")
            passage = Passage(text=text, tokens=tokens) if divergence else None
            if passage is not None and not tasks:
                return _queued_row(queue, DivergenceSpec(variants=chosen, text=passage.text, tokens=passage.tokens))
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
            spec = EvaluateSpec(variants=chosen, conditions=conditions, engine=engine, divergence=passage, speed=speed)
            return _queued_row(queue, spec)
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

    gr.api(evaluate, api_name="evaluate")
    stored_runs.__name__ = "runs"  # what a tool is called, for a client that speaks MCP
    gr.api(stored_runs, api_name="runs")


def _queued_row(queue: Queue, spec: EvaluateSpec | DivergenceSpec) -> dict[str, Any]:
    """Queue a job and return its row."""
    job = queue.get(kinds.start(spec, queue.submit))
    return board.measuring_job(job, job.as_row())


def _summary(run: Run) -> dict[str, Any]:
    """Return the row of a listed run, whose result is not loaded."""
    return {name: getattr(run, name) for name in (column.name for column in run.__table__.columns) if name != "result"}
