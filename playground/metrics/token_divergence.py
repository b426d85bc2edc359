"""How far one distribution moved from another, token by token, over the full vocabulary in FP32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Logits at a time: what stays in a core's own cache while it is read again and again, or what keeps a GPU busy.
CPU_CELLS, GPU_CELLS = 2**17, 2**24
BLOCKS = 64


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


def token_divergence(reference: Any, other: Any, next_ids: Any, rows: int = 0) -> TokenDivergence:
    """Compare logits [positions, vocabulary] of any float type; `next_ids` [positions] is what really came next.

    `rows` positions are worked on at a time; 0: as many as suit the device. KLD is clamped at 0: two equal
    distributions differ by rounding alone, in both directions.
    """
    import torch

    rows = rows or max(1, (CPU_CELLS if reference.device.type == "cpu" else GPU_CELLS) // reference.shape[-1])
    parts: list[list[torch.Tensor]] = []
    for at in range(0, len(next_ids), rows):
        p, q = _Softmax(reference[at : at + rows]), _Softmax(other[at : at + rows])
        x = next_ids[at : at + rows].to(reference.device)
        of_p, of_q = p.log_of(x), q.log_of(x)
        parts.append([_kld(p, q), -of_p, -of_q, p.top == q.top, of_q.exp() - of_p.exp(), 1 / p.total])
    if not parts:
        empty = torch.empty(0)
        return TokenDivergence(empty, empty, empty, empty.bool(), empty, empty)
    return TokenDivergence(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))


class _Softmax:
    """The pieces of a softmax in FP32; dividing every word by the total, and two logarithms of each, are spared.

    shifted  logits less the largest of their row
    exp      exp(shifted), whose largest is 1
    total    its sum: a probability is exp / total
    top      the most probable word
    """

    def __init__(self, logits: Any) -> None:
        import torch

        copied = logits.to(torch.float32, copy=True)
        largest, self.top = _largest(copied)
        self.shifted = copied.sub_(largest[:, None])
        self.exp = self.shifted.exp()
        self.total = self.exp.sum(-1)

    def log_of(self, ids: Any) -> Any:
        """ln of the probability of one word of each row."""
        return self.shifted.gather(-1, ids[:, None])[:, 0] - self.total.log()


def _largest(rows: Any) -> tuple[Any, Any]:
    """Value and place of the largest of each row: through the largest of each block, seven times as fast on a CPU."""
    width, rest = divmod(rows.shape[-1], BLOCKS)
    if rest or rows.device.type != "cpu":
        found = rows.max(-1)
        return found.values, found.indices
    blocks = rows.view(len(rows), BLOCKS, width)
    largest = blocks.amax(-1).max(-1)
    within = blocks[range(len(rows)), largest.indices].argmax(-1)
    return largest.values, largest.indices * width + within


def _kld(p: _Softmax, q: _Softmax) -> Any:
    """Σ p (ln p − ln q) of each row; overwrites `p.shifted`. A word that the reference masks counts nothing."""
    terms = p.shifted.sub_(q.shifted).mul_(p.exp)
    total = terms.sum(-1)
    if bool(total.isnan().any()):  # 0 · ∞ of a masked word
        total = terms.masked_fill_(p.exp == 0, 0.0).sum(-1)
    return (total / p.total + q.total.log() - p.total.log()).clamp_min(0)
