"""The Compare tab: its layout and events. One generator streams all panes; every other event is short.

`ask_of` reads the values of the inputs into an `Ask`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from playground import models as catalog
from playground.compare import endpoints as compare_endpoints
from playground.compare import session as compare_session
from playground.compare.session import MAX_PANES, MIN_PANES, Session, Sessions
from playground.compare.spec import check, check_prompt
from playground.compare.turns import Ask, Pane
from playground.core import Sampling, Variant
from playground.engines import base
from playground.engines.base import Engine
from playground.errors import InvalidRequest, PlaygroundError, TooMany
from playground.models.address import Address
from playground.web import event_data, values
from playground.web import gradio as gr
from playground.web.owner import Rules
from playground.web.theme import html_part, notice, pane, text

Update = dict[Any, Any]
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
EXAMPLES = {
    "What is gravity?": "What is gravity?",
    "Explain a KV cache": "Explain what a key-value cache is in a language model, in three sentences.",
    "17 × 23, step by step": "What is 17 × 23? Work it out step by step.",
    "Write a haiku": "Write a haiku about rain on a tin roof.",
}
CHAT, RAW = "Chat", "Raw completion"
TURNS, AT_ONCE = "Take turns", "All at once"
DEFAULTS = Sampling()


# Gradio counts a handler's parameters, so a slot is bound by a closure with the exact signature.
def _bind_request(slot: int, method: Callable[[int, gr.Request], Any]) -> Callable[..., Any]:
    def handler(request: gr.Request) -> Any:
        return method(slot, request)

    return handler


def _bind_event(slot: int, method: Callable[[int, gr.EventData, gr.Request], Update]) -> Callable[..., Update]:
    def handler(data: gr.EventData, request: gr.Request) -> Update:
        return method(slot, data, request)

    return handler


def _bind_inputs(slot: int, method: Callable[[int, Mapping[Any, Any], gr.Request], Update]) -> Callable[..., Update]:
    def handler(inputs: Mapping[Any, Any], request: gr.Request) -> Update:
        return method(slot, inputs, request)

    return handler


class Compare:
    """The events of one tab over one engine. `rules`: what visitors may do here."""

    def __init__(self, tab: Tab, engine: Engine, sessions: Sessions, device: Callable[[], str], rules: Rules) -> None:
        self.tab, self.engine, self.sessions, self.device, self.rules = tab, engine, sessions, device, rules
        self.names = {component: name for name, component in tab.fields.items()}
        self.pane_outputs: list[Any] = []  # components that change with the model or a pane

    def session(self, request: gr.Request) -> Session:
        try:
            session = self.sessions.get(request.session_hash, self.rules.visitor(request))
        except TooMany as error:
            raise gr.Error(str(error), print_exception=False) from error
        session.room = partial(self.rules.check_room, request)
        return session

    def values(self, inputs: Mapping[Any, Any]) -> dict[str, Any]:
        return {name: inputs[component] for component, name in self.names.items() if component in inputs}

    def wire(self, demo: gr.Blocks) -> None:
        tab, fields = self.tab, set(self.tab.fields.values())
        controls = [tab.verdict, tab.run, tab.stop, tab.trouble]
        # The browser's cost of an update grows with the number of components that are an output of any event.
        pane_outputs = [tab.model, tab.origin, tab.notice, tab.verdict, tab.run]
        pane_outputs += [component for slot in tab.slots for component in (slot.variant, slot.view)]
        self.pane_outputs = pane_outputs

        demo.load(self.open, None, [*pane_outputs, tab.device], queue=False, **PRIVATE)
        demo.unload(self.leave)
        tab.model.input(self.choose_model, {tab.model}, pane_outputs, **PRIVATE)
        tab.add.click(self.add, None, pane_outputs, queue=False, **PRIVATE)
        tab.endpoints.use(self.use, None, pane_outputs, queue=False, **PRIVATE)
        self._chain(tab.run.click(self.run, fields, [*controls, tab.prompt], queue=False, **PRIVATE))
        tab.stop.click(self.stop_all, None, None, queue=False, **PRIVATE)
        tab.clear.click(self.clear, None, [*tab.views, tab.verdict, tab.trouble], queue=False, **PRIVATE)
        tab.line.click(None, None, None, js="() => Playground.settings()", **PRIVATE)
        gr.on(
            [component.change for component in tab.settings], self.describe, set(tab.settings), [tab.line, tab.trouble],
            queue=False, trigger_mode="always_last", **PRIVATE,
        )  # fmt: skip
        for index, slot in enumerate(tab.slots):
            slot.variant.input(_bind_inputs(index, self.choose), {tab.model, slot.variant}, pane_outputs, **PRIVATE)
            slot.remove.click(_bind_request(index, self.remove), None, pane_outputs, queue=False, **PRIVATE)
            chosen = [*pane_outputs, tab.trouble]
            slot.view.engine(_bind_event(index, self.choose_engine), None, chosen, queue=False, **PRIVATE)
            slot.view.halt(_bind_request(index, self.stop_one), None, None, queue=False, **PRIVATE)
            again = [tab.verdict, tab.trouble]
            self._measure(slot.view.measure(self.measure_again, None, again, queue=False, **PRIVATE))
            self._chain(slot.view.again(_bind_inputs(index, self.again), fields, controls, queue=False, **PRIVATE))

    def _chain(self, started: Any) -> None:
        """Begin, stream, end. Only the views are streamed: gradio rebuilds every output that an update leaves out."""
        tab = self.tab
        streamed = started.then(self.stream, None, tab.views, concurrency_limit=16, concurrency_id="compare", **PRIVATE)
        ended = streamed.then(self.ended, None, [tab.verdict, tab.run, tab.stop, tab.device], queue=False, **PRIVATE)
        self._measure(ended)

    def _measure(self, started: Any) -> None:
        """Measure the divergence after a run, in a queue of its own so that it delays no run."""
        tab = self.tab
        measured = started.then(
            self.measure, None, tab.views, concurrency_limit=16, concurrency_id="measure", **PRIVATE
        )
        measured.then(self.measured, None, [tab.verdict, tab.trouble], queue=False, **PRIVATE)

    # ---- choosing
    def open(self, request: gr.Request) -> Update:
        session = self.session(request)
        return self._model(session, self.rules.opens_with(request), request) | {
            self.tab.device: values.text(self.device())
        }

    def leave(self, request: gr.Request) -> None:
        self.sessions.close(request.session_hash, self.rules.visitor(request))

    def choose_model(self, inputs: Mapping[Any, Any], request: gr.Request) -> Update:
        return self._model(self.session(request), str(inputs[self.tab.model] or "").strip(), request)

    def show(self, name: str, request: gr.Request) -> Update:
        """Show a variant beside its reference, or a model with its first variants."""
        return self._model(self.session(request), name, request)

    def use(self, data: gr.EventData, request: gr.Request) -> Update:
        """Show an endpoint's model: as the model, or in a pane beside the reference (the last one if none is free)."""
        session, fields = self.session(request), event_data.values(data)
        name = str(fields.get("model") or "")
        if fields.get("where") != "pane":
            return self._model(session, name, request)
        try:
            self.rules.check_model(request, name)
            facts = catalog.variant(name)
        except PlaygroundError as error:
            return {self.tab.notice: values.notice(error)}
        with session.lock:
            free = [slot for slot in range(MAX_PANES) if slot not in session.shown_slots]
            slot = free[0] if free else session.shown_slots[-1]
            session.stop(slot)
            session.shown_slots = sorted({*session.shown_slots, slot})
            session.panes[slot].show(facts.id, facts, False, origin=session.origin)
        return self._panes(session, request)

    def refresh_choices(self, request: gr.Request) -> Update:
        """New choices for the pickers; their values stay."""
        session = self.session(request)
        with session.lock:
            update: Update = {
                slot.variant: gr.Dropdown(choices=self._choices(session, pane, request))
                for slot, pane in zip(self.tab.slots, session.panes, strict=True)
            }
        return update | {self.tab.model: gr.Dropdown(choices=self.rules.models(request))}

    def _model(self, session: Session, name: str, request: gr.Request) -> Update:
        models = self.rules.models(request)
        model, suffix = name, ""
        try:
            self.rules.check_model(request, name)
            model, suffix = catalog.split(name)
            variants = catalog.variants(model)
            origin = catalog.describe(model)
        except PlaygroundError as error:
            return {self.tab.notice: values.notice(error), self.tab.origin: values.text("")}
        with session.lock:
            session.stop()
            facts_before = [session.panes[slot].facts for slot in session.shown_slots[1:]]
            names_before = [facts.name for facts in facts_before if facts]
            session.choices = variants
            session.model = model
            chosen = self._spread(variants, [suffix] if suffix else names_before, len(session.shown_slots) - 1)
            for slot, variant in zip(session.shown_slots, [variants[0], *chosen], strict=False):
                session.panes[slot].show(variant.id, variant, slot == 0, origin=variants[0].source)
        choices = models if model in models else [model, *models]
        update: Update = {
            self.tab.model: gr.Dropdown(choices=choices, value=model),
            self.tab.origin: values.text(origin),
        }
        return update | self._panes(session, request)

    @staticmethod
    def _spread(variants: list[Variant], names: list[str], count: int) -> list[Variant]:
        """The variants beside the reference: those named, then quantized, then others, then itself."""
        candidates = [variant for variant in variants[1:] if variant.name in names]
        quantized = [variant for variant in variants[1:] if variant.quantize and variant not in candidates]
        candidates += quantized + [
            variant for variant in variants[1:] if variant not in candidates and variant not in quantized
        ]
        return (candidates + [variants[0]] * count)[:count]

    def choose(self, slot: int, inputs: Mapping[Any, Any], request: gr.Request) -> Update:
        """Show any variant of any model: by id, path or short name, with or without an engine (`nf4@vllm`)."""
        session = self.session(request)
        typed = str(inputs[self.tab.slots[slot].variant] or "").strip()
        ids = {variant.name: variant.id for variant in session.choices}
        ids |= {variant.label: variant.id for variant in session.choices}
        address = Address.parse(typed)
        address = Address.parse(ids.get(address.variant, address.variant)).on(address.engine)
        name = str(address)
        facts, error = None, None
        try:
            self.rules.check_model(request, address.variant)
            facts = catalog.variant(address.variant)
            name = str(Address.parse(facts.id).on(address.engine))
            base.check(facts, address.engine)
        except PlaygroundError as refusal:
            error = refusal
        with session.lock:
            session.stop(slot)
            session.panes[slot].show(name, facts, slot == 0, error, session.origin)
        return self._panes(session, request)

    def choose_engine(self, slot: int, data: gr.EventData, request: gr.Request) -> Update:
        """Run the pane's variant on another engine. As with another variant, this clears its conversation."""
        session = self.session(request)
        engine = event_data.text(data, "engine")
        with session.lock:
            pane = session.panes[slot]
            facts = pane.facts
            if facts is None or session.busy or engine not in base.NAMES:
                return {self.tab.trouble: gr.skip()}
            error: PlaygroundError | None = None
            try:
                base.check(facts, engine)
            except PlaygroundError as refusal:
                error = refusal
            pane.show(str(Address.parse(facts.id).on(engine)), facts, slot == 0, error, session.origin)
        return self._panes(session, request)

    def add(self, request: gr.Request) -> Update:
        session = self.session(request)
        with session.lock:
            free = [slot for slot in range(MAX_PANES) if slot not in session.shown_slots]
            if free:
                facts = [session.panes[slot].facts for slot in session.shown_slots]
                used, schemes = {fact.id for fact in facts if fact}, {fact.scheme for fact in facts if fact}
                fresh = [variant for variant in session.choices[1:] if variant.id not in used] or session.choices[:1]
                fresh.sort(key=lambda variant: (variant.quantize is None, variant.scheme in schemes))
                session.shown_slots = sorted([*session.shown_slots, free[0]])
                if fresh:
                    session.panes[free[0]].show(fresh[0].id, fresh[0], False, origin=session.origin)
        return self._panes(session, request)

    def remove(self, slot: int, request: gr.Request) -> Update:
        session = self.session(request)
        with session.lock:
            if len(session.shown_slots) > MIN_PANES and slot in session.shown_slots[1:]:
                session.stop(slot)
                session.shown_slots.remove(slot)
                session.panes[slot].turns.clear()
        return self._panes(session, request)

    def _choices(self, session: Session, pane: Pane, request: gr.Request) -> list[tuple[str, str]]:
        """A picker's choices: the model's variants, the endpoints' models, and the current value."""
        choices = [(f"{v.label} · {values.size(v)}".strip(" ·"), v.id) for v in session.choices]
        offered = {value for _, value in choices}
        choices += [(name, name) for name in self.rules.models(request) if name.startswith("@") and name not in offered]
        if pane.variant and pane.variant not in [value for _, value in choices]:
            choices.append((pane.label, pane.variant))
        return choices

    def _panes(self, session: Session, request: gr.Request) -> Update:
        """Update every component that depends on the shown panes."""
        tab, update = self.tab, {}
        with session.lock:
            session.share_engine()
            for index, (slot, pane) in enumerate(zip(tab.slots, session.panes, strict=True)):
                update[slot.variant] = gr.Dropdown(
                    choices=self._choices(session, pane, request), value=pane.variant or None
                )
                update[slot.view] = pane.value if index in session.shown_slots else ""
        update[tab.notice] = ""
        update[tab.verdict] = compare_session.value(session, "running" if session.busy else "none")
        if not session.busy:
            update[tab.run] = gr.Button(self._run_words(session))
        return update

    @staticmethod
    def _run_words(session: Session) -> str:
        return "Run both" if len(session.shown_slots) == 2 else f"Run all {len(session.shown_slots)}"

    # ---- running
    def run(self, inputs: Mapping[Any, Any], request: gr.Request) -> Update:
        """Begin a run: the same prompt in every pane."""
        session = self.session(request)
        try:
            ask = ask_of(self.values(inputs))
            check_prompt(ask.prompt, ask.system)
            self._admit(session, session.shown_slots, ask, request)
        except PlaygroundError as error:
            return {self.tab.trouble: values.notice(error)}
        session.last = ask
        update = self._begin(session, dict.fromkeys(session.shown_slots, ask))
        return update if ask.raw or len(update) == 1 else {**update, self.tab.prompt: ""}

    def again(self, slot: int, inputs: Mapping[Any, Any], request: gr.Request) -> Update:
        """Run one pane's last turn again with the current settings; in an empty pane, the last prompt."""
        session, unchanged = self.session(request), {self.tab.trouble: gr.skip()}
        with session.lock:
            turns = session.panes[slot].turns
            last = turns[-1].ask if turns else session.last
            if last is None or session.busy:
                return unchanged
        try:
            ask = replace(ask_of(self.values(inputs)), prompt=last.prompt, raw=last.raw)
            self._admit(session, [slot], ask, request)
        except PlaygroundError as error:
            return {self.tab.trouble: values.notice(error)}
        with session.lock:
            session.drop_last(slot)
        return self._begin(session, {slot: ask})

    def _admit(self, session: Session, slots: list[int], ask: Ask, request: gr.Request) -> None:
        """Apply the limits for visitors; ignored while a run is in progress. Raises PlaygroundError."""
        if session.busy:
            return
        panes = [session.panes[slot] for slot in slots]
        chars = max(pane.request(ask).chars for pane in panes)
        self.rules.begin(request, [pane.variant for pane in panes], ask.sampling.max_tokens, chars)

    def _begin(self, session: Session, asks: dict[int, Ask]) -> Update:
        tab = self.tab
        if not session.begin(self.engine, asks):
            return {tab.trouble: gr.skip()}
        return {
            tab.trouble: "",
            tab.verdict: compare_session.value(session, "running"),
            tab.run: gr.Button("Running…", interactive=False),
            tab.stop: gr.Button(interactive=True),
        }

    def stream(self, request: gr.Request) -> Iterator[list[str]]:
        """Yield every pane's value as it grows: at least twice a second, since gradio notices a closed tab there."""
        session = self.session(request)
        with self.rules.running(request) as refused:
            if refused is not None:
                session.refuse(refused)
            for _ in session.changes():
                yield self._values(session)
            if refused is not None:
                yield self._values(session)

    @staticmethod
    def _values(session: Session) -> list[str]:
        return [session.panes[slot].value if slot in session.shown_slots else "" for slot in range(MAX_PANES)]

    def ended(self, request: gr.Request) -> Update:
        session = self.session(request)
        if session.busy:
            return {self.tab.device: gr.skip()}
        session.measure(self.engine)
        return {
            self.tab.verdict: compare_session.value(session),
            self.tab.run: gr.Button(self._run_words(session), interactive=True),
            self.tab.stop: gr.Button(interactive=False),
            self.tab.device: values.text(self.device()),
        }

    def measure_again(self, request: gr.Request) -> Update:
        session = self.session(request)
        try:
            self.rules.begin(request, [session.panes[slot].variant for slot in session.shown_slots], 1, 0)
        except PlaygroundError as error:
            return {self.tab.verdict: gr.skip(), self.tab.trouble: values.notice(error)}
        session.measure(self.engine, on_request=True)
        return {self.tab.verdict: gr.skip() if session.busy else compare_session.value(session), self.tab.trouble: ""}

    def measure(self, request: gr.Request) -> Iterator[list[str]]:
        session = self.session(request)
        for _ in session.run_measurements():
            yield self._values(session)

    def measured(self, request: gr.Request) -> Update:
        session = self.session(request)
        if session.busy:
            return {self.tab.verdict: gr.skip()}
        trouble = {self.tab.trouble: values.notice(session.not_saved)} if session.not_saved else {}
        return {self.tab.verdict: compare_session.value(session), **trouble}

    def stop_all(self, request: gr.Request) -> None:
        self.session(request).stop()

    def stop_one(self, slot: int, request: gr.Request) -> None:
        self.session(request).stop(slot)

    def clear(self, request: gr.Request) -> Update:
        session = self.session(request)
        with session.lock:
            session.stop()
            session.last = None
            for pane in session.panes:
                pane.turns = []
        update: Update = {self.tab.views[slot]: session.panes[slot].value for slot in session.shown_slots}
        return update | {self.tab.verdict: compare_session.value(session), self.tab.trouble: ""}

    def describe(self, inputs: Mapping[Any, Any]) -> Update:
        try:
            return {self.tab.line: gr.Button(f"{summary(self.values(inputs))} · settings"), self.tab.trouble: ""}
        except InvalidRequest as error:
            return {self.tab.trouble: values.notice(error)}


