"""The Speed page: its form, its parts, and what happens on it. No event here takes long.

A measurement of one browser tab runs in a thread of its own, and the page reads how far it is.
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
from playground.web import gradio as gr
from playground.web.owner import Rules
from playground.web.theme import drawn
from playground.web.values import inert, size

DEFAULT = Plan(prompt_tokens=256, output_tokens=64, runs=3)  # some minutes for two variants on a small CPU
MAX_ADDRESSES = 32
MAX_ADDRESS = 1200
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def form(model: str, found: Sequence[Variant], origin: str, error: PlaygroundError | None = None) -> str:
    """The value of the form: what there is to choose, and why not the rest."""
    rows = []
    for variant in found:
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
    models = catalog.models()
    return inert(
        {
            "model": model,
            "models": models if model in models else [model, *models],
            "origin": origin,
            "variants": rows,
            "plan": DEFAULT.model_dump(),
            "error": [error.message, error.hint] if error else None,
        }
    )


def asked(data: Mapping[str, Any]) -> tuple[list[str], Plan]:
    """What the form sent: addresses and the plan. Raises InvalidRequest; nothing of it is trusted."""
    raw = data.get("addresses")
    names = [name for name in raw if isinstance(name, str)] if isinstance(raw, list) else []
    addresses = list(dict.fromkeys(name.strip()[:MAX_ADDRESS] for name in names if name.strip()))
    if not addresses:
        raise InvalidRequest("Nothing is chosen.", hint="Tick a variant under an engine.")
    if len(addresses) > MAX_ADDRESSES:
        raise InvalidRequest(f"{len(addresses)} are chosen; {MAX_ADDRESSES} at once is the limit.")
    plan = Plan(
        prompt_tokens=_count(data, "prompt_tokens", "Prompt tokens"),
        output_tokens=_count(data, "output_tokens", "Output tokens"),
        depths=_counts(data, "depths", "Depths") or (0,),
        runs=_count(data, "runs", "Repetitions"),
        concurrency=_counts(data, "concurrency", "Requests at once"),
    )
    return addresses, plan


def _count(data: Mapping[str, Any], key: str, name: str) -> int:
    found = _counts(data, key, name)
    if len(found) != 1:
        raise InvalidRequest(f"{name} has to be one whole number.", hint=f"For instance {getattr(DEFAULT, key)}.")
    return found[0]


def _counts(data: Mapping[str, Any], key: str, name: str) -> tuple[int, ...]:
    text = str(data.get(key) or ("0" if data.get(key) == 0 else ""))[:200]
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InvalidRequest(
            f"{name} is “{text}”.", hint="It takes whole numbers, several with commas between."
        ) from None


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
            model, _ = catalog.split(name)
            found, origin = catalog.variants(model), catalog.describe(model)
        except PlaygroundError as error:
            return form(model, [], "", error)
        if self.rules.visitor(request) is None:  # nobody else measures, and sessions can be invented
            self.tabs.offer(request.session_hash or "", found)
        return form(model, found, origin)

    def measure(self, data: gr.EventData, request: gr.Request) -> Any:
        try:
            self.rules.owner.check(request)
            addresses, plan = asked(data._data or {})
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


# What is on the page.


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
