"""A streamed completion of vLLM: the request, and its events as tokens timed at their arrival.

vLLM sends no times per token, and aborts a request when its connection is closed.

`pieces` decodes single token ids for the tooltip, with the checkpoint's own tokenizer.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from playground.core import UNKNOWN_ID, Alternative, Finish, FinishReason, Generation, Token
from playground.engines.http import Arrival
from playground.errors import EngineError, InvalidRequest

Piece = Callable[[int], str]


def body(generation: Generation, max_tokens: int, *, ids: bool = True, end_ids: Sequence[int] = ()) -> dict[str, Any]:
    """Return the JSON body of the request.

    ids      request alternatives by id instead of by text
    end_ids  end-of-text ids beside the tokenizer's own: vLLM reads no generation_config.json here
    """
    sampling = generation.sampling
    return {
        "model": generation.variant,
        "prompt": list(generation.prompt_ids),
        "max_tokens": max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or -1,
        "min_p": 0.0,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "stop_token_ids": None if sampling.ignore_eos else list(end_ids) or None,
        "ignore_eos": sampling.ignore_eos,
        "logprobs": generation.top_logprobs or None,  # 0 would request the token's own: 3 ms per token on a CPU
        "return_token_ids": True,
        "return_tokens_as_token_ids": ids,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }


def refused(status: int, _headers: Mapping[str, str], content: bytes) -> EngineError:
    """Return the typed error of a request that vLLM refuses, or of an error event."""
    try:
        error = dict(json.loads(content)["error"])
        message, code = str(error["message"]), int(error.get("code") or 0)
    except (ValueError, KeyError, TypeError):
        message, code = content.decode(errors="replace")[:200] or f"HTTP {status}", 0
    if (code or status) in (400, 404, 422):
        return InvalidRequest(f"vLLM refused the request: {message}")
    return EngineError(f"vLLM failed: {message}")


class TokensOf:
    """Converts the events of a generation to tokens and the reason of its end."""

    def __init__(self, generation: Generation, piece: Piece | None) -> None:
        self._top = generation.top_logprobs
        self._piece = piece
        self._last_s: float | None = None
        self._reason: FinishReason | None = None
        self._held = ""
        self._prompt_tokens = len(generation.prompt_ids)
        self._count = 0

    @property
    def unfinished(self) -> bool:
        """Record that this side closed the stream before vLLM sent a reason."""
        return self._reason is None

    def of(self, arrival: Arrival[dict[str, Any]]) -> list[Token]:
        """Return the tokens of an event; none for the last one, which only has counts.

        If an event has several tokens, the time since the previous event is divided evenly among them: their own times
        are not known, and so the sum and the number of intervals are right. In the first event that time is the
        prefill, which belongs to the first token alone.
        """
        event = arrival.event
        if not event.get("choices"):
            return []
        choice = event["choices"][0]
        if reason := choice.get("finish_reason"):
            self._reason = reason if reason in ("stop", "length", "abort") else "error"
        ids = [int(i) for i in choice.get("token_ids") or ()]
        times = self._times(arrival.time_s, len(ids))
        pieces = [self._piece_of(choice, at, token_id) for at, token_id in enumerate(ids)]
        texts = _texts(choice.get("text") or "", pieces)
        self._count += len(ids)
        if not ids:
            self._held += choice.get("text") or ""
        return [
            Token(ids[at], texts[at], pieces[at], *times[at], self._logprob(choice, at), self._alternatives(choice, at))
            for at in range(len(ids))
        ]

    def _times(self, arrived_s: float, n: int) -> list[tuple[float, float]]:
        """Return (time, gap) of each of n tokens that arrived together."""
        if n == 0:
            return []
        before, self._last_s = self._last_s, arrived_s
        if before is None:
            return [(arrived_s, arrived_s if at == 0 else 0.0) for at in range(n)]
        gap = (arrived_s - before) / n
        return [(before + gap * (at + 1), gap) for at in range(n)]

    def _piece_of(self, choice: dict[str, Any], at: int, token_id: int) -> str:
        if self._piece is not None:
            return self._piece(token_id)
        tokens = (choice.get("logprobs") or {}).get("tokens") or []
        return str(tokens[at]) if at < len(tokens) else str(choice.get("text") or "")

    def _logprob(self, choice: dict[str, Any], at: int) -> float | None:
        values = (choice.get("logprobs") or {}).get("token_logprobs") or []
        return float(values[at]) if at < len(values) and values[at] is not None else None

    def _alternatives(self, choice: dict[str, Any], at: int) -> tuple[Alternative, ...]:
        """Return the alternatives in descending order; vLLM puts the sampled token first."""
        tops = (choice.get("logprobs") or {}).get("top_logprobs") or []
        entries = (tops[at] if at < len(tops) else None) or {}
        ranked = sorted(entries.items(), key=lambda entry: -entry[1])[: self._top]
        return tuple(self._alternative(name, float(logprob)) for name, logprob in ranked)

    def _alternative(self, name: str, logprob: float) -> Alternative:
        if self._piece is None:
            return Alternative(UNKNOWN_ID, name, logprob)
        token_id = int(name.removeprefix("token_id:"))
        return Alternative(token_id, self._piece(token_id), logprob)

    def finish(self) -> Finish:
        return Finish(self._reason or "abort", self._prompt_tokens, self._count, text=self._held)


def _texts(text: str, pieces: Sequence[str]) -> list[str]:
    """Divide the text of an event among its tokens: by their pieces if these add up to it, else all for the last."""
    if len(pieces) > 1 and "".join(pieces) == text:
        return list(pieces)
    return ["" for _ in pieces[1:]] + [text]


def pieces(folder: Path) -> Piece | None:
    """Return a cached function from id to text; None for a checkpoint without tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))

    @cache
    def piece(token_id: int) -> str:
        return str(tokenizer.decode([token_id], skip_special_tokens=False))

    return piece