# The layout.


@dataclass(frozen=True)
class Slot:
    """The components of one pane: its picker in the bar, its view below. The script hides both without a value."""

    variant: gr.Dropdown
    remove: gr.Button
    view: gr.HTML


@dataclass(frozen=True)
class Tab:
    """Every component that an event needs."""

    device: gr.HTML
    model: gr.Dropdown
    origin: gr.HTML
    endpoints: gr.HTML
    slots: tuple[Slot, ...]
    add: gr.Button
    notice: gr.HTML
    verdict: gr.HTML
    trouble: gr.HTML
    fields: dict[str, Any]
    run: gr.Button
    stop: gr.Button
    clear: gr.Button
    line: gr.Button

    @property
    def prompt(self) -> gr.Textbox:
        return self.fields["prompt"]

    @property
    def settings(self) -> list[Any]:
        return [component for name, component in self.fields.items() if name != "prompt"]

    @property
    def views(self) -> list[gr.HTML]:
        return [slot.view for slot in self.slots]


def layout() -> Tab:
    """Draw the tab in the current Blocks."""
    with gr.Row(elem_id="pg-top"):
        gr.HTML("<h1>Quantization Playground</h1>", elem_id="pg-title", apply_default_css=False)
        device = text(elem_id="pg-device")
        html_part("theme", elem_id="pg-theme")
    with gr.Column(elem_id="pg-main"):
        with gr.Row(elem_id="pg-bar"):
            with gr.Column(elem_id="pg-model", min_width=0):
                model = _picker("Model: bundled, a hub repository or a local folder", "pg-model-pick")
                origin = text(elem_id="pg-origin")
            endpoints = compare_endpoints.layout()
            pickers = [_slot_picker(index) for index in range(MAX_PANES)]
            add = gr.Button("+ variant", elem_id="pg-add", size="sm", min_width=0)
            html_part("legend", elem_id="pg-legend")
        missing = notice(elem_id="pg-notice")
        with gr.Row(elem_id="pg-panes"):
            slots = tuple(Slot(*picker, _slot_view(index)) for index, picker in enumerate(pickers))
        verdict = html_part("verdict", elem_id="pg-verdict")
        html_part("plot", elem_id="pg-plot")
    with gr.Column(elem_id="pg-composer"):
        fields = _settings()
        trouble = notice(elem_id="pg-trouble")
        with gr.Row(elem_id="pg-ask"):
            fields["prompt"] = gr.Textbox(
                label="Prompt", show_label=False, container=False, lines=1, max_lines=8, elem_id="pg-prompt",
                placeholder="Ask every variant", scale=1,
            )  # fmt: skip
            run = gr.Button("Run both", variant="primary", elem_id="pg-run", min_width=0)
            stop = gr.Button("Stop all", elem_id="pg-stop", min_width=0, interactive=False)
        with gr.Row(elem_id="pg-under"):
            with gr.Row(elem_id="pg-examples"):
                for words, example in EXAMPLES.items():
                    chip = gr.Button(words, size="sm", min_width=0, elem_classes="pg-chip")
                    fill = f"() => Playground.example({json.dumps(example)})"
                    chip.click(None, None, fields["prompt"], js=fill, api_visibility="private")
            clear = gr.Button("Clear", size="sm", min_width=0, elem_id="pg-clear", elem_classes="pg-quiet")
            line = gr.Button(
                f"{DEFAULTS} · settings", size="sm", min_width=0, elem_id="pg-line", elem_classes="pg-quiet"
            )
    return Tab(device, model, origin, endpoints, slots, add, missing, verdict, trouble, fields, run, stop, clear, line)


