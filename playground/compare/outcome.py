"""The outcome of a comparison: ratios of size, memory and speed, the first differing token, and caveats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from playground.compare.answer import Answer
from playground.core import Token
from playground.engines import base
from playground.metrics.timing import speed_ratio_interval

MIN_GAPS = 16  # for a speed ratio: a mean of a dozen steps moves by tens of percent
OTHER_SETTINGS = "its settings differ from the reference’s"


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first position where two answers differ. The token of a side that had ended there is None."""

    index: int
    reference: Token | None
    other: Token | None

    def sentence(self, label: str, reference_label: str = "the reference") -> str:
        """Each side's token at this position and, where the engine reports probabilities, the margin between them."""
        reference = _chose(self.reference, reference_label)
        other = _chose(self.other, label)
        return f"Token {self.index + 1}: {reference}; {other}{self._margin()}."

    def _margin(self) -> str:
        """How far behind the reference's token was in the variant: a near tie says little."""
        token, reference = self.other, self.reference
        if token is None or reference is None or token.logprob is None or not token.top:
            return ""
        logprob = next((entry.logprob for entry in token.top if entry.id == reference.id), None)
        if logprob is None:
            return f"; {quoted(reference)} is not among its top {len(token.top)}"
        points = 100 * (exp(token.logprob) - exp(logprob))
        if points < 0:  # it was sampled, not the most probable
            return f", though {quoted(reference)} was {_points(-points)} more probable"
        return f", {_points(points)} ahead of {quoted(reference)}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One variant against the reference. A ratio is variant / reference; None where it could not be measured."""

    variant_id: str
    label: str
    size_ratio: float | None
    memory_ratio: float | None
    decode_ratio: float | None
    decode_interval: tuple[float, float] | None
    identical: bool
    divergence: Divergence | None
    headline: str
    detail: str
    explanation: str
    caveats: tuple[str, ...]

    @property
    def text(self) -> str:
        words = (self.headline, self.detail, self.explanation, f"({', '.join(self.caveats)})")
        return " ".join(word for word in words if word)

    def as_row(self, pane: int) -> dict[str, Any]:
        """An entry of `verdict` in a stored run; `pane` is the number of the answer."""
        split = self.divergence
        return {
            "pane": pane,
            "variant": self.variant_id,
            "label": self.label,
            "text": self.text,
            "headline": self.headline,
            "detail": self.detail,
            "explanation": self.explanation,
            "caveats": list(self.caveats),
            "size_ratio": self.size_ratio,
            "memory_ratio": self.memory_ratio,
            "decode_ratio": self.decode_ratio,
            "decode_interval": list(self.decode_interval) if self.decode_interval else None,
            "identical": self.identical,
            "parts_at": {"index": split.index, "sentence": split.sentence(self.label)} if split else None,
        }


def strip_row(row: Mapping[str, Any], divergence: Mapping[str, Any] | None) -> dict[str, Any]:
    """An outcome in the strip under the panes: a row of `Outcome.as_row` with its `ForcedAnswer.short`."""
    return {
        "headline": row["headline"],
        "detail": row["detail"],
        "explanation": row["explanation"],
        "caveats": row["caveats"],
        "size": row["size_ratio"],
        "memory": row["memory_ratio"],
        "decode": row["decode_ratio"],
        "interval": row["decode_interval"],
        "divergence": divergence,
    }


def quoted(token: Token) -> str:
    """The token in quotes, with its outer spaces removed and white space made visible."""
    text = token.piece.strip(" ").replace("\n", "↵").replace("\t", "⇥")
    return f"“{text or '␣' * len(token.piece)}”"


def _chose(token: Token | None, label: str) -> str:
    if token is None:
        return f"{label} had finished"
    share = "" if token.logprob is None else f" ({exp(token.logprob):.0%})"
    most_probable = not token.top or token.top[0].id == token.id
    return f"{label} {'chose' if most_probable else 'wrote'} {quoted(token)}{share}"


def _points(points: float) -> str:
    """Percentage points, with one decimal below 2."""
    if points < 0.05:
        return "less than 0.1 points"
    return f"{points:.1f} points" if points < 2 else f"{points:.0f} points"


def diverges_at(reference: Answer, other: Answer) -> Divergence | None:
    """The first differing token of two answers to one prompt; None where there is none, or the prompts differ.

    A missing token counts as different only once the shorter side has ended by itself.
    """
    if not reference.same_prompt(other):
        return None
    a, b = reference.tokens, other.tokens
    for index in range(min(len(a), len(b))):
        if a[index].id != b[index].id:
            return Divergence(index, a[index], b[index])
    if len(a) == len(b):
        return None
    shorter, longer = (reference, other) if len(a) < len(b) else (other, reference)
    if shorter.finish is None or shorter.finish.reason != "stop":
        return None
    index = len(shorter.tokens)
    token = longer.tokens[index]
    return Divergence(index, None, token) if shorter is reference else Divergence(index, token, None)


