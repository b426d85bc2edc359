"""What an evaluation is asked: which variants, which tasks under which conditions, and what is measured beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from playground.errors import InvalidRequest
from playground.evaluate.conditions import Conditions
from playground.evaluate.divergence import MAX_LENGTH, TOKENS
from playground.texts.prose import BUNDLED


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


# What a divergence job is asked: which variants against which reference, on what text.


MOST_TOKENS = 10_000_000
LENGTHS = 16, 4096  # logits of a window are held twice: 4,096 × 150,000 words × 2 bytes are 1.2 GB


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
