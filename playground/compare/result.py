"""What a comparison showed, in words and ratios: gained, lost, where the texts part, and why it is slower if it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import exp
from typing import Any

from playground.core import (
    Finish,
    ForcedSummary,
    ForcedToken,
    ForcedTokens,
    Loaded,
    Progress,
    Prompt,
    Token,
    Trace,
    Variant,
    summary,
)
from playground.engines import base
from playground.errors import PlaygroundError
from playground.metrics.timing import Timing, inter_token_latencies, speed_ratio_interval, timing

MIN_GAPS = 16  # below this a speed ratio is anecdote: a mean of a dozen steps moves by tens of percent
Item = Variant | Progress | Loaded | Prompt | Token | Finish | PlaygroundError
ForcedItem = Progress | ForcedTokens | Finish | PlaygroundError


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first position where a text differs from the reference's. A side that had ended there is None."""

    index: int
    reference: Token | None
    other: Token | None

    def sentence(self, label: str, reference_label: str = "the reference") -> str:
        """What each side wanted at this position, and by what margin, as far as the engine told."""
        there = _wanted(self.reference, reference_label)
        here = _wanted(self.other, label)
        return f"Token {self.index + 1}: {there}, {here}{self._margin(label)}."

    def _margin(self, label: str) -> str:
        """How far the reference's token was behind in the variant: a near tie says little."""
        mine, wanted = self.other, self.reference
        if mine is None or wanted is None or mine.logprob is None or not mine.top:
            return ""
        behind = next((entry.logprob for entry in mine.top if entry.id == wanted.id), None)
        if behind is None:
            return f"; {quoted(wanted)} is not among its first {len(mine.top)}"
        points = 100 * (exp(mine.logprob) - exp(behind))
        if points < 0:  # it was sampled, not the most probable
            return f", though it finds {quoted(wanted)} {_points(-points)} more probable"
        return f": margin {_points(points)} in {label}"


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


def quoted(token: Token) -> str:
    """The token as a reader sees it: most begin with a space, some are nothing but white space."""
    shown = token.piece.strip(" ").replace("\n", "↵").replace("\t", "⇥")
    return f"“{shown or '␣' * len(token.piece)}”"


def _wanted(token: Token | None, label: str) -> str:
    if token is None:
        return f"{label} had ended"
    share = "" if token.logprob is None else f" {exp(token.logprob):.0%}"
    wanted = not token.top or token.top[0].id == token.id
    return f"{label} {'wanted' if wanted else 'drew'} {quoted(token)}{share}"


def _points(points: float) -> str:
    """Percentage points, with a digit where they are few."""
    if points < 0.05:
        return "less than 0.1 points"
    return f"{points:.1f} points" if points < 2 else f"{points:.0f} points"


def diverges_at(reference: PaneResult, other: PaneResult) -> Divergence | None:
    """First differing token. A missing token counts as different only once the shorter side is over by itself."""
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


def _ratio(of: float | None, to: float | None) -> float | None:
    return of / to if of is not None and to else None


def _speed_words(ratio: float, interval: tuple[float, float]) -> str:
    if interval[0] <= 1 <= interval[1]:
        return "as fast, within the noise of this run"
    return f"{ratio:.2f}× faster here" if ratio > 1 else f"{1 / ratio:.2f}× slower here"


def _size_words(ratio: float) -> str:
    if 0.995 <= ratio <= 1.005:
        return "the same size"
    return f"{1 - ratio:.0%} smaller" if ratio < 1 else f"{ratio:.2f}× the size"


def _clean(pane: PaneResult) -> bool:
    return pane.error is None and pane.finish is not None and pane.finish.reason != "abort"


def verdict(panes: Sequence[PaneResult]) -> list[Outcome]:
    """One outcome per pane after the first, which is the reference. Panes without any token are left out."""
    if len(panes) < 2 or not panes[0].tokens:
        return []
    return [outcome(panes[0], pane) for pane in panes[1:] if pane.tokens]


def outcome(reference: PaneResult, pane: PaneResult) -> Outcome:
    label = pane.variant.label if pane.variant else pane.variant_id
    if pane.engine != reference.engine:
        label += f" in {base.title(pane.engine)}"
    size = _ratio(pane.variant.bytes if pane.variant else None, reference.variant.bytes if reference.variant else None)
    memory = _ratio(pane.peak_memory_bytes, reference.peak_memory_bytes)
    same_engine = pane.engine == reference.engine
    speed = None
    if min(len(reference.gaps_s), len(pane.gaps_s)) >= MIN_GAPS:
        speed = speed_ratio_interval(reference.gaps_s, pane.gaps_s)
    ratio, interval = (speed[0], (speed[1], speed[2])) if speed else (None, None)
    ids = reference.prompt.ids if reference.prompt else ()
    same_prompt = bool(ids and pane.prompt and ids == pane.prompt.ids)  # an endpoint that renders chats tells none
    same_tokenizer = bool(
        reference.loaded and pane.loaded and reference.loaded.tokenizer_hash == pane.loaded.tokenizer_hash
    )
    split = diverges_at(reference, pane) if same_prompt else None

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
    if pane.trace().clock != reference.trace().clock:
        caveats.append("one is timed by its engine, the other at arrival here")
    if any(side.finish and side.finish.contended for side in (reference, pane)):
        caveats.append("contended: they ran at once and slowed each other")
    if not (_clean(reference) and _clean(pane)):
        caveats.append("a pane was stopped or failed")
    if not same_tokenizer:
        caveats.append("different tokenizers: the texts may be compared, tokens may not")
    elif not same_prompt:
        caveats.append("the panes' histories differ, so their prompts do")

    if not same_prompt:
        detail = ""
    elif split:
        detail = f"The texts part at token {split.index + 1}."
    else:
        detail = f"All {min(len(reference.tokens), len(pane.tokens))} tokens are the same."
    slower = ratio is not None and interval is not None and interval[1] < 1
    return Outcome(
        variant_id=pane.variant_id,
        label=label,
        size_ratio=size,
        memory_ratio=memory,
        decode_ratio=ratio,
        decode_interval=interval,
        identical=same_prompt and split is None and len(reference.tokens) == len(pane.tokens),
        divergence=split,
        headline=headline,
        detail=detail,
        explanation=explain_slower(pane) if slower else "",
        caveats=tuple(caveats),
    )


