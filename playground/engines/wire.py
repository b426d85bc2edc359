"""What goes over the wire: OpenAI's requests and chunks, with the engine's own clock beside them.

Here are the schemas of our host's requests and events, and the chunks of any OpenAI-compatible server as timed tokens.
Requests are closed schemas: an unknown field is an error, not a surprise.

Servers tell tokens in three ways: their ids (vLLM's `token_ids`), one log-probability entry each (OpenAI, llama.cpp,
SGLang), or a running count (`usage`). Where none is told, a chunk counts as one token, and the page says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from playground.core import (
    UNKNOWN_ID,
    Alternative,
    Finish,
    FinishReason,
    ForcedTokens,
    Forcing,
    Generation,
    LoadSpec,
    Progress,
    Sampling,
    Token,
)
from playground.settings import settings

_FORCED = TypeAdapter(ForcedTokens)
Counting = Literal["ids", "logprobs", "usage", "chunks"]
_REASONS: Mapping[str, FinishReason] = {"length": "length", "abort": "abort", "max_tokens": "length"}


def completion_body(generation: Generation) -> dict[str, Any]:
    """The request for one streamed generation; the prompt is token ids, the same for every engine."""
    sampling = generation.sampling
    return {
        "model": generation.variant,
        "prompt": list(generation.prompt_ids),
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "ignore_eos": sampling.ignore_eos,
        "logprobs": generation.top_logprobs,
        "request_id": generation.request_id,
        "stream": True,
    }


def item_of(chunk: dict[str, Any]) -> Progress | Token | Finish:
    """One server-sent event of a completion stream as a typed item."""
    if "progress" in chunk:
        return Progress(**chunk["progress"])
    choice = chunk["choices"][0]
    if choice["finish_reason"] is None:
        return token_from_chunk(choice)
    usage, engine = chunk["usage"], chunk["engine"]
    return Finish(
        reason=choice["finish_reason"],
        prompt_tokens=usage["prompt_tokens"],
        output_tokens=usage["completion_tokens"],
        peak_memory_bytes=engine["peak_memory_bytes"],
        waited_s=engine["waited_s"],
        text=choice["text"],
    )


# Requests and chunks.


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LoadRequest(_Closed):
    id: str
    path: str
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    quantize: str | None = None
    weight_bytes: int = Field(0, ge=0)
    end_ids: tuple[int, ...] = ()
    original: str = ""
    keep: list[str] = []

    def spec(self) -> LoadSpec:
        return LoadSpec(self.id, self.path, self.dtype, self.quantize, self.weight_bytes, self.end_ids, self.original)


class UnloadRequest(_Closed):
    id: str


class ChatMessage(_Closed):
    role: Literal["system", "user", "assistant"]
    content: str


class TokenizeRequest(_Closed):
    """As vLLM's /tokenize: a text, or messages to render with the model's chat template.

    `model` is a loaded variant; `path` a local folder whose tokenizer alone is wanted, for the engines that have none.
    """

    model: str = ""
    path: str = ""
    prompt: str | None = None
    messages: list[ChatMessage] | None = None
    add_generation_prompt: bool = True


class _Sampled(_Closed):
    model: str
    max_tokens: int = Field(128, ge=1)
    temperature: float = Field(1.0, ge=0, le=10)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=-1)
    repetition_penalty: float = Field(1.0, gt=0, le=10)
    seed: int = Field(0, ge=0, lt=2**63)
    stop: str | list[str] | None = None
    stream: bool = False
    ignore_eos: bool = False
    request_id: str = ""
    n: Literal[1] = 1
    user: str | None = None
    stream_options: dict[str, Any] | None = None

    def sampling(self) -> Sampling:
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Sampling(
            max_tokens=min(self.max_tokens, settings().max_tokens),
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(0, self.top_k),
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
            stop=tuple(stops),
            ignore_eos=self.ignore_eos,
        )


class CompletionRequest(_Sampled):
    """`prompt` is a text or token ids. `logprobs`: how many alternatives each token carries."""

    prompt: str | list[int]
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: Literal[False] = False


class ChatRequest(_Sampled):
    messages: list[ChatMessage] = Field(min_length=1)
    logprobs: bool = False
    top_logprobs: int = Field(5, ge=0, le=20)
    max_completion_tokens: int | None = Field(None, ge=1)


class ForceRequest(_Closed):
    """A text to be forced through variants that are loaded; no field of OpenAI's."""

    reference: str
    others: list[str] = Field(min_length=1, max_length=16)
    prompt_ids: list[int] = Field(min_length=1)
    token_ids: list[int] = Field(min_length=1)
    top: int = Field(5, ge=0, le=20)
    request_id: str = ""

    def forcing(self) -> Forcing:
        ids = tuple(self.prompt_ids), tuple(self.token_ids)
        return Forcing(self.reference, tuple(self.others), *ids, self.top, self.request_id)


