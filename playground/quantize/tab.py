"""The Quantize page: what is on it. What happens there is in `quantize_events`."""

from __future__ import annotations

from dataclasses import dataclass

from playground.web import gradio as gr
from playground.web.theme import drawn


@dataclass(frozen=True)
class Tab:
    """Five drawn parts: what to make, what that will cost, how far a calibration file is, what came of it all, and what
    was answered about the hub."""

    form: gr.HTML
    estimate: gr.HTML
    upload: gr.HTML
    board: gr.HTML
    hub: gr.HTML


def layout() -> Tab:
    """Draw the page in the current Blocks; the script shows one page at a time."""
    with gr.Column(elem_id="pg-quantize"):
        with gr.Row(elem_id="pg-quantize-ask"):
            form = drawn(
                "quantizeForm", signals="'model' 'estimate' 'probe' 'piece' 'begin'", elem_id="pg-quantize-form"
            )
            estimate = drawn("quantizeEstimate", elem_id="pg-quantize-estimate")
        upload = drawn("quantizeUpload", elem_id="pg-quantize-upload")
        board = drawn(
            "quantizeBoard",
            signals="'look' 'cancel' 'again' 'remove' 'compare' 'preview' 'push' 'halt'",
            elem_id="pg-quantize-board",
        )
        hub = drawn("quantizeHub", elem_id="pg-quantize-hub")
    return Tab(form, estimate, upload, board, hub)
