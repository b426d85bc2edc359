"""Token ids of a text, cut into windows that a model reads at once, so that each token is predicted exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playground.errors import EvaluationError
from playground.texts.prose import Text

PROBE = "a"  # any word: what a tokenizer puts before it, it puts before every text


@dataclass(frozen=True, slots=True)
class Window:
    """One forward pass: the model reads `ids` and predicts the last `predicted` of them."""

    ids: tuple[int, ...]
    predicted: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: the windows of each document, documents with nothing to predict left out."""

    documents: tuple[tuple[Window, ...], ...]

    @property
    def tokens(self) -> int:
        """How many are predicted."""
        return sum(window.predicted for document in self.documents for window in document)

    @property
    def ids(self) -> frozenset[int]:
        """The token ids that are read."""
        return frozenset(i for document in self.documents for window in document for i in window.ids)

    @property
    def longest(self) -> int:
        """Tokens of the longest window."""
        return max(len(window.ids) for document in self.documents for window in document)


def plan(text: Text, tokenizer: Any, tokens: int, max_length: int) -> Plan:
    """The first documents of a text, `tokens` to predict at most (0: all), in windows of `max_length` at most.

    Raises EvaluationError where there is nothing to predict.
    """
    prefix = beginning(tokenizer)
    if max_length < len(prefix) + 2:
        raise EvaluationError(
            f"A window of {max_length} tokens has nothing to predict.", hint="Take a longer one: 512 is usual."
        )
    documents = []
    left = tokens or None
    seen = 0
    for document in text.documents:
        ids = tokenizer(document, add_special_tokens=False, verbose=False)["input_ids"]
        seen += len(ids)
        if left is not None:
            ids = ids[: left + (not prefix)]
        if found := windows(ids, prefix, max_length):
            documents.append(found)
        if left is not None:
            left -= sum(window.predicted for window in found)
            if left <= 0:
                break
    if not documents:
        raise EvaluationError(
            f"{text.name} has {seen} token{'' if seen == 1 else 's'}: there is no next token to predict.",
            hint="Take a longer text.",
        )
    return Plan(tuple(documents))


def beginning(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer puts before every text: a begin-of-sequence id, or nothing."""
    bare = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    full = tokenizer(PROBE)["input_ids"]
    return tuple(full[: full.index(bare[0])])


def windows(ids: Sequence[int], prefix: Sequence[int], max_length: int) -> tuple[Window, ...]:
    """Cut the ids of one document.

    Every window begins with the prefix. Without one the first token of a document is not predicted, and each further
    window begins with the last token of the one before, so that no other token is left out.
    """
    room, shared = max_length - len(prefix), 0 if prefix else 1
    found = []
    for start in range(0, max(0, len(ids) - shared), room - shared):
        part = ids[start : start + room]
        found.append(Window((*prefix, *part), len(part) - shared))
    return tuple(found)
