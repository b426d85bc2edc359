"""What can be asked of Review: which variants answer which prompts, and how the review of the answers is held."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from playground import models
from playground.compare.spec import check
from playground.core import Sampling
from playground.errors import InvalidRequest
from playground.models.address import Address
from playground.review import make
from playground.review.make import MAX_ITEMS, MAX_VARIANTS, PromptSet, Terms
from playground.spec import Spec

SAMPLING = Sampling(max_tokens=200)


class ReviewSpec(Spec):
    """Let variants answer prompts, and make a blind review of the answers.

    variants  addresses, the reference first: smollm2, smollm2:nf4, smollm2@vllm …

    Raises InvalidRequest.
    """

    variants: tuple[str, ...]
    prompts: PromptSet
    terms: Terms
    sampling: Sampling = SAMPLING
    name: str = ""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 2 <= len(self.variants) <= MAX_VARIANTS:
            raise InvalidRequest(
                f"{len(self.variants)} variants are named.", hint=f"Allowed: 2 to {MAX_VARIANTS}, the reference first."
            )
        if twice := [name for name in self.variants if self.variants.count(name) > 1]:
            raise InvalidRequest(f"{twice[0]} is named twice.", hint="Name each variant once.")
        check(self.sampling)
        if self.items > MAX_ITEMS:
            raise InvalidRequest(
                f"That makes {self.items} pairs to vote on.",
                hint=f"Allowed: {MAX_ITEMS}. Take fewer prompts or variants.",
            )
        return self

    def check(self) -> None:
        """Whether each variant is known, and the title names none. Raises PlaygroundError."""
        known = [models.variant(Address.parse(name).variant) for name in self.variants]
        make.check(
            self.terms,
            [{"id": one.id, "label": one.label, "scheme": one.scheme, "method": one.method} for one in known],
        )

    @property
    def items(self) -> int:
        """Pairs to vote on, when no two answers are the same."""
        count = len(self.variants)
        return len(self.prompts.prompts) * (count - 1 if self.terms.pairs == "reference" else count * (count - 1) // 2)

    @property
    def kind(self) -> str:
        return "review"

    @property
    def title(self) -> str:
        """ "smollm2, smollm2:nf4 · 48 bundled prompts" """
        return f"{', '.join(self.variants)} · {len(self.prompts.prompts)} {self.prompts.name} prompts"[:1200]
