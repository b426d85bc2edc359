"""The drawn parts of the page: gr.HTML with a constant template, filled by our script through `textContent` only.

A value that reached a template would be evaluated as a template; so no value ever does. Nor does one hold a "<":
`encode` escapes it. (Functions, not subclasses: gradio writes a stub file beside every module with a subclass.)
"""

from __future__ import annotations

from typing import Any

import gradio as gr

TEMPLATE = "<div class='pg-mount'></div>"


def drawn(part: str, value: str = "", signals: str = "", **kw: Any) -> gr.HTML:
    """A mount point. `part` names the function of the page script that draws it, `signals` the events it may send."""
    return gr.HTML(
        value=value,
        html_template=TEMPLATE,
        js_on_load=f"Playground.{part}(element, props, watch, trigger); /* {signals} */",
        apply_default_css=False,
        **kw,
    )


def pane(value: str = "", **kw: Any) -> gr.HTML:
    """One pane; its value is the lines of `encode`. Its own buttons send `halt`, `again`, `engine`, `measure`."""
    return drawn("pane", value, signals="'halt' 'again' 'engine' 'measure'", **kw)


def notice(**kw: Any) -> gr.HTML:
    """A sentence in place: the value of `encode.notice`, or nothing."""
    return drawn("notice", **kw)


def text(**kw: Any) -> gr.HTML:
    """A line of text: the value of `encode.text`."""
    return drawn("text", **kw)
