"""The pages of the app and the way between them."""

from __future__ import annotations

import gradio as gr

from playground.web.theme import drawn


def navigation(top: gr.Row) -> None:
    """Put the names of the pages into the bar at the top, right after the title."""
    with top:
        drawn("pages", elem_id="pg-pages")
    top.children.insert(1, top.children.pop())
