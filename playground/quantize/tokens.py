"""Samples as the exact token ids a method sees, and their hash.

One sample is one sequence, cut at `max_length`. Sequences are not padded, and short ones are not packed together: a
method runs them one at a time, and a document boundary inside a sequence is something the model never meets in use.
Only sequences of fewer than MIN_TOKENS tokens are left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from playground.core import Message
from playground.errors import InvalidCalibration
from playground.texts.rows import Sample

MIN_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Tokenized:
    """What a method is calibrated on, ready for it.

    ids           one tuple of token ids per sequence
    templated     how many of them are conversations rendered with the tokenizer's chat template
    truncated     how many were cut at the maximum length
    content_hash  sha256 of the ids as compact JSON, a list of lists
    """

    ids: tuple[tuple[int, ...], ...]
    templated: int
    truncated: int
    content_hash: str

    @property
    def tokens(self) -> int:
        return sum(map(len, self.ids))

    def columns(self) -> dict[str, list[list[int]]]:
        """The columns of `datasets.Dataset.from_dict`, as `llmcompressor.oneshot(dataset=…)` takes it."""
        return {"input_ids": [list(row) for row in self.ids], "attention_mask": [[1] * len(row) for row in self.ids]}


def tokenize(samples: Iterable[Sample], tokenizer: Any, max_length: int, count: int) -> Tokenized:
    """The first `count` samples that have tokens enough. Raises InvalidCalibration when there are not so many.

    A conversation goes through the tokenizer's chat template; without one, or where the template refuses it (roles that
    do not alternate), its text is used as prose.
    """
    ids: list[tuple[int, ...]] = []
    templated = truncated = 0
    for found in samples:
        if len(ids) == count:
            break
        rendered = _rendered(found.messages, tokenizer) if found.messages else None
        # A template writes the special tokens itself.
        raw = tokenizer(found.plain) if rendered is None else tokenizer(rendered, add_special_tokens=False)
        row = tuple(int(token) for token in raw["input_ids"])
        if len(row) < MIN_TOKENS:
            continue
        templated += rendered is not None
        truncated += len(row) > max_length
        ids.append(row[:max_length])
    if len(ids) < count:
        raise InvalidCalibration(
            f"Only {len(ids):,} of the calibration samples have {MIN_TOKENS} tokens or more; {count:,} were asked for.",
            hint="Ask for fewer samples, or add longer text.",
        )
    return Tokenized(tuple(ids), templated, truncated, content_hash(ids))


def content_hash(ids: Iterable[tuple[int, ...]]) -> str:
    """sha256 of the ids as compact JSON: `[[1,2],[3]]`."""
    return hashlib.sha256(json.dumps(list(ids), separators=(",", ":")).encode()).hexdigest()


def _rendered(messages: tuple[Message, ...], tokenizer: Any) -> str | None:
    """The chat as the template writes it; None where there is no template, or it refuses even without a system turn."""
    import jinja2

    if not getattr(tokenizer, "chat_template", None):
        return None
    for turns in (messages, _without_system(messages)):
        try:
            return str(tokenizer.apply_chat_template([dict(turn) for turn in turns], tokenize=False))
        except jinja2.TemplateError:
            continue
    return None


def _without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The system turn at the head of the first user turn, for templates that know no system role."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return messages
    joined: Message = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
    return (joined, *messages[2:])