def token_chunk(token: Token) -> dict[str, Any]:
    """The choice of one streamed completion chunk: OpenAI's fields, and `timing`, the engine's."""
    return {
        "index": 0,
        "text": token.text,
        "token_ids": [token.id],
        "logprobs": {
            "tokens": [token.piece],
            "token_logprobs": [token.logprob],
            "top_logprobs": [{a.text: a.logprob for a in token.top}],
            "top_ids": [[[a.id, a.text, a.logprob] for a in token.top]],
        },
        "timing": {"time_s": token.time_s, "step_s": token.step_s},
        "finish_reason": None,
    }


def token_from_chunk(choice: dict[str, Any]) -> Token:
    """Inverse of `token_chunk`."""
    logprobs, clock = choice["logprobs"], choice["timing"]
    return Token(
        id=choice["token_ids"][0],
        text=choice["text"],
        piece=logprobs["tokens"][0],
        time_s=clock["time_s"],
        step_s=clock["step_s"],
        logprob=logprobs["token_logprobs"][0],
        top=tuple(Alternative(*entry) for entry in logprobs["top_ids"][0]),
    )


def finish_chunk(finish: Finish) -> dict[str, Any]:
    return {"index": 0, "text": finish.text, "token_ids": [], "logprobs": None, "finish_reason": finish.reason}


def finish_fields(finish: Finish) -> dict[str, Any]:
    """`usage` as OpenAI has it, and what the engine measured."""
    return {
        "usage": {
            "prompt_tokens": finish.prompt_tokens,
            "completion_tokens": finish.output_tokens,
            "total_tokens": finish.prompt_tokens + finish.output_tokens,
        },
        "engine": {"peak_memory_bytes": finish.peak_memory_bytes, "waited_s": finish.waited_s},
    }


def forced_body(item: Progress | ForcedTokens | Finish) -> dict[str, Any]:
    """One event of a forced text's answer, tokens as a stored run has them."""
    match item:
        case Progress():
            return {"progress": asdict(item)}
        case Finish():
            return {"finish": {"reason": item.reason, "tokens": item.output_tokens}}
        case ForcedTokens():
            return {"forced": _FORCED.dump_python(item, mode="json")}


def forced_from(body: dict[str, Any], prompt_tokens: int) -> Progress | ForcedTokens | Finish:
    """Inverse of `forced_body`."""
    if "progress" in body:
        return Progress(**body["progress"])
    if "finish" in body:
        return Finish(body["finish"]["reason"], prompt_tokens, body["finish"]["tokens"])
    return _FORCED.validate_python(body["forced"])


class Scrub:
    """Replaces a key wherever a server repeats it, also in a text that arrives in pieces.

    What is shorter than MINIMUM is a placeholder ("EMPTY") and left alone, lest it be cut out of ordinary words.
    """

    MARK = "[key]"
    MINIMUM = 8
    _CHANCE = 4  # characters of the key's beginning that are no coincidence any more

    def __init__(self, key: str) -> None:
        self._key = key if len(key) >= self.MINIMUM else ""
        forms = {self._key, quote(self._key, safe=""), json.dumps(self._key)[1:-1]} - {""}
        self._forms = sorted(forms, key=len, reverse=True)
        self._sent = ""  # the last characters that were shown
        self._tail = ""  # what may be the beginning of the key, not shown yet

    def __repr__(self) -> str:
        return "Scrub()"

    def whole(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, self.MARK)
        return text

    def piece(self, text: str) -> str:
        """The part of a stream that can be shown now; what may be the beginning of the key waits for the next piece."""
        if not self._key:
            return text
        pending, out, done = self._sent + self._tail + self.whole(text), "", len(self._sent)
        while (at := pending.find(self._key)) >= 0:
            out += pending[done:at] + self.MARK
            pending, done = pending[at + len(self._key) :], 0
        longest = range(min(len(self._key) - 1, len(pending)), self._CHANCE - 1, -1)
        held = next((size for size in longest if pending.endswith(self._key[:size])), 0)
        end = max(done, len(pending) - held)
        self._tail, self._sent = pending[end:], pending[:end][-(self._CHANCE - 1) :]
        return out + pending[done:end]

    def rest(self) -> str:
        """What `piece` still holds when the stream has ended."""
        held, self._tail = self._tail, ""
        return self.MARK if len(held) >= self.MINIMUM else held


# Chunks as timed tokens.


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
        ids = [int(entry) for entry in choice.get("token_ids") or ()]
        if choice.get("finish_reason"):
            self.finish = _REASONS.get(str(choice["finish_reason"]), "stop")
        if ids:
            number, way = len(ids), "ids"
        elif entries:
            number, way = len(entries), "ids" if all(entry.id != UNKNOWN_ID for entry in entries) else "logprobs"
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
        total = usage.get("completion_tokens")
        if not isinstance(total, int):
            return None
        self.output_tokens = total
        new, self._told = max(0, total - max(self._told, self.count)), total
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
                str(entry["token"]),
                int(entry.get("id", UNKNOWN_ID)),
                _number(entry.get("logprob")),
                tuple(
                    Alternative(int(a.get("id", UNKNOWN_ID)), str(a["token"]), float(a["logprob"]))
                    for a in entry.get("top_logprobs") or ()
                ),
            )
            for entry in logprobs["content"]
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
