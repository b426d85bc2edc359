"""The Evaluate page: what is on it. What happens there is in `evaluate_events`."""

from __future__ import annotations

from dataclasses import dataclass

from playground.web import gradio as gr
from playground.web.theme import drawn


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
