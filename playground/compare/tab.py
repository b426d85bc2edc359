"""The Compare tab: what is on it. What happens there is in `compare_events`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from playground.compare import endpoints_panel, form
from playground.compare.session import MAX_PANES
from playground.web import gradio as gr
from playground.web.theme import drawn, notice, pane, text

EXAMPLES = {
    "What is gravity?": "What is gravity?",
    "Explain a KV cache": "Explain what a key-value cache is in a language model, in three sentences.",
    "17 × 23, step by step": "What is 17 × 23? Work it out step by step.",
    "Write a haiku": "Write a haiku about rain on a tin roof.",
}


@dataclass(frozen=True)
class Slot:
    """One pane: its picker in the bar, its view below. The script hides both while the view has no value."""

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
        drawn("theme", elem_id="pg-theme")
    with gr.Column(elem_id="pg-main"):
        with gr.Row(elem_id="pg-bar"):
            with gr.Column(elem_id="pg-model", min_width=0):
                model = _picker("Model: bundled, a hub repository or a local folder", "pg-model-pick")
                origin = text(elem_id="pg-origin")
            endpoints = endpoints_panel.layout()
            pickers = [_slot_picker(index) for index in range(MAX_PANES)]
            add = gr.Button("+ variant", elem_id="pg-add", size="sm", min_width=0)
            drawn("legend", elem_id="pg-legend")
        missing = notice(elem_id="pg-notice")
        with gr.Row(elem_id="pg-panes"):
            slots = tuple(Slot(*picker, _slot_view(index)) for index, picker in enumerate(pickers))
        verdict = drawn("verdict", elem_id="pg-verdict")
        drawn("plot", elem_id="pg-plot")
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
                f"{form.DEFAULTS} · settings", size="sm", min_width=0, elem_id="pg-line", elem_classes="pg-quiet"
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
    default = form.DEFAULTS

    def number(name: str, label: str, info: str, step: float = 1) -> gr.Number:
        return gr.Number(
            getattr(default, name), label=label, info=info, step=step, min_width=0, elem_classes="pg-field"
        )

    with gr.Column(elem_id="pg-settings"):
        with gr.Row(elem_classes="pg-wide"):
            mode = gr.Radio(
                [form.CHAT, form.RAW], value=form.CHAT, label="Mode", min_width=0, elem_id="pg-mode",
                elem_classes="pg-seg",
            )  # fmt: skip
            timing = gr.Radio(
                [form.TURNS, form.AT_ONCE], value=form.TURNS, label="Panes on different engines", min_width=0,
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
