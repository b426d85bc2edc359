"""How far one distribution moved from another, token by token, over the full vocabulary in FP32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ROWS = 128  # positions at a time: 128 × 150,000 words × 4 bytes are 77 MB for each of the few copies


@dataclass(frozen=True, slots=True)
class TokenDivergence:
    """One value a position, on the CPU; p is the reference, q the variant, x the actual next token.

    kld            Σ p (ln p − ln q), nats, of the whole vocabulary
    nll_reference  −ln p(x), nats
    nll            −ln q(x), nats
    agrees         whether both have the same most probable token
    dp             q(x) − p(x)
    confidence     the largest p: how sure the reference was
    """

    kld: torch.Tensor
    nll_reference: torch.Tensor
    nll: torch.Tensor
    agrees: torch.Tensor
    dp: torch.Tensor
    confidence: torch.Tensor


def token_divergence(reference: Any, other: Any, next_ids: Any, rows: int = ROWS) -> TokenDivergence:
    """Compare logits [positions, vocabulary] of any float type; `next_ids` [positions] is what really came next.

    KLD is clamped at 0: two equal distributions differ by rounding alone, in both directions.
    """
    import torch

    parts: list[list[torch.Tensor]] = []
    for at in range(0, len(next_ids), rows):
        log_p = reference[at : at + rows].float().log_softmax(-1)
        log_q = other[at : at + rows].float().log_softmax(-1)
        x = next_ids[at : at + rows].to(log_p.device)[:, None]
        top = log_p.max(-1)
        of_p, of_q = log_p.gather(-1, x)[:, 0], log_q.gather(-1, x)[:, 0]
        agrees = log_q.argmax(-1) == top.indices
        dp = of_q.exp() - of_p.exp()
        p = log_p.exp()
        kld = torch.where(p > 0, p * (log_p - log_q), 0.0).sum(-1).clamp_min(0)  # a masked word counts nothing
        parts.append([kld, -of_p, -of_q, agrees, dp, top.values.exp()])
    if not parts:
        empty = torch.empty(0)
        return TokenDivergence(empty, empty, empty, empty.bool(), empty, empty)
    return TokenDivergence(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))
