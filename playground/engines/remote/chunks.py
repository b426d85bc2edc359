"""The chunks of a streamed completion, whoever sent them, as timed tokens.

Servers tell tokens in three ways: their ids (vLLM's `token_ids`), one log-probability entry each (OpenAI, llama.cpp,
SGLang), or a running count (`usage`). Where none is told, a chunk counts as one token, and the page says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from playground.core import UNKNOWN_ID, Alternative, FinishReason, Token
from playground.engines.client import Scrub

Counting = Literal["ids", "logprobs", "usage", "chunks"]
_REASONS: Mapping[str, FinishReason] = {"length": "length", "abort": "abort", "max_tokens": "length"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One token as a server's log-probabilities have it."""

    piece: str
    id: int = UNKNOWN_ID
    logprob: float | None = None
    top: tuple[Alternative, ...] = ()


@dataclass(slots=True)
class Chunks:
    """One stream so far: feed it each event with its time of arrival, in seconds since the request was sent.

    counting       how the tokens of this stream were told: the weakest way that was needed
    count          tokens so far
    finish         why it ended, once it has
    """

    scrub: Scrub
    counting: Counting | None = None
    count: int = 0
    finish: FinishReason | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    _told: int = 0
    _last_s: float = 0.0
    _held: list[str] = field(default_factory=list)

    def add(self, event: Mapping[str, Any], now_s: float) -> Iterator[Token]:
        """The tokens of one event. Several in one share the time since the last one; the first have no such gap.

        Raises TypeError, ValueError, KeyError, AttributeError for what no completion chunk looks like.
        """
        new = self._usage(event.get("usage"))
        choices = event.get("choices") or ()
        if not choices:
            return
        choice = choices[0]
        delta = choice.get("delta") or {}
        text = (
            choice.get("text") or delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning") or ""
        )
        entries = entries_of(choice.get("logprobs"))
        ids = [int(one) for one in choice.get("token_ids") or ()]
        if choice.get("finish_reason"):
            self.finish = _REASONS.get(str(choice["finish_reason"]), "stop")
        if ids:
            number, way = len(ids), "ids"
        elif entries:
            number, way = len(entries), "ids" if all(one.id != UNKNOWN_ID for one in entries) else "logprobs"
        elif new is not None and self.counting in (None, "usage"):  # from the start; a total at the end is no count
            number, way = new, "usage"
        elif choice.get("token_ids") is not None or not text:
            number, way = 0, ""
        else:
            number, way = 1, "chunks"
        shown = self.scrub.piece(str(text))
        if not number:
            self._held.append(shown)
            return
        self._weaken(way)  # type: ignore[arg-type]
        if shown != text:  # a key is being kept back here: neither its pieces nor its ids may tell it
            ids, entries = [], []
        yield from self._tokens(number, ids, entries, "".join(self._held) + shown, now_s)
        self._held.clear()

    def rest(self) -> str:
        """Text that came with no token: what a server held back until the end."""
        return "".join(self._held) + self.scrub.rest()

    def _usage(self, usage: Any) -> int | None:
        """How many tokens are new according to the running count; None where there is none."""
        if not isinstance(usage, dict):
            return None
        if isinstance(usage.get("prompt_tokens"), int):
            self.prompt_tokens = usage["prompt_tokens"]
        told = usage.get("completion_tokens")
        if not isinstance(told, int):
            return None
        self.output_tokens = told
        new, self._told = max(0, told - max(self._told, self.count)), told
        return new

    def _weaken(self, way: Counting) -> None:
        order = ("ids", "logprobs", "usage", "chunks")
        if self.counting is None or order.index(way) > order.index(self.counting):
            self.counting = way

    def _tokens(
        self, number: int, ids: Sequence[int], entries: Sequence[Entry], text: str, now_s: float
    ) -> Iterator[Token]:
        first = self.count == 0
        gap = now_s - self._last_s
        pieces = [self.scrub.whole(one.piece) for one in entries] if len(entries) == number else []
        # Text appears with the last token of a chunk unless every token brought its own part of it.
        texts = pieces if pieces and "".join(pieces) == text else [""] * (number - 1) + [text]
        for index in range(number):
            share = gap * (index + 1) / number
            entry = entries[index] if pieces else Entry(texts[index])
            yield Token(
                id=ids[index] if len(ids) == number else entry.id,
                text=texts[index],
                piece=pieces[index] if pieces else texts[index],
                time_s=now_s if first else self._last_s + share,
                step_s=(gap if index == 0 else 0.0) if first else gap / number,
                logprob=entry.logprob,
                top=tuple(Alternative(a.id, self.scrub.whole(a.text), a.logprob) for a in entry.top),
            )
        self.count += number
        self._last_s = now_s


def entries_of(logprobs: Any) -> list[Entry]:
    """The tokens in `logprobs`: OpenAI's chat shape (llama.cpp's adds ids), or the one of completions."""
    if not isinstance(logprobs, dict):
        return []
    if isinstance(logprobs.get("content"), list):
        return [
            Entry(
                str(one["token"]),
                int(one.get("id", UNKNOWN_ID)),
                _number(one.get("logprob")),
                tuple(
                    Alternative(int(a.get("id", UNKNOWN_ID)), str(a["token"]), float(a["logprob"]))
                    for a in one.get("top_logprobs") or ()
                ),
            )
            for one in logprobs["content"]
        ]
    pieces = logprobs.get("tokens") or []
    values = logprobs.get("token_logprobs") or [None] * len(pieces)
    tops = logprobs.get("top_logprobs") or [None] * len(pieces)
    with_ids = logprobs.get("top_ids")  # our own host's
    return [
        Entry(
            str(piece),
            logprob=_number(value),
            top=tuple(Alternative(int(i), str(t), float(p)) for i, t, p in with_ids[index])
            if with_ids
            else tuple(Alternative(UNKNOWN_ID, str(t), float(p)) for t, p in (top or {}).items()),
        )
        for index, (piece, value, top) in enumerate(zip(pieces, values, tops, strict=True))
    ]


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
