"""Convert the stream of llama-server's `/completion` to tokens, with the engine's own times.

For an incomplete character llama-server sends no chunk: the next one counts two tokens or more but only has the last.
The missing tokens are restored here, with their ids if the text determines them.

A `Completion` is one generation: its stream, and the abort that cuts its connection.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import psutil

from playground.core import UNKNOWN_ID, Alternative, Finish, FinishReason, Generation, Loaded, Progress, Reported, Token
from playground.engines import http
from playground.engines.servers import ServerProcess
from playground.errors import EngineError, PlaygroundError

REPLACEMENT = "\ufffd"
SOURCE = "llama.cpp timings"
_REASONS: Mapping[str, FinishReason] = {"eos": "stop", "word": "stop", "limit": "length"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A token of `/tokenize`; an incomplete character is U+FFFD."""

    id: int
    text: str


Pieces = Callable[[str], Sequence[Piece]]


def piece(entry: Mapping[str, Any]) -> Piece:
    """Parse an entry of `/tokenize` with pieces: a text, or the bytes of an incomplete character."""
    text = entry["piece"]
    return Piece(entry["id"], text if isinstance(text, str) else bytes(text).decode(errors="replace"))


def body(generation: Generation, context: int) -> dict[str, Any]:
    """Return the JSON body of the request; the repetition penalty covers the whole `context`, as in other engines.

    Samplers have the order of transformers and vLLM (llama.cpp's default has top-p before the temperature). Its
    `ignore_eos` makes end tokens impossible instead of continuing after them.
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
        "seed": sampling.seed % (2**32 - 1),  # 32 bits; the largest number means a random seed
        "stop": list(sampling.stop),
        "ignore_eos": sampling.ignore_eos,
        "n_probs": max(1, generation.top_logprobs),
        "stream": True,
        "return_tokens": True,
        "return_progress": True,
        "timings_per_token": True,
        "cache_prompt": False,
    }


def refused(status: int, headers: Mapping[str, str], content: bytes) -> PlaygroundError:
    """Return the error of a request that llama-server refuses, or of an event with an "error"."""
    if status != httpx.codes.OK:
        return http.refused(status, headers, content)
    error = json.loads(content)["error"]
    message = error.get("message") if isinstance(error, dict) else error
    return EngineError(f"llama.cpp stopped: {str(message)[:300]}.", hint="Its log may say more.")


class Stream:
    """Converts chunks to tokens. One per generation; not thread-safe.

    pieces  returns ids and texts of a string's tokens; called only if a chunk counts more tokens than it has
    top     number of alternatives; at least one is requested, to get the token's log-probability
    names   the vocabulary, for tokens without text (the end of a turn)
    """

    def __init__(self, pieces: Pieces, top: int, names: Sequence[str] = ()) -> None:
        self._pieces, self._top, self._names = pieces, top, names
        self.count = 0  # tokens so far
        self.unsent: list[int] = []  # ids of the last tokens, whose text has not arrived
        self._time_s = 0.0

    def read(self, chunk: Mapping[str, Any]) -> list[Progress | Token]:
        """Return the tokens of a chunk, or the progress of the prompt. Raises EngineError if its count is wrong."""
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
            texts = list(self._pieces(chunk["content"])) if known else []
            fits = len(texts) == missing + len(known) and [p.id for p in texts[missing:]] == [p.id for p in known]
            pieces = texts if fits else [*[Piece(UNKNOWN_ID, REPLACEMENT)] * missing, *known]
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
        # The entry's own text includes held-back text; its alternatives are single tokens.
        alone = next((row["token"] for row in top if row["id"] == piece.id), text)
        alternatives = tuple(
            Alternative(row["id"], row["token"] or self._name(row["id"]), row["logprob"]) for row in top[: self._top]
        )
        alone = piece.text or alone or self._name(piece.id)
        return Token(piece.id, text, alone, time_s, step_s, entry["logprob"], alternatives)

    def _name(self, token_id: int) -> str:
        return self._names[token_id] if 0 <= token_id < len(self._names) else ""


def finish(chunk: Mapping[str, Any], held: str = "", memory: int | None = None, waited_s: float = 0.0) -> Finish:
    """Return the Finish from the last chunk (`stop`: true). `held` is text that was in no chunk."""
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
    """Return llama.cpp's own timings, unchanged.

    Its decode rate is n − 1 tokens over the time since the first one, like ours (older builds divided n by that time).
    """
    prefill_s, rate = timings["prompt_ms"] / 1000, timings["predicted_per_second"]
    return Reported(SOURCE, ttft_s=None, prefill_s=prefill_s, decode_tok_s=rate or None)


class Completion:
    """A generation on llama-server, before or after its request. Only `abort` may be called from another thread.

    names    text of every id of the vocabulary
    end_ids  end-of-text ids beside those that llama.cpp knows
    """

    def __init__(
        self,
        client: httpx.Client,
        process: ServerProcess,
        loaded: Loaded,
        generation: Generation,
        names: Sequence[str],
        end_ids: frozenset[int] = frozenset(),
    ) -> None:
        self._client = client
        self._process = process
        self._loaded = loaded
        self._generation = generation
        self._end_ids = frozenset() if generation.sampling.ignore_eos else end_ids
        self._stream = Stream(lru_cache(maxsize=256)(self._pieces), generation.top_logprobs, names)
        self._lock = threading.Lock()
        self._request: http.Request[dict[str, Any]] | None = None
        self.aborted = False

    def items(self, waited_s: float) -> Iterator[Progress | Token | Finish]:
        """Yield all items up to the Finish, which gets `waited_s`. Raises EngineError, EngineDied."""
        with http.watched(self._process), self._events() as events:
            for arrival in events:
                chunk, pending = arrival.event, self._stream.unsent
                for item in self._stream.read(chunk):
                    if isinstance(item, Token) and item.id in self._end_ids and not chunk["stop"]:
                        yield replace(item, text="")
                        yield self._finish({**chunk, "stop_type": "eos", "content": ""}, pending, waited_s)
                        return  # which closes the connection
                    if isinstance(item, Token):
                        pending = [] if item.text else [*pending, item.id]
                    yield item
                if chunk.get("stop"):
                    unsent = self._stream.unsent
                    held = {"eos": unsent[:-1], "word": []}.get(chunk["stop_type"], unsent)
                    yield self._finish(chunk, held, waited_s)
                    return
            if not self.aborted:
                raise http.unfinished(self._process)
        yield self.unfinished(waited_s)

    def _events(self) -> http.Request[dict[str, Any]]:
        request = body(self._generation, self._loaded.context)
        events = http.events(self._client, self._process, "/completion", request, refused=refused)
        with self._lock:
            self._request = events
            if self.aborted:
                events.close()
        return events

    def unfinished(self, waited_s: float) -> Finish:
        """Return the Finish of an aborted generation, started or not."""
        return Finish("abort", len(self._generation.prompt_ids), self._stream.count, waited_s=waited_s)

    def abort(self) -> None:
        """Close the connection, so that llama-server stops decoding."""
        with self._lock:
            self.aborted = True
            if self._request is not None:
                self._request.close()

    def _post(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        return http.post(self._client, self._process, path, request)

    def _pieces(self, text: str) -> tuple[Piece, ...]:
        request = {"content": text, "add_special": False, "with_pieces": True}
        return tuple(piece(entry) for entry in self._post("/tokenize", request)["tokens"])

    def _finish(self, last: dict[str, Any], held: Sequence[int], waited_s: float) -> Finish:
        """Return the Finish. `held`: ids that llama-server held back as the beginning of a stop string."""
        text = ""
        if held and UNKNOWN_ID not in held and self._generation.sampling.stop:
            text = str(self._post("/detokenize", {"tokens": list(held)})["content"])
        return finish(last, text, _peak_bytes(self._process, self._loaded), waited_s)


def _peak_bytes(process: ServerProcess, loaded: Loaded) -> int | None:
    """Return the server's peak of resident bytes; on a GPU its allocated bytes, which are constant after loading."""
    if loaded.device != "cpu":
        return loaded.resident_bytes
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        peak = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        return int(peak[1]) * 1024 if peak else None
    try:
        return int(psutil.Process(process.pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return None