def _picker(label: str, elem_id: str) -> gr.Dropdown:
    return gr.Dropdown(
        label=label,
        show_label=False,
        container=False,
        choices=[],
        value=None,
        allow_custom_value=True,
        interactive=True,
        min_width=0,
        elem_id=elem_id,
    )


def _slot_picker(index: int) -> tuple[gr.Dropdown, gr.Button]:
    role = "is-reference" if index == 0 else "is-variant"
    with gr.Row(elem_id=f"pg-pick-{index}", elem_classes=["pg-pick", role]):
        label = "Reference" if index == 0 else f"Variant {index}"
        variant = _picker(f"{label}: pick one, or type any variant or path", f"pg-variant-{index}")
        remove = gr.Button("×", size="sm", min_width=0, elem_classes="pg-remove")
    return variant, remove


def _slot_view(index: int) -> gr.HTML:
    with gr.Column(elem_id=f"pg-slot-{index}", elem_classes="pg-slot", min_width=0):
        return pane(elem_id=f"pg-pane-{index}")


def _settings() -> dict[str, Any]:
    default = DEFAULTS

    def number(name: str, label: str, info: str, step: float = 1) -> gr.Number:
        return gr.Number(
            getattr(default, name), label=label, info=info, step=step, min_width=0, elem_classes="pg-field"
        )

    with gr.Column(elem_id="pg-settings"):
        with gr.Row(elem_classes="pg-wide"):
            mode = gr.Radio(
                [CHAT, RAW], value=CHAT, label="Mode", min_width=0, elem_id="pg-mode",
                elem_classes="pg-seg",
            )  # fmt: skip
            timing = gr.Radio(
                [TURNS, AT_ONCE], value=TURNS, label="Panes on different engines", min_width=0,
                elem_id="pg-timing", elem_classes="pg-seg",
            )  # fmt: skip
            system = gr.Textbox(
                label="System prompt", lines=1, max_lines=4, min_width=0, elem_id="pg-system",
                placeholder="Empty: the model’s own default", elem_classes="pg-field",
            )  # fmt: skip
        with gr.Row(elem_classes="pg-grid"):
            fields = {
                "max_tokens": number("max_tokens", "Max tokens", "limit of an answer"),
                "temperature": number("temperature", "Temperature", "0 is greedy", 0.1),
                "top_p": number("top_p", "Top-p", "1 is off", 0.05),
                "top_k": number("top_k", "Top-k", "0 is off"),
                "repetition_penalty": number("repetition_penalty", "Repetition penalty", "1 is off", 0.05),
                "seed": number("seed", "Seed", "same seed, same text"),
                "stop": gr.Textbox(
                    label="Stop strings", info="one a line", lines=1, max_lines=4, min_width=0, elem_classes="pg-field"
                ),
            }
    return {"mode": mode, "timing": timing, "system": system, **fields}


