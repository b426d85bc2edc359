"""The Speed page: what is on it. What happens there is in `speed_events`."""

from __future__ import annotations

from dataclasses import dataclass

from playground.web import gradio as gr
from playground.web.theme import drawn


@dataclass(frozen=True)
class Tab:
    """Two drawn parts: what to measure, and what came of it."""

    form: gr.HTML
    result: gr.HTML


def layout() -> Tab:
    """Draw the page in the current Blocks; the script shows one page at a time."""
    with gr.Column(elem_id="pg-speed"):
        form = drawn("speedForm", signals="'measure' 'halt' 'model'", elem_id="pg-speed-form")
        result = drawn("speedResult", elem_id="pg-speed-result")
    return Tab(form, result)
