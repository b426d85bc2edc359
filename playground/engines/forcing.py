"""Teacher forcing: one text through several variants, and what each wanted at every position of it.

The text is usually what the reference itself wrote. Forced, every variant sees the same context at every position, so
that the distributions can be compared; left to itself, a variant that takes another turn is lost after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playground.core import Alternative


@dataclass(frozen=True, slots=True)
class Forcing:
    """One request to force a text through variants.

    token_ids  the text: what came after `prompt_ids`
    top        how many of the most probable tokens each position carries
    """

    reference: str
    others: tuple[str, ...]
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    top: int = 5
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class ForcedToken:
    """One position, as a variant sees it beside the reference; all of the raw distribution, before any sampling.

    kld                nats, reference‖variant, over the whole vocabulary
    agrees             whether both have the same most probable token
    logprob_reference  nats, of the token that really stands there; `logprob` is the variant's
    top_reference      the reference's most probable tokens, best first; `top` are the variant's
    """

    kld: float
    agrees: bool
    logprob_reference: float
    logprob: float
    top_reference: tuple[Alternative, ...]
    top: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class ForcedTokens:
    """Consecutive positions in variant number `other` of the request's others; `start` is the first one's index."""

    other: int
    start: int
    tokens: tuple[ForcedToken, ...]


@dataclass(frozen=True, slots=True)
class ForcedSummary:
    """What one text says of a variant: one prompt only, so no standard error and no claim beyond it."""

    kld_mean: float
    top1_agreement: float
    tokens: int

    def __str__(self) -> str:
        return f"mean KLD {nats(self.kld_mean)} nats, same top token {self.top1_agreement:.0%}"

    def as_dict(self) -> dict[str, Any]:
        return {"kld_mean": self.kld_mean, "top1_agreement": self.top1_agreement, "tokens": self.tokens}


def summary(tokens: Sequence[ForcedToken]) -> ForcedSummary | None:
    """None where there is nothing to sum up."""
    count = len(tokens)
    if not count:
        return None
    return ForcedSummary(sum(t.kld for t in tokens) / count, sum(t.agrees for t in tokens) / count, count)


def nats(kld: float) -> str:
    """Two digits that say something: 0.084, 1.3; what is below a hundred thousandth is rounding."""
    if kld < 1e-5:
        return "0"
    if kld >= 0.995:
        return f"{kld:.1f}"
    digits = next(n for n in range(2, 7) if kld >= 0.995 * 10 ** (1 - n))
    return f"{kld:.{digits}f}"