def shared_tokens(reference: Answer, other: Answer) -> int:
    """How many tokens of `other` had the reference's context: up to and including the first that differs."""
    if not reference.same_prompt(other):
        return 0
    split, count = diverges_at(reference, other), min(len(reference.tokens), len(other.tokens))
    return min(count, split.index + 1) if split else count


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None


def _speed_words(ratio: float, interval: tuple[float, float]) -> str:
    if interval[0] <= 1 <= interval[1]:
        return "as fast, within the noise of this run"
    return f"{ratio:.2f}× faster here" if ratio > 1 else f"{1 / ratio:.2f}× slower here"


def _size_words(ratio: float) -> str:
    if 0.995 <= ratio <= 1.005:
        return "the same size"
    return f"{1 - ratio:.0%} smaller" if ratio < 1 else f"{ratio:.2f}× the size"


def _clean(answer: Answer) -> bool:
    return answer.error is None and answer.finish is not None and answer.finish.reason != "abort"


def outcomes(answers: Sequence[Answer]) -> list[tuple[int, Outcome]]:
    """One outcome, with its answer's number, for each answer after the first, which is the reference.

    Answers without any token are left out.
    """
    if not answers or not answers[0].tokens:
        return []
    return [(number, outcome(answers[0], answer)) for number, answer in enumerate(answers) if number and answer.tokens]


def outcome(reference: Answer, answer: Answer) -> Outcome:
    """Compare one answer with the reference's; a ratio is None where either side was not measured."""
    label = answer.variant.label if answer.variant else answer.variant_id
    same_engine = answer.engine == reference.engine
    if not same_engine:
        label += f" in {base.title(answer.engine)}"
    variants = answer.variant, reference.variant
    size = _ratio(*(variant.bytes if variant else None for variant in variants))
    memory = _ratio(answer.peak_memory_bytes, reference.peak_memory_bytes)
    speed = None
    if min(len(reference.gaps_s), len(answer.gaps_s)) >= MIN_GAPS:
        speed = speed_ratio_interval(reference.gaps_s, answer.gaps_s)
    ratio, interval = (speed[0], (speed[1], speed[2])) if speed else (None, None)
    same_prompt = reference.same_prompt(answer)
    same_tokenizer = bool(
        reference.loaded and answer.loaded and reference.loaded.tokenizer_hash == answer.loaded.tokenizer_hash
    )
    split = diverges_at(reference, answer)

    words = []
    if size is not None:
        words.append(_size_words(size))
    if ratio is not None and interval is not None:
        words.append(_speed_words(ratio, interval))
    headline = f"{label} is {' and '.join(words)}." if words else f"{label} ran."

    caveats = ["this prompt only"]
    if ratio is None:
        caveats.append(f"too few tokens for a speed ratio (needs {MIN_GAPS + 1})")
    if not same_engine:
        caveats.append("different engines")
    if answer.trace().clock != reference.trace().clock:
        caveats.append("one is timed by its engine, the other on arrival")
    if reference.contended or answer.contended:
        caveats.append("contended: they ran at the same time and slowed each other")
    if not (_clean(reference) and _clean(answer)):
        caveats.append("a pane was stopped or failed")
    if not same_tokenizer:
        caveats.append("different tokenizers: compare the texts, not the tokens")
    elif not same_prompt:
        caveats.append("the conversations differ, so the prompts are not the same")
    if answer.sampling != reference.sampling:
        caveats.append(OTHER_SETTINGS)

    if not same_prompt:
        detail = ""
    elif split:
        detail = f"The answers diverge at token {split.index + 1}."
    else:
        detail = f"All {min(len(reference.tokens), len(answer.tokens))} tokens are the same."
    slower = ratio is not None and interval is not None and interval[1] < 1
    return Outcome(
        variant_id=answer.variant_id,
        label=label,
        size_ratio=size,
        memory_ratio=memory,
        decode_ratio=ratio,
        decode_interval=interval,
        identical=same_prompt and split is None and len(reference.tokens) == len(answer.tokens),
        divergence=split,
        headline=headline,
        detail=detail,
        explanation=explain_slower(answer) if slower else "",
        caveats=tuple(caveats),
    )


def explain_slower(answer: Answer) -> str:
    """Why a smaller variant is slower here: the kernel that the engine reports for its loaded modules."""
    if not answer.loaded or not answer.loaded.kernel:
        return "The engine does not report which kernel it uses."
    return f"Why: {answer.loaded.kernel}"
