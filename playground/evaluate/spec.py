"""The specs of an evaluation and of a divergence, and the conditions of the tasks.

Conditions are everything but the model that could change a score; they are the same for every variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, SkipValidation, model_serializer, model_validator

from playground.errors import InvalidRequest
from playground.evaluate.divergence import MAX_LENGTH, TOKENS
from playground.spec import Spec, Whole
from playground.texts.prose import BUNDLED

MAX_TOKENS = 10_000_000
WINDOW_LENGTHS = 16, 4096  # logits of a window are held twice: 4,096 × 150,000 words × 2 bytes are 1.2 GB
BATCH_SIZE = 8
DROP = 0.03  # of a score: what the plan says the needed items for
TEXT_TOKENS = 8192  # default for a divergence beside tasks
MAX_BATCH_SIZE = 1024
_BOOLEANS = {"true": True, "false": False}


class Conditions(Spec):
    """The settings of an evaluation, in lm-eval's meaning.

    tasks           names of tasks and groups
    limit           the first so many items of each task; None is all. It makes a sample, not the benchmark's score
    few_shot        examples before each question; None is the task's own number, and a task that fixes 0 keeps it
    chat_template   render each prompt with the tokenizer's template
    multiturn       with it: examples as turns of a conversation; else all in one message
    generation      arguments of generation that replace the task's own: max_gen_toks, temperature, top_p, until …
    strip_thinking  score only what follows the last </think>
    batch_size      prompts computed at once. It moves BF16 results a little, so that both sides need the same
    seed            of sampling and of the choice of examples; None is lm-eval's own four (0, 1234, 1234, 1234)
    allow_code      tasks may run code that the model wrote, on this machine

    Raises InvalidRequest.
    """

    tasks: tuple[str, ...]
    limit: Whole | None = Field(default=None, ge=1, title="The limit of items")
    few_shot: Whole | None = Field(default=None, ge=0, title="The number of examples")
    chat_template: bool = False
    multiturn: bool = False
    generation: Mapping[str, Any] = Field(default_factory=dict)
    strip_thinking: bool = False
    batch_size: Whole = Field(default=BATCH_SIZE, ge=1, le=MAX_BATCH_SIZE, title="The batch size")
    seed: Whole | None = Field(default=None, title="The seed")
    allow_code: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.tasks:
            raise InvalidRequest("No task was named.", hint="For instance gsm8k, coqa or bundled.")
        if self.multiturn and not self.chat_template:
            raise InvalidRequest(
                "Examples as turns of a conversation need the chat template.", hint="Turn it on, or multi-turn off."
            )
        return self

    def generation_arguments(self) -> dict[str, Any]:
        """Return the arguments that replace the task's own; `do_sample`, which lm-eval needs, with a temperature."""
        arguments = dict(self.generation)
        if float(arguments.get("temperature") or 0) > 0:
            arguments.setdefault("do_sample", True)
        return arguments


class Passage(Spec):
    """The text of a divergence: the first `tokens` of "bundled", a path or a data set of the hub."""

    text: str = BUNDLED
    tokens: Whole = Field(default=TEXT_TOKENS, ge=0, le=MAX_TOKENS)


