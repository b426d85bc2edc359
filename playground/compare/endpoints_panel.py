"""The endpoints panel: a button beside the model picker, and what it opens. What happens there: `endpoints_events`."""

from __future__ import annotations

from playground.web import gradio as gr
from playground.web.theme import drawn

# Events of its script: `look` when it opens; `enter` {name, url, model, key, key_env}; `forget`, `ask`, `halt` {name};
# `use` {model, where}, which the Compare tab takes.
SIGNALS = "'look' 'enter' 'forget' 'ask' 'halt' 'use'"


def layout() -> gr.HTML:
    """Draw it in the current Blocks; its value is `endpoints_words.panel`."""
    return drawn("endpoints", signals=SIGNALS, elem_id="pg-endpoints")
