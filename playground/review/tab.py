"""The Reviews page: what is on it, all of it the owner's. What happens there is in `review_events`."""

from __future__ import annotations

from dataclasses import dataclass

from playground.web import gradio as gr
from playground.web.theme import drawn


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
