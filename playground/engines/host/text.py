"""Token ids to text, one token at a time, correct across multi-byte characters and stop strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REPLACEMENT = "\ufffd"


class Detokenizer:
    """Streams the text of a growing list of ids.

    Decoding is not a homomorphism (a leading space, a byte that is half a character), so each token's text is the
    difference of two decodings of a short window, and is held back while that window ends in an incomplete character.
    This is the scheme of text-generation-inference and vLLM. The pieces joined equal one decoding of all the ids.
    """

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids)
        # The last prompt tokens give the first generated one its context (a leading space after a word).
        self._ids: list[int] = [i for i in prompt_ids[-6:] if i not in self._special]
        self._start = 0
        self._read = len(self._ids)

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def add(self, token_id: int) -> str:
        """The text that became readable with this token; "" for a special token or half a character."""
        if token_id in self._special:
            return ""
        self._ids.append(token_id)
        before = self._decode(self._ids[self._start : self._read])
        after = self._decode(self._ids[self._start :])
        if after.endswith(REPLACEMENT):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return after[len(before) :]

    def flush(self) -> str:
        """What was held back when the tokens end: an incomplete character becomes U+FFFD, as in a plain decode."""
        before = self._decode(self._ids[self._start : self._read])
        after = self._decode(self._ids[self._start :])
        self._start, self._read = self._read, len(self._ids)
        return after[len(before) :]


class StopStrings:
    """Cuts a stream of text before the first stop string; holds back what may still become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.matched: str | None = None

    def add(self, text: str) -> str:
        """The text that is certainly not part of a stop string. After a match: what came before it, then nothing."""
        if self.matched is not None:
            return ""
        if not self._stops:
            return text
        self._held += text
        hits = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if hits:
            at, self.matched = min(hits)
            safe, self._held = self._held[:at], ""
            return safe
        keep = max(
            (n for stop in self._stops for n in range(1, len(stop)) if self._held.endswith(stop[:n])),
            default=0,
        )
        safe, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return safe

    def flush(self) -> str:
        held, self._held = self._held, ""
        return held