class EvaluateSpec(Spec):
    """Evaluate variants on tasks. In JSON the conditions lie beside the other fields, as runs and jobs store them.

    variants    names, the reference first: smollm2, smollm2:nf4, smollm2@vllm …
    conditions  tasks, and everything that could change a score
    engine      for variants that name none: transformers, vllm; "" is transformers
    divergence  also the distance of each variant's distribution on this text; None leaves it out
    speed       also prefill and decode tok/s, measured before the tasks

    Raises InvalidRequest.
    """

    variants: tuple[str, ...]
    conditions: Conditions
    engine: str = ""
    divergence: Passage | None = None
    speed: bool = False

    @model_validator(mode="before")
    @classmethod
    def _nest_conditions(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping) or "conditions" in raw:
            return raw
        fields = {name: value for name, value in raw.items() if name not in Conditions.model_fields}
        return {**fields, "conditions": {name: value for name, value in raw.items() if name not in fields}}

    @model_validator(mode="after")
    def _require_variants(self) -> Self:
        if not self.variants:
            raise InvalidRequest("No variant was named.", hint="The first one is the reference.")
        return self

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"variants": list(self.variants), **self.settings()}

    @property
    def kind(self) -> str:
        return "evaluate"

    @property
    def title(self) -> str:
        """Return "smollm2, smollm2:nf4 · gsm8k, coqa · 200 items"."""
        limit = self.conditions.limit
        parts = [", ".join(self.variants), ", ".join(self.conditions.tasks), *([f"{limit} items"] if limit else [])]
        return " · ".join(parts)[:1200]

    def settings(self) -> dict[str, Any]:
        """Return the `settings` of its run: everything but the variants."""
        divergence = None if self.divergence is None else self.divergence.model_dump(mode="json")
        fields = {"engine": self.engine or "transformers", "divergence": divergence, "speed": self.speed}
        return {**self.conditions.model_dump(mode="json"), **fields}


class DivergenceSpec(Spec):
    """Measure the divergence of variants from their reference.

    variants    names, the reference first
    text        "bundled", a path, or `owner/name[:config][:split]` on the hub
    tokens      to predict at most, from the text's beginning; 0: all
    max_length  tokens of a window

    Raises InvalidRequest.
    """

    variants: tuple[str, ...]
    text: str = BUNDLED
    tokens: Whole = Field(default=TOKENS, ge=0, le=MAX_TOKENS)
    max_length: Whole = Field(default=MAX_LENGTH, ge=WINDOW_LENGTHS[0], le=WINDOW_LENGTHS[1])

    @model_validator(mode="after")
    def _require_two_variants(self) -> Self:
        if len(self.variants) < 2:
            raise InvalidRequest("There is nothing to compare.", hint="Name the reference, then its variants.")
        if twice := [name for name in self.variants if self.variants.count(name) > 1]:
            raise InvalidRequest(f"{twice[0]} is named twice.", hint="Name each variant once.")
        return self

    @property
    def kind(self) -> str:
        return "divergence"

    @property
    def title(self) -> str:
        """Return "smollm2 · divergence of smollm2:nf4, smollm2:int8"."""
        return f"{self.variants[0]} · divergence of {', '.join(self.variants[1:])}"[:1200]


class Request(Spec):
    """What a client asks for, as a job stores it: its kind, and the spec of that kind as JSON."""

    kind: Literal["evaluate", "divergence"] = "evaluate"
    spec: SkipValidation[EvaluateSpec | DivergenceSpec]  # `_read_by_kind` validates it: the errors of a union are two

    @model_validator(mode="before")
    @classmethod
    def _read_by_kind(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping) or "spec" not in raw:
            return raw
        of_kind = DivergenceSpec if raw.get("kind") == "divergence" else EvaluateSpec
        return {**raw, "spec": of_kind.model_validate(raw["spec"])}


class PlanRequest(Request):
    """A request for what a job takes and what it can detect.

    measure  time each variant on this machine first, where it never was: some seconds each
    drop     the loss of score, 0 to 1, that the number of items is computed for
    """

    measure: bool = False
    drop: float = Field(default=DROP, ge=0.005, le=0.5, title="The drop")


def arguments(text: str) -> dict[str, Any]:
    """Return lm-eval's arguments from "max_gen_toks=512, temperature=0.6". Raises InvalidRequest."""
    values: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.replace("\n", ",").split(","))):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not name.isidentifier() or not value:
            raise InvalidRequest(
                f"{part[:80]!r} is no argument of generation.", hint="Write max_gen_toks=512, temperature=0.6."
            )
        values[name] = _value(value)
    return values


def _value(text: str) -> Any:
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
