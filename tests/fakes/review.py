"""Reviews without a model: answers that a test writes, and people who vote by a rule."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from playground.review import make, voting
from playground.review.make import PromptAnswers, Terms
from playground.store import reviews, runs
from playground.store.schema import Review, Reviewer, Run

VARIANTS: list[dict[str, Any]] = [
    {"id": "fake", "label": "BF16", "method": "cast", "scheme": "BF16", "bytes": 269_030_016, "engine": "transformers"},
    {
        "id": "fake:nf4",
        "label": "nf4",
        "method": "bitsandbytes",
        "scheme": "nf4",
        "bytes": 110_000_000,
        "engine": "vllm",
    },
    {"id": "fake:w3a16", "label": "W3A16", "method": "rtn", "scheme": "W3A16", "bytes": 98_000_000, "engine": "vllm"},
]
SECRETS = ("BF16", "nf4", "W3A16", "bitsandbytes", "rtn", "fake", "269030016", "110000000", "transformers", "vllm")
Rule = Callable[[dict[str, Any]], str]


def comparison(prompt: str, texts: list[str], **more: Any) -> Run:
    """A stored comparison of the first of VARIANTS."""
    run = Run(
        id=runs.new_id(),
        kind=more.pop("kind", "comparison"),
        title="a comparison",
        model="fake",
        created_at=time.time(),
        settings={"sampling": {"max_tokens": 64}},
        versions={},
        device={},
        variants=VARIANTS[: len(texts)],
        result={
            "prompt": {"messages": [{"role": "user", "content": prompt}], "text": prompt},
            "panes": [
                {"variant": row["id"], "engine": row["engine"], "text": text, "finish_reason": "stop"}
                for row, text in zip(VARIANTS, texts, strict=False)
            ],
        },
        **more,
    )
    runs.add(run)
    return run


def answered(count: int, variants: int = 2) -> list[PromptAnswers]:
    """Answers that tell their variant to a test, by a word that names nothing: plum, pear, fig."""
    fruit = ("plum", "pear", "fig")
    return [
        PromptAnswers(f"Question {n}?", tuple(f"The {fruit[v]} of question {n}." for v in range(variants)))
        for n in range(count)
    ]


def review(
    count: int = 4,
    variants: int = 2,
    invitations: Sequence[str] = ("Anna", "Ben"),
    answers: Sequence[PromptAnswers] | None = None,
    **terms: Any,
) -> Review:
    asked = Terms(invitations=tuple(invitations), **terms)
    return make.make(asked, VARIANTS[:variants], answers or answered(count, variants), {"source": "test"}, "A test")


def invited(found: Review) -> list[Reviewer]:
    return [one for one in reviews.reviewers(found.id) if one.invited]


def vote_all(found: Review, key: str, rule: Rule, token: str = "", most: int = 10_000) -> None:
    """Vote until the end, or `most` times; `rule` reads what a reviewer sees."""
    state = voting.state(found.id, key, token)
    while state["stage"] == "vote" and most:
        state = voting.vote(found.id, key, token, state["item"]["at"], rule(state["item"]), "")
        most -= 1


def prefers(fruit: str) -> Rule:
    """Whoever likes one fruit votes for it on whichever side it stands."""
    return lambda item: "a" if fruit in item["a"] else "b" if fruit in item["b"] else "tie"
