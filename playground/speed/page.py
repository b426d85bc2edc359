"""The Speed page: its form, its parts and their events. No event blocks for long.

The measurement of a browser tab runs in its own thread, and the page streams its progress.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from playground import models as catalog
from playground.core import Variant
from playground.engines import base
from playground.engines.base import Engine
from playground.errors import InvalidRequest, PlaygroundError
from playground.models.address import Address
from playground.speed.session import SpeedTabs
from playground.speed.spec import Plan
from playground.web import event_data
from playground.web import gradio as gr
from playground.web.owner import Rules
from playground.web.theme import html_part
from playground.web.values import inert, size

DEFAULT = Plan(prompt_tokens=256, output_tokens=64, runs=3)  # minutes for two variants on a small CPU
MAX_ADDRESSES = 32
MAX_ADDRESS = 1200
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def form(model: str, variants: Sequence[Variant], origin: str, error: PlaygroundError | None = None) -> str:
    """Return the value of the form: variants with their engines, and why an engine is not available."""
    rows = []
    for variant in variants:
        options = [asdict(option) for option in base.options(variant)]
        rows.append(
            {
                "id": variant.id,
                "label": variant.label,
                "size": size(variant),
                "reference": variant.is_reference,
                "source": variant.source,
                "options": [
                    {**option, "address": str(Address.parse(variant.id).on(str(option["engine"])))}
                    for option in options
                ],
            }
        )
    model_names = catalog.models()
    return inert(
        {
            "model": model,
            "models": model_names if model in model_names else [model, *model_names],
            "origin": origin,
            "variants": rows,
            "plan": DEFAULT.model_dump(),
            "error": [error.message, error.hint] if error else None,
        }
    )


def plan_of(data: Mapping[str, Any]) -> tuple[list[str], Plan]:
    """Return the addresses and the plan of a form, none of whose fields is trusted. Raises InvalidRequest."""
    sent = data.get("addresses")
    names = [name for name in sent if isinstance(name, str)] if isinstance(sent, list) else []
    addresses = list(dict.fromkeys(name.strip()[:MAX_ADDRESS] for name in names if name.strip()))
    if not addresses:
        raise InvalidRequest("Nothing is chosen.", hint="Tick a variant under an engine.")
    if len(addresses) > MAX_ADDRESSES:
        raise InvalidRequest(f"{len(addresses)} are chosen; {MAX_ADDRESSES} at once is the limit.")
    plan = Plan(
        prompt_tokens=_whole_number(data, "prompt_tokens", "Prompt tokens"),
        output_tokens=_whole_number(data, "output_tokens", "Output tokens"),
        depths=_whole_numbers(data, "depths", "Depths") or (0,),
        runs=_whole_number(data, "runs", "Repetitions"),
        concurrency=_whole_numbers(data, "concurrency", "Requests at once"),
    )
    return addresses, plan


def _whole_number(data: Mapping[str, Any], key: str, name: str) -> int:
    numbers = _whole_numbers(data, key, name)
    if len(numbers) != 1:
        raise InvalidRequest(f"{name} has to be one whole number.", hint=f"For instance {getattr(DEFAULT, key)}.")
    return numbers[0]


def _whole_numbers(data: Mapping[str, Any], key: str, name: str) -> tuple[int, ...]:
    text = str(data.get(key) or ("0" if data.get(key) == 0 else ""))[:200]
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InvalidRequest(
            f"{name} is “{text}”.", hint="It takes whole numbers, several with commas between."
        ) from None


class Speed:
    """The events of the page over one engine. Only the owner may start a measurement, which takes minutes."""

    def __init__(self, tab: Tab, engine: Engine, tabs: SpeedTabs, rules: Rules) -> None:
        self.tab, self.engine, self.tabs, self.rules = tab, engine, tabs, rules

    def wire(self, demo: gr.Blocks) -> None:
        form, result = self.tab.form, self.tab.result
        demo.load(self.open, None, form, queue=False, **PRIVATE)
        demo.unload(self.leave)
        form.model(self.choose, None, form, **PRIVATE)
        form.halt(self.halt, None, None, queue=False, **PRIVATE)
        measuring = form.measure(self.measure, None, result, queue=False, **PRIVATE)
        measuring.then(self.stream, None, result, concurrency_limit=16, concurrency_id="speed", **PRIVATE)

    def open(self, request: gr.Request) -> str:
        return self._form(request, self.rules.opens_with(request))

    def leave(self, request: gr.Request) -> None:
        self.tabs.close(request.session_hash or "")

    def choose(self, data: gr.EventData, request: gr.Request) -> str:
        return self._form(request, event_data.text(data, "name"))

    def _form(self, request: gr.Request, name: str) -> str:
        model = name
        try:
            self.rules.check_model(request, name)
            model, _ = catalog.split(name)
            variants, origin = catalog.variants(model), catalog.describe(model)
        except PlaygroundError as error:
            return form(model, [], "", error)
        if self.rules.visitor(request) is None:  # visitors cannot measure, and could invent sessions
            self.tabs.offer(request.session_hash or "", variants)
        return form(model, variants, origin)

    def measure(self, data: gr.EventData, request: gr.Request) -> Any:
        try:
            self.rules.owner.check(request)
            addresses, plan = plan_of(event_data.values(data))
        except PlaygroundError as error:
            return inert({"state": "refused", "rows": [], "error": [error.message, error.hint]})
        measurement = self.tabs.begin(request.session_hash or "", self.engine, addresses, plan)
        return measurement.value() if measurement else gr.skip()

    def stream(self, request: gr.Request) -> Iterator[Any]:
        """Yield the page's value until the end, at least twice a second: gradio notices a closed tab at a yield."""
        measurement = self.tabs.current(request.session_hash or "")
        if measurement is None or not measurement.claim():
            yield gr.skip()
            return
        yield from measurement.changes()

    def halt(self, request: gr.Request) -> None:
        measurement = self.tabs.current(request.session_hash or "")
        if measurement:
            measurement.stop()


# What is on the page.


@dataclass(frozen=True)
class Tab:
    """The two parts of the page: form and result."""

    form: gr.HTML
    result: gr.HTML


def layout() -> Tab:
    """Add the page to the current Blocks; the script shows one page at a time."""
    with gr.Column(elem_id="pg-speed"):
        form = html_part("speedForm", signals="'measure' 'halt' 'model'", elem_id="pg-speed-form")
        result = html_part("speedResult", elem_id="pg-speed-result")
    return Tab(form, result)
