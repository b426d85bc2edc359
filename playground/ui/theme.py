"""Colours, type and the page script: everything that `launch` wants, read once from `static/`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import gradio as gr

from playground.ui.values import inert

HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?(:\d{1,5})?", re.ASCII)
STATIC = Path(__file__).parent / "static"
SCRIPTS = (
    *("core.js", "engines.js", "endpoints.js", "divergence.js", "pane.js", "verdict.js", "pages.js"),
    *("speed.js", "speed_plots.js", "parts.js", "plots.js", "jobs.js"),
    *("quantize.js", "quantize_board.js", "quantize_plots.js", "quantize_push.js"),
    *("evaluate.js", "evaluate_board.js", "evaluate_table.js", "evaluate_plots.js", "evaluate_items.js"),
    *("evaluate_divergence.js", "evaluate_run.js", "access.js"),
    *("links.js", "replay.js", "run_files.js", "run.js", "run_pair.js", "runs.js"),
    *("reviews.js", "reviews_board.js", "reviews_opened.js", "page.js"),
)
STYLES = (
    *("page.css", "pane.css", "divergence.css", "endpoints.css", "composer.css", "speed.css"),
    *("parts.css", "jobs.css", "quantize.css", "quantize_board.css", "quantize_push.css"),
    *("evaluate.css", "evaluate_run.css", "evaluate_items.css", "access.css"),
    *("replay.css", "run.css", "runs.css", "reviews.css", "reviews_opened.css"),
)
FONT = ("Inter", "system-ui", "-apple-system", "Segoe UI", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def space_host() -> str:
    """Where a Space answers by itself, outside the hub's frame: links lead there. "" anywhere else."""
    found = os.environ.get("SPACE_HOST", "")
    return found if HOST.fullmatch(found) else ""


def options() -> dict[str, Any]:
    """Keyword arguments of `launch` for how the page looks. Fonts are the system's: nothing is fetched."""
    script, style = (
        "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names) for names in (SCRIPTS, STYLES)
    )
    return {
        "theme": gr.themes.Base(primary_hue="indigo", neutral_hue="slate", font=list(FONT), font_mono=list(MONO)),
        "head": f"<style>{style}</style><script>{script}\nPlayground.host = {inert(space_host())};</script>",
    }
