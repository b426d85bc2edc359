"""Styles and scripts of the page, read once from the `static/` of each room, and the parts that the script fills.

A part is a gr.HTML with a constant template, filled by our script through `textContent` only. A value in a template
would be evaluated as a template, so no value is put there. Nor has a value a "<": `values.inert` escapes it.
(Functions, not subclasses: gradio writes a stub file beside every module with a subclass.)
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import gradio as gr

from playground.web.values import inert

HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?(:\d{1,5})?", re.ASCII)
ROOMS = Path(__file__).parents[1]
SCRIPTS = (
    *(
        "web/static/core.js",
        "compare/static/engines.js",
        "compare/static/endpoints.js",
        "compare/static/divergence.js",
        "compare/static/pane.js",
        "compare/static/verdict.js",
        "web/static/pages.js",
    ),
    *(
        "speed/static/page.js",
        "speed/static/plots.js",
        "web/static/parts.js",
        "web/static/plots.js",
        "web/static/jobs.js",
    ),
    *("quantize/static/page.js", "quantize/static/board.js", "quantize/static/plots.js", "push/static/page.js"),
    *(
        "evaluate/static/page.js",
        "evaluate/static/board.js",
        "evaluate/static/table.js",
        "evaluate/static/plots.js",
        "evaluate/static/items.js",
    ),
    *("evaluate/static/divergence.js", "evaluate/static/run.js", "web/static/access.js"),
    *(
        "web/static/links.js",
        "runs/static/replay.js",
        "runs/static/files.js",
        "runs/static/page.js",
        "runs/static/pair.js",
        "runs/static/list.js",
    ),
    *("review/static/page.js", "review/static/board.js", "review/static/opened.js", "web/static/page.js"),
)
STYLES = (
    *(
        "web/static/page.css",
        "compare/static/pane.css",
        "compare/static/divergence.css",
        "compare/static/endpoints.css",
        "compare/static/composer.css",
        "speed/static/page.css",
    ),
    *(
        "web/static/parts.css",
        "web/static/jobs.css",
        "quantize/static/page.css",
        "quantize/static/board.css",
        "push/static/page.css",
    ),
    *("evaluate/static/page.css", "evaluate/static/run.css", "evaluate/static/items.css", "web/static/access.css"),
    *(
        "runs/static/replay.css",
        "runs/static/page.css",
        "runs/static/list.css",
        "review/static/page.css",
        "review/static/opened.css",
    ),
)
FONT = ("Inter", "system-ui", "-apple-system", "Segoe UI", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
TEMPLATE = "<div class='pg-mount'></div>"


def space_host() -> str:
    """Return the Space's own host, outside the hub's frame, for links to runs; "" if this is no Space."""
    host = os.environ.get("SPACE_HOST", "")
    return host if HOST.fullmatch(host) else ""


def options() -> dict[str, Any]:
    """Return the keyword arguments of `launch` for theme, styles and scripts. No font is downloaded."""
    script, style = (
        "\n".join((ROOMS / name).read_text(encoding="utf-8") for name in names) for names in (SCRIPTS, STYLES)
    )
    return {
        "theme": gr.themes.Base(primary_hue="indigo", neutral_hue="slate", font=list(FONT), font_mono=list(MONO)),
        "head": f"<style>{style}</style><script>{script}\nPlayground.host = {inert(space_host())};</script>",
    }


# Drawn parts.


def html_part(name: str, value: str = "", signals: str = "", **kw: Any) -> gr.HTML:
    """Return a part of the page: `name` is the script's function that fills it, `signals` the events that it sends."""
    return gr.HTML(
        value=value,
        html_template=TEMPLATE,
        js_on_load=f"Playground.{name}(element, props, watch, trigger); /* {signals} */",
        apply_default_css=False,
        **kw,
    )


def pane(value: str = "", **kw: Any) -> gr.HTML:
    """Return a pane; its value is the lines of `compare.encode`. It sends `halt`, `again`, `engine`, `measure`."""
    return html_part("pane", value, signals="'halt' 'again' 'engine' 'measure'", **kw)


def notice(**kw: Any) -> gr.HTML:
    """Return a part for an error: the value of `values.notice`, or ""."""
    return html_part("notice", **kw)


def text(**kw: Any) -> gr.HTML:
    """Return a line of text: the value of `values.text`."""
    return html_part("text", **kw)


def navigation(top: gr.Row) -> None:
    """Add the names of the pages to the top bar, right after the title."""
    with top:
        html_part("pages", elem_id="pg-pages")
    top.children.insert(1, top.children.pop())