def explain_slower(pane: PaneResult) -> str:
    """Why a smaller variant is slower here, from what the engine found in the loaded modules."""
    if not pane.loaded or not pane.loaded.kernel:
        return "The engine does not say which kernel it uses."
    return f"Why: {pane.loaded.kernel}"


@dataclass(slots=True)
class PaneResult:
    """What has arrived in one pane so far; feed it every item of the pane."""

    variant_id: str
    engine: str = "transformers"
    variant: Variant | None = None
    loaded: Loaded | None = None
    prompt: Prompt | None = None
    progress: Progress | None = None
    tokens: list[Token] = field(default_factory=list)
    finish: Finish | None = None
    error: PlaygroundError | None = None

    def add(self, item: Item) -> None:
        match item:
            case Variant():
                self.variant = item
            case Loaded():
                self.loaded, self.engine = item, item.engine
            case Prompt():
                self.prompt = item
            case Progress():
                self.progress = item
            case Token():
                self.tokens.append(item)
                self.progress = None
            case Finish():
                self.finish = item
                self.progress = None
            case PlaygroundError():
                self.error = item
                self.progress = None

    @property
    def done(self) -> bool:
        return self.finish is not None or self.error is not None

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens) + (self.finish.text if self.finish else "")

    @property
    def token_ids(self) -> list[int]:
        return [token.id for token in self.tokens]

    @property
    def gaps_s(self) -> list[float]:
        return inter_token_latencies([token.time_s for token in self.tokens])

    def trace(self) -> Trace:
        prompt_tokens = len(self.prompt.ids) if self.prompt else 0
        steps = tuple(token.step_s for token in self.tokens)
        return Trace(
            prompt_tokens=self.finish.prompt_tokens if self.finish else prompt_tokens,
            times_s=tuple(token.time_s for token in self.tokens),
            steps_s=steps,
            prefill_s=steps[0] if steps else None,
            clock=self.loaded.clock if self.loaded else "engine",
        )

    def timing(self) -> Timing:
        return timing(self.trace())

    @property
    def peak_memory_bytes(self) -> int | None:
        return self.finish.peak_memory_bytes if self.finish else None

    def as_json(self) -> dict[str, Any]:
        """One entry of `panes` in the documented JSON of `generate`."""
        trace = self.trace()
        row: dict[str, Any] = {
            "variant": self.variant_id,
            "engine": self.engine,
            "text": self.text,
            "token_ids": self.token_ids,
            "times_s": list(trace.times_s),
            "steps_s": list(trace.steps_s),
            "finish_reason": "error" if self.error else self.finish.reason if self.finish else None,
            "metrics": {**timing(trace).as_dict(), "peak_memory_bytes": self.peak_memory_bytes},
            "waited_s": self.finish.waited_s if self.finish else 0.0,
            "clock": trace.clock,
            "contended": self.finish.contended if self.finish else False,
            "kernel": self.loaded.kernel if self.loaded else "",
            "reported": asdict(self.finish.reported) if self.finish and self.finish.reported else None,
        }
        if self.error:
            row["error"] = {"code": self.error.code, "message": self.error.message, "hint": self.error.hint}
        return row


@dataclass(slots=True)
class ForcedResult:
    """What is known of one variant so far; feed it every item of its own.

    total   tokens of the text
    reason  why there is nothing or no more: blocked, failed or stopped
    """

    total: int
    reason: str = ""
    tokens: list[ForcedToken] = field(default_factory=list)

    def add(self, item: ForcedItem) -> None:
        match item:
            case ForcedTokens():
                self.tokens += item.tokens
            case PlaygroundError():
                self.reason = str(item)
            case Finish(reason="abort"):
                self.reason = self.reason or "It was stopped."

    @property
    def summary(self) -> ForcedSummary | None:
        return summary(self.tokens)

    @property
    def complete(self) -> bool:
        return 0 < self.total == len(self.tokens)

    def as_json(self) -> dict[str, Any]:
        """`divergence` of one entry of `panes` in the documented JSON of `generate`."""
        found = self.summary
        row = found.as_dict() if found else {"kld_mean": None, "top1_agreement": None, "tokens": 0}
        return row | ({"reason": self.reason} if self.reason else {})
