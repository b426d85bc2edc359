"""The Speed page: what happens on it. The work is in `speed_session`; nothing here takes long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from playground import models
from playground.engines.base import Engine
from playground.errors import PlaygroundError
from playground.speed import words
from playground.speed.session import SpeedTabs
from playground.web import gradio as gr
from playground.web.owner import Rules
from playground.web.theme import drawn
from playground.web.values import inert

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


class Speed:
    """The events of the page over one engine. A measurement takes minutes of the device: it is the owner's to start."""

    def __init__(self, tab: Tab, engine: Engine, tabs: SpeedTabs, rules: Rules) -> None:
        self.tab, self.engine, self.tabs, self.rules = tab, engine, tabs, rules

    def wire(self, demo: gr.Blocks) -> None:
        form, result = self.tab.form, self.tab.result
        demo.load(self.open, None, form, queue=False, **PRIVATE)
        demo.unload(self.leave)
        form.model(self.choose, None, form, **PRIVATE)
        form.halt(self.halt, None, None, queue=False, **PRIVATE)
        begun = form.measure(self.measure, None, result, queue=False, **PRIVATE)
        begun.then(self.stream, None, result, concurrency_limit=16, concurrency_id="speed", **PRIVATE)

    def open(self, request: gr.Request) -> str:
        return self._form(request, self.rules.opens_with(request))

    def leave(self, request: gr.Request) -> None:
        self.tabs.close(request.session_hash or "")

    def choose(self, data: gr.EventData, request: gr.Request) -> str:
        return self._form(request, str((data._data or {}).get("name") or "").strip())

    def _form(self, request: gr.Request, name: str) -> str:
        model = name
        try:
            self.rules.check_model(request, name)
            model, _ = models.split(name)
            found, origin = models.variants(model), models.describe(model)
        except PlaygroundError as error:
            return words.form(model, [], "", error)
        if self.rules.visitor(request) is None:  # nobody else measures, and sessions can be invented
            self.tabs.offer(request.session_hash or "", found)
        return words.form(model, found, origin)

    def measure(self, data: gr.EventData, request: gr.Request) -> Any:
        try:
            self.rules.owner.check(request)
            addresses, plan = words.asked(data._data or {})
        except PlaygroundError as error:
            return inert({"state": "refused", "rows": [], "error": [error.message, error.hint]})
        begun = self.tabs.begin(request.session_hash or "", self.engine, addresses, plan)
        return begun.value() if begun else gr.skip()

    def stream(self, request: gr.Request) -> Iterator[Any]:
        """The page's value until the end. A closed tab is noticed at a yield: two a second, whatever happens."""
        measurement = self.tabs.current(request.session_hash or "")
        if measurement is None or not measurement.claim():
            yield gr.skip()
            return
        yield from measurement.changes()

    def halt(self, request: gr.Request) -> None:
        measurement = self.tabs.current(request.session_hash or "")
        if measurement:
            measurement.stop()


# The Speed page: what is on it. What happens there is in `speed_events`.


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
