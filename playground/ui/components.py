"""The drawn parts of the page: gr.HTML with a constant template, filled by our script through `textContent` only.

A value that reached a template would be evaluated as a template; so no value ever does. The script of `static/` is
loaded once for the page; each component's own line only says which part of it draws here.
"""

from __future__ import annotations

from typing import Any

import gradio as gr


class Drawn(gr.HTML):
    """A mount point. `part` names the function of the page script that draws it."""

    def __init__(self, part: str, value: str = "", signals: str = "", **kw: Any) -> None:
        self.part, self.signals = part, signals
        call = f"Playground.{part}(element, props, watch, trigger)"
        super().__init__(
            value=value,
            html_template="<div class='pg-mount'></div>",
            js_on_load=f"{call}; /* {signals} */",
            apply_default_css=False,
            **kw,
        )

    def preprocess(self, payload: str | None) -> str | None:
        return payload

    def postprocess(self, value: str | None) -> str | None:
        """As it is: the base class warns of script tags, but here the value is never HTML."""
        return value

    def api_info(self) -> dict[str, Any]:
        return {"type": "string"}


class PaneView(Drawn):
    """One pane; its value is the lines of `encode`. Events: `halt` and `again`, from its own buttons."""

    def __init__(self, value: str = "", **kw: Any) -> None:
        super().__init__("pane", value, signals="'halt' 'again'", **kw)


class Notice(Drawn):
    """A sentence in place: `[kind, message, hint]` as JSON, or nothing."""

    def __init__(self, value: str = "", **kw: Any) -> None:
        super().__init__("notice", value, **kw)


class Text(Drawn):
    """A line of text."""

    def __init__(self, value: str = "", **kw: Any) -> None:
        super().__init__("text", value, **kw)
