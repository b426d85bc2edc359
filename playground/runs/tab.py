"""The page of one run and the list of all: what is on them. What happens in the list is in `runs_events`."""

from __future__ import annotations

from dataclasses import dataclass

from playground.web import gradio as gr
from playground.web.theme import drawn


@dataclass(frozen=True)
class Tab:
    list: gr.HTML


def layout() -> Tab:
    """Draw both pages in the current Blocks; the script shows one page at a time. A run's own is fetched, not sent."""
    with gr.Column(elem_id="pg-opened"):
        drawn("openedRun", elem_id="pg-opened-run")
    with gr.Column(elem_id="pg-runs"):
        found = drawn(
            "runsList", signals="'look' 'rename' 'annotate' 'revoke' 'restore' 'remove'", elem_id="pg-runs-list"
        )
    return Tab(found)
