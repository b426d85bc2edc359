"""What an evaluation is asked: which variants, which tasks under which conditions, and what is measured beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playground.errors import InvalidRequest
from playground.evaluate.conditions import Conditions


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
