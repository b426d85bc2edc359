"""Tokenize calibration samples to the exact token ids that a method reads, and hash them.

One sample is one sequence, truncated at `max_length`. Sequences are neither padded nor packed: a method runs them one
at a time, and in use a model never reads two documents in one sequence. Sequences of fewer than MIN_TOKENS tokens are
skipped.
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
    """Tokenized calibration text.

    ids           one tuple of token ids per sequence
    templated     number of sequences rendered with the tokenizer's chat template
    truncated     number of sequences truncated at the maximum length
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
        """Return the columns for `datasets.Dataset.from_dict`, which `llmcompressor.oneshot(dataset=…)` takes."""
        return {"input_ids": [list(row) for row in self.ids], "attention_mask": [[1] * len(row) for row in self.ids]}


def tokenize(samples: Iterable[Sample], tokenizer: Any, max_length: int, count: int) -> Tokenized:
    """Tokenize the first `count` samples of at least MIN_TOKENS tokens. Raises InvalidCalibration if there are fewer.

    Conversations are rendered with the tokenizer's chat template; without one, or if it refuses them (roles that do not
    alternate), their plain text is used.
    """
    ids: list[tuple[int, ...]] = []
    templated = truncated = 0
    for sample in samples:
        if len(ids) == count:
            break
        rendered = _render(sample.messages, tokenizer) if sample.messages else None
        # The template adds the special tokens.
        raw = tokenizer(sample.plain) if rendered is None else tokenizer(rendered, add_special_tokens=False)
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
    """Return the sha256 of the ids as compact JSON: `[[1,2],[3]]`."""
    return hashlib.sha256(json.dumps(list(ids), separators=(",", ":")).encode()).hexdigest()


def _render(messages: tuple[Message, ...], tokenizer: Any) -> str | None:
    """Return the rendered conversation; None without a template, or if it refuses it with and without system turn."""
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
    """Prepend the system turn to the first user turn, for templates without a system role."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return messages
    joined: Message = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
    return (joined, *messages[2:])
