"""Measured variants to check and compare: items by their scores, facts of a bundled model and its forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from playground.evaluate.items import Item, Measured, TaskFacts

REFERENCE = {
    "method": "cast",
    "scheme": "BF16",
    "bytes": 269_000_000,
    "bits_per_weight": 16.0,
    "engine": "transformers",
    "dtype": "bfloat16",
    "loaded_bytes": 269_000_000,
    "template_hash": "t1",
}
NF4 = REFERENCE | {
    "method": "bitsandbytes",
    "scheme": "nf4",
    "bytes": 112_000_000,
    "bits_per_weight": 6.65,
    "loaded_bytes": 110_000_000,
}
MATH = TaskFacts("math", "Sums", "exact_match", None, True, 0, 100, 100, True, False, False)
FACTS = TaskFacts("facts", "Facts", "acc", 0.25, True, 0, 100, 100, True, False, False)


def item(number: int, score: float, who: str = "", **changed: Any) -> Item:
    """One generated answer, of `who` and unlike anybody else's."""
    values: dict[str, Any] = {
        "doc_id": number,
        "doc_hash": f"d{number}",
        "prompt_hash": f"p{number}",
        "cluster": "",
        "prompt": f"What is {number} + 1?",
        "gold": str(number + 1),
        "answer": f"{who} says {score}",
        "extracted": str(score),
        "score": score,
        "truncated": False,
        "loglikelihoods": None,
    }
    return Item(**values | changed)


def generated(who: str, scores: Sequence[float], **changed: Any) -> list[Item]:
    return [item(number, score, who, **changed) for number, score in enumerate(scores)]


def chosen(who: int, scores: Sequence[float]) -> list[Item]:
    """Multiple choice; `who` moves the log-likelihoods."""
    return [item(n, score, loglikelihoods=(-1.5 - n - who / 8, -2.5)) for n, score in enumerate(scores)]


def measured(variant: str, items: Sequence[Item], facts: dict[str, Any] = REFERENCE, task: str = "math") -> Measured:
    """With weights of its own."""
    return Measured(variant, f"hash of {variant}", facts, {task: items})


def scores(right: int, wrong: int) -> list[float]:
    return [1.0] * right + [0.0] * wrong
