"""What can be asked of Evaluate: the spec of an evaluation, the spec of a divergence, and the conditions of a task.

Conditions are everything but the model that could change a score, the same for every variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from playground.errors import InvalidRequest
from playground.evaluate.divergence import MAX_LENGTH, TOKENS
from playground.texts.prose import BUNDLED

MOST_TOKENS = 10_000_000
LENGTHS = 16, 4096  # logits of a window are held twice: 4,096 × 150,000 words × 2 bytes are 1.2 GB
BATCH_SIZE = 8
MAX_BATCH_SIZE = 1024


@dataclass(frozen=True, slots=True)
class EvaluateSpec:
    """Evaluate variants on tasks.

    variants    names, the reference first: smollm2, smollm2:nf4, smollm2@vllm …
    conditions  tasks, and everything that could change a score
    engine      for variants that name none: transformers, vllm; "" is transformers
    divergence  {"text", "tokens"}: also the distance of each variant's distribution; None leaves it out
    speed       also prefill and decode tok/s, measured before the tasks

    Raises InvalidRequest.
    """

    variants: tuple[str, ...]
    conditions: Conditions
    engine: str = ""
    divergence: Mapping[str, Any] | None = None
    speed: bool = False

    def __post_init__(self) -> None:
        if not self.variants:
            raise InvalidRequest("No variant was named.", hint="The first one is the reference.")

    @property
    def kind(self) -> str:
        return "evaluate"

    @property
    def title(self) -> str:
        """ "smollm2, smollm2:nf4 · gsm8k, coqa · 200 items" """
        limit = self.conditions.limit
        asked = [", ".join(self.variants), ", ".join(self.conditions.tasks), *([f"{limit} items"] if limit else [])]
        return " · ".join(asked)[:1200]

    def settings(self) -> dict[str, Any]:
        """The `settings` of its run: everything but the variants."""
        divergence = None if self.divergence is None else dict(self.divergence)
        asked = {"engine": self.engine or "transformers", "divergence": divergence, "speed": self.speed}
        return {**self.conditions.as_dict(), **asked}

    def as_dict(self) -> dict[str, Any]:
        return {"variants": list(self.variants), **self.settings()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> EvaluateSpec:
        return cls(
            variants=tuple(raw["variants"]),
            conditions=Conditions.from_dict(raw),
            engine=str(raw.get("engine", "")),
            divergence=raw.get("divergence"),
            speed=bool(raw.get("speed", False)),
        )


@dataclass(frozen=True, slots=True)
class DivergenceSpec:
    """Measure how far variants moved from their reference.

    variants    names, the reference first
    text        "bundled", a path, or `owner/name[:config][:split]` on the hub
    tokens      to predict at most, from the text's beginning; 0: all
    max_length  tokens of a window

    Raises InvalidRequest.
    """

    variants: tuple[str, ...]
    text: str = BUNDLED
    tokens: int = TOKENS
    max_length: int = MAX_LENGTH

    def __post_init__(self) -> None:
        if len(self.variants) < 2:
            raise InvalidRequest("There is nothing to compare.", hint="Name the reference, then its variants.")
        if twice := [name for name in self.variants if self.variants.count(name) > 1]:
            raise InvalidRequest(f"{twice[0]} is named twice.", hint="Name each variant once.")
        _within("tokens", self.tokens, 0, MOST_TOKENS)
        _within("max length", self.max_length, *LENGTHS)

    @property
    def kind(self) -> str:
        return "divergence"

    @property
    def title(self) -> str:
        """ "smollm2 · divergence of smollm2:nf4, smollm2:int8" """
        return f"{self.variants[0]} · divergence of {', '.join(self.variants[1:])}"[:1200]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"variants": list(self.variants)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> DivergenceSpec:
        return cls(
            variants=tuple(raw["variants"]),
            text=str(raw.get("text", BUNDLED)),
            tokens=raw.get("tokens", TOKENS),
            max_length=raw.get("max_length", MAX_LENGTH),
        )


def _within(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidRequest(f"{name} is {value!r:.40}.", hint=f"It is a whole number from {low:,} to {high:,}.")


@dataclass(frozen=True, slots=True)
class Conditions:
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
    limit: int | None = None
    few_shot: int | None = None
    chat_template: bool = False
    multiturn: bool = False
    generation: Mapping[str, Any] = field(default_factory=dict)
    strip_thinking: bool = False
    batch_size: int = BATCH_SIZE
    seed: int | None = None
    allow_code: bool = False

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InvalidRequest("No task was named.", hint="For instance gsm8k, coqa or bundled.")
        if self.limit is not None and self.limit < 1:
            raise InvalidRequest("The limit is a number of items, 1 or more.", hint="Leave it out for all of them.")
        if self.few_shot is not None and self.few_shot < 0:
            raise InvalidRequest("The number of examples is 0 or more.")
        if not 1 <= self.batch_size <= MAX_BATCH_SIZE:
            raise InvalidRequest(f"The batch size is between 1 and {MAX_BATCH_SIZE}.")
        if self.multiturn and not self.chat_template:
            raise InvalidRequest(
                "Examples as turns of a conversation need the chat template.", hint="Turn it on, or multi-turn off."
            )

    def generation_arguments(self) -> dict[str, Any]:
        """What replaces the task's own. A temperature asks for sampling, which lm-eval wants said aloud."""
        asked = dict(self.generation)
        if float(asked.get("temperature") or 0) > 0:
            asked.setdefault("do_sample", True)
        return asked

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"tasks": list(self.tasks), "generation": dict(self.generation)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Conditions:
        known = {name: raw[name] for name in cls.__dataclass_fields__ if name in raw}
        return cls(**known | {"tasks": tuple(raw["tasks"])})