# The inputs, as an `Ask`.


def ask_of(values: Mapping[str, Any]) -> Ask:
    """The request in the inputs, `values` by field name. Raises InvalidRequest for a value that cannot be used."""
    return Ask(
        prompt=str(values.get("prompt") or ""),
        system=str(values.get("system") or ""),
        raw=values.get("mode") == RAW,
        sampling=sampling(values),
        at_once=values.get("timing") == AT_ONCE,
    )


def sampling(values: Mapping[str, Any]) -> Sampling:
    stop = str(values.get("stop") or "")
    return check(
        Sampling(
            max_tokens=_whole(values, "max_tokens", "Max tokens"),
            temperature=_number(values, "temperature", "Temperature"),
            top_p=_number(values, "top_p", "Top-p"),
            top_k=_whole(values, "top_k", "Top-k"),
            repetition_penalty=_number(values, "repetition_penalty", "Repetition penalty"),
            seed=_whole(values, "seed", "Seed"),
            stop=tuple(line.replace("\\n", "\n") for line in stop.splitlines() if line),
        )
    )


def summary(values: Mapping[str, Any]) -> str:
    """The current settings in one line. Raises InvalidRequest as `ask_of`."""
    words = [str(sampling(values))]
    if values.get("mode") == RAW:
        words.append("raw completion")
    elif str(values.get("system") or "").strip():
        words.append("system prompt")
    if values.get("timing") == AT_ONCE:
        words.append("all at once")
    return " · ".join(words)


def _number(values: Mapping[str, Any], key: str, name: str) -> float:
    number = values.get(key)
    if number is None or isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidRequest(f"{name} is empty.", hint=f"The default is {getattr(DEFAULTS, key):g}.")
    return float(number)


def _whole(values: Mapping[str, Any], key: str, name: str) -> int:
    number = _number(values, key, name)
    if not number.is_integer():
        raise InvalidRequest(f"{name} is {number:g}.", hint="It has to be a whole number.")
    return int(number)
