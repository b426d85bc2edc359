"""The spec of a review job: variants, prompts, and the terms of the review."""

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
    """Variants answer prompts, and their answers become a blind review. Raises InvalidRequest.

    variants  addresses, the reference first: smollm2, smollm2:nf4, smollm2@vllm …
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
        """Raises PlaygroundError for an unknown variant, or one that the title names."""
        variants = [models.variant(Address.parse(name).variant) for name in self.variants]
        rows = [
            {"id": variant.id, "label": variant.label, "scheme": variant.scheme, "method": variant.method}
            for variant in variants
        ]
        make.check(self.terms, rows)

    @property
    def items(self) -> int:
        """Pairs to vote on, if no two answers are the same."""
        count = len(self.variants)
        return len(self.prompts.prompts) * (count - 1 if self.terms.pairs == "reference" else count * (count - 1) // 2)

    @property
    def kind(self) -> str:
        return "review"

    @property
    def title(self) -> str:
        """ "smollm2, smollm2:nf4 · 48 bundled prompts" """
        return f"{', '.join(self.variants)} · {len(self.prompts.prompts)} {self.prompts.name} prompts"[:1200]
