"""What llama-server's `/completion` streams, as typed tokens: counted right, with the engine's own times.

Inside a multi-byte character llama-server sends nothing: the next chunk then counts two tokens or more but names the
last one only. The missing ones are given back here, their ids where the text gives them away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.core import UNKNOWN_ID, Alternative, Finish, FinishReason, Generation, Progress, Reported, Token
from playground.errors import EngineError

REPLACEMENT = "\ufffd"
SOURCE = "llama.cpp timings"
_REASONS: Mapping[str, FinishReason] = {"eos": "stop", "word": "stop", "limit": "length"}


@dataclass(frozen=True, slots=True)
class Piece:
    """One token as `/tokenize` knows it; half a character is U+FFFD."""

    id: int
    text: str


Pieces = Callable[[str], Sequence[Piece]]


def piece(found: Mapping[str, Any]) -> Piece:
    """One entry of `/tokenize` with pieces: text, or the bytes of what is no text alone."""
    text = found["piece"]
    return Piece(found["id"], text if isinstance(text, str) else bytes(text).decode(errors="replace"))


def body(generation: Generation, context: int) -> dict[str, Any]:
    """The request; the repetition penalty sees the whole `context`, as elsewhere.

    Samplers in the order of transformers and vLLM (llama.cpp's own has top-p before the temperature). Its `ignore_eos`
    makes the end tokens impossible instead of going on after them.
    """
    sampling = generation.sampling
    # Greedy is an argmax: no softmax over the whole vocabulary for every token.
    samplers = ["penalties", "top_k"] if sampling.greedy else ["penalties", "temperature", "top_k", "top_p"]
    return {
        "prompt": list(generation.prompt_ids),
        "n_predict": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_k": 1 if sampling.greedy else sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": 0.0,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": context,
        "samplers": samplers,
        "seed": sampling.seed % (2**32 - 1),  # 32 bits, and the largest number means a random one
        "stop": list(sampling.stop),
        "ignore_eos": sampling.ignore_eos,
        "n_probs": max(1, generation.top_logprobs),
        "stream": True,
        "return_tokens": True,
        "return_progress": True,
        "timings_per_token": True,
        "cache_prompt": False,
    }


class Stream:
    """Chunks in, tokens out. One per generation; not thread-safe.

    pieces  ids and texts of a string's tokens, asked only where a chunk counts more tokens than it names
    top     how many alternatives a token carries; at least one is asked for, to get the token's log-probability
    names   the vocabulary, for tokens without a text (the end of a turn)
    """

    def __init__(self, pieces: Pieces, top: int, names: Sequence[str] = ()) -> None:
        self._pieces, self._top, self._names = pieces, top, names
        self.count = 0  # tokens so far
        self.unsent: list[int] = []  # ids of the last tokens, whose text has not come
        self._time_s = 0.0

    def read(self, chunk: Mapping[str, Any]) -> list[Progress | Token]:
        """The tokens of one chunk, or how far the prompt is. Raises EngineError for the server's own error."""
        if error := chunk.get("error"):
            said = error.get("message") if isinstance(error, dict) else error
            raise EngineError(f"llama.cpp stopped: {str(said)[:300]}.", hint="Its log may say more.")
        if reading := chunk.get("prompt_progress"):
            return [Progress("Reading the prompt", reading["processed"], reading["total"], "tokens")]
        count, timings = int(chunk["tokens_predicted"]), chunk["timings"]
        missing = count - self.count - len(chunk["tokens"])
        if missing < 0:
            raise EngineError(f"llama.cpp sent {len(chunk['tokens'])} tokens and counted {count - self.count}.")
        if count == self.count:
            return []
        known = [Piece(token_id, "") for token_id in chunk["tokens"]]
        pieces = known
        if missing:
            found = list(self._pieces(chunk["content"])) if known else []
            fits = len(found) == missing + len(known) and [p.id for p in found[missing:]] == [p.id for p in known]
            pieces = found if fits else [*[Piece(UNKNOWN_ID, REPLACEMENT)] * missing, *known]
        return self._timed(pieces, chunk, timings)

    def _timed(
        self, pieces: Sequence[Piece], chunk: Mapping[str, Any], timings: Mapping[str, Any]
    ) -> list[Progress | Token]:
        """Tokens between the last known time and this chunk's, evenly; the very first one's time is the prefill's."""
        prefill_s = timings["prompt_ms"] / 1000
        end_s = prefill_s + timings["predicted_ms"] / 1000
        start_s, steps = self._time_s, len(pieces)
        times = [start_s + (end_s - start_s) * (n + 1) / steps for n in range(steps)]
        if not self.count:
            times = [prefill_s + (end_s - prefill_s) * n / max(1, steps - 1) for n in range(steps)]
            times[-1] = end_s
        probabilities = chunk.get("completion_probabilities") or []
        tokens: list[Progress | Token] = []
        for n, (piece, time_s) in enumerate(zip(pieces, times, strict=True)):
            from_end = len(pieces) - n
            entry = probabilities[-from_end] if from_end <= len(probabilities) else None
            text = chunk["content"] if from_end == 1 and not chunk["stop"] else ""
            tokens.append(self._token(piece, text, time_s, entry))
        return tokens

    def _token(self, piece: Piece, text: str, time_s: float, entry: Mapping[str, Any] | None) -> Token:
        step_s = time_s - self._time_s
        self._time_s, self.count = time_s, self.count + 1
        self.unsent = [] if text else [*self.unsent, piece.id]
        if entry is None or entry["id"] != piece.id:
            return Token(piece.id, text, piece.text or text or self._name(piece.id), time_s, step_s)
        top = entry["top_logprobs"]
        # The entry's own text is what was sent, held-back text included; its alternatives are named alone.
        alone = next((found["token"] for found in top if found["id"] == piece.id), text)
        alternatives = tuple(
            Alternative(found["id"], found["token"] or self._name(found["id"]), found["logprob"])
            for found in top[: self._top]
        )
        alone = piece.text or alone or self._name(piece.id)
        return Token(piece.id, text, alone, time_s, step_s, entry["logprob"], alternatives)

    def _name(self, token_id: int) -> str:
        return self._names[token_id] if 0 <= token_id < len(self._names) else ""


def finish(chunk: Mapping[str, Any], held: str = "", memory: int | None = None, waited_s: float = 0.0) -> Finish:
    """The end, from the last chunk (`stop`: true). `held` is text that no chunk has carried."""
    timings = chunk["timings"]
    return Finish(
        reason=_REASONS.get(chunk["stop_type"], "stop"),
        prompt_tokens=chunk["tokens_evaluated"],
        output_tokens=chunk["tokens_predicted"],
        peak_memory_bytes=memory,
        waited_s=waited_s,
        text=chunk["content"] + held,
        reported=reported(timings),
    )


def reported(timings: Mapping[str, Any]) -> Reported:
    """llama.cpp's own numbers, unchanged.

    Its decode rate is n − 1 tokens over the time since the first one, as ours (older builds divided n by that time).
    """
    prefill_s, rate = timings["prompt_ms"] / 1000, timings["predicted_per_second"]
    return Reported(SOURCE, ttft_s=None, prefill_s=prefill_s, decode_tok_s=rate or None)
