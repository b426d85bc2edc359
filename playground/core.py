"""The shared types as frozen dataclasses. Standard library only; every module may import it.

Teacher forcing: one text, usually the reference's own answer, is fed through several variants. Every variant then has
the same context at every position, so that their distributions can be compared. In free generation the contexts differ
after the first differing token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, TypedDict

REFERENCE = "reference"
NOISE_FLOOR = "noise-floor"  # id of the reference in another type: its divergence is the noise of a measurement
UNKNOWN_ID = -1
Clock = Literal["engine", "client"]
Weights = Literal["packed", "unpacked", "emulated", ""]
FinishReason = Literal["stop", "length", "abort", "error"]


class Message(TypedDict):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """A request to load a variant from local files that have been checked.

    path          folder or `.gguf` file
    dtype         compute type, in torch's name
    quantize      scheme applied while loading (`nf4`, `int8` …), or None
    weight_bytes  expected size of the loaded weights, for the memory check
    end_ids       token ids that end an answer by the checkpoint's configs, besides the tokenizer's end token
    original      folder of the model that a GGUF file was made from, "" where it is unknown or not local
    """

    id: str
    path: str
    dtype: str = "bfloat16"
    quantize: str | None = None
    weight_bytes: int = 0
    end_ids: tuple[int, ...] = ()
    original: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """One runnable form of a model.

    id                  "smollm2" for the reference, "smollm2:nf4" for the rest
    label               display name: "BF16", "nf4", "W4A16"
    path                local folder or file, or the hub repository
    bytes               size on disk; for a variant that is quantized while loading, the size that it would have
    bytes_are_estimated True for the latter
    parameters          logical parameters (packed values are counted unpacked)
    source              one line of provenance ("bundled, restored from Q4_1")
    unread              what transformers would ignore in a GGUF file, as the end of a sentence; "" if nothing
    """

    id: str
    model: str
    name: str
    label: str
    method: str
    scheme: str
    dtype: str
    path: str
    revision: str | None = None
    bytes: int | None = None
    bytes_are_estimated: bool = False
    parameters: int | None = None
    group_size: int | None = None
    engines: tuple[str, ...] = ("transformers",)
    quantize: str | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    unread: str = ""

    @property
    def is_reference(self) -> bool:
        return self.id == self.model

    @property
    def bits_per_weight(self) -> float | None:
        """All tensors of the checkpoint, in bits, over the logical parameters."""
        if self.bytes is None or not self.parameters:
            return None
        return 8 * self.bytes / self.parameters

    def as_row(self) -> dict[str, Any]:
        """The documented JSON of `playground models`."""
        return {
            "id": self.id,
            "model": self.model,
            "method": self.method,
            "scheme": self.scheme,
            "path": self.path,
            "bytes": self.bytes,
            "bits_per_weight": None if self.bits_per_weight is None else round(self.bits_per_weight, 3),
            "engines": list(self.engines),
        }


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters. temperature 0 is greedy; top_k 0 and top_p 1 are off."""

    max_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0

    def __str__(self) -> str:
        parts = ["greedy" if self.greedy else f"temperature {self.temperature:g}"]
        if not self.greedy and self.top_p < 1:
            parts.append(f"top-p {self.top_p:g}")
        if not self.greedy and self.top_k:
            parts.append(f"top-k {self.top_k}")
        if self.repetition_penalty != 1:
            parts.append(f"penalty {self.repetition_penalty:g}")
        parts += [f"{self.max_tokens} tokens", f"seed {self.seed}"]
        if self.stop:
            parts.append(f"{len(self.stop)} stop string{'s' if len(self.stop) > 1 else ''}")
        return " · ".join(parts)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Sampling:
        """Inverse of `asdict`, also from JSON. Fields that this version does not have are dropped."""
        fields = {name: raw[name] for name in cls.__dataclass_fields__ if name in raw}
        return cls(**fields | {"stop": tuple(raw.get("stop") or ())})


class Alternative(NamedTuple):
    """One of the most probable tokens at a position. logprob in nats, of the raw distribution."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token.

    id        UNKNOWN_ID where an engine does not report it (llama.cpp, inside a character that it could not recover)
    text      the text that this token completes; "" while a multi-byte character is incomplete
    piece     the token decoded alone, for the tooltip (may contain U+FFFD)
    time_s    seconds since the request was accepted, on the generation's own clock in the engine
    step_s    seconds the engine spent on this token (the prefill for the first one)
    logprob   nats, of the raw distribution (before temperature and penalties); None if the engine gives none
    top       the engine's most probable tokens here, best first
    """

    id: int
    text: str
    piece: str
    time_s: float
    step_s: float
    logprob: float | None = None
    top: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a long operation; `total` 0 means that its length is unknown."""

    stage: str
    done: float = 0.0
    total: float = 0.0
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Reported:
    """The engine's own metrics of one generation, besides the times of the tokens; None where it reports none.

    source  of the figures: "vLLM /metrics", "llama.cpp timings"
    """

    source: str
    ttft_s: float | None = None
    prefill_s: float | None = None
    decode_tok_s: float | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a generation.

    waited_s   seconds waited for other generations of the engine; not part of any time of a token
    text       text that was held back until the end (an incomplete character, the beginning of a stop string)
    reported   the engine's own metrics of this generation
    contended  whether others computed on the same device at the same time, so that its times are not comparable
    """

    reason: FinishReason
    prompt_tokens: int
    output_tokens: int
    peak_memory_bytes: int | None = None
    waited_s: float = 0.0
    text: str = ""
    reported: Reported | None = None
    contended: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """The timed tokens of one generation; every metric derives from it (`metrics.timing`).

    prefill_s  the engine's time for the prompt
    clock      whose: the engine's or the client's
    """

    prompt_tokens: int
    times_s: tuple[float, ...] = ()
    steps_s: tuple[float, ...] = ()
    prefill_s: float | None = None
    clock: Clock = "engine"


@dataclass(frozen=True, slots=True)
class Generation:
    """One request to an engine. Every variant gets the same token ids.

    top_logprobs  alternatives to each token; 0 also omits the token's own log-probability where that costs time
    at_once       overlap the other generations of the same `group` on this device; the times are then contended
    messages      the chat that the ids were rendered from, for a remote endpoint that accepts no token ids
    """

    variant: str
    prompt_ids: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    top_logprobs: int = 5
    request_id: str = ""
    at_once: bool = False
    group: str = ""
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A variant as loaded by an engine.

    weight_bytes       bytes of its parameters and buffers, tied ones once
    streamed_bytes     of these, the bytes read for every decoded token (an untied input embedding is only looked up);
                       None for a mixture of experts, where it depends on the routing
    kv_bytes_per_token bytes of key/value cache per position
    resident_bytes     memory taken by the load (RSS growth on a CPU, allocated VRAM on a GPU)
    context            longest sequence of the model, tokens
    tokenizer_hash     the same hash means the same token ids
    kernel             the matmul kernel, as found in the loaded modules or in the engine's log
    weights            "packed": memory holds the stored form and its own kernel computes on it; "unpacked": a 16- or
                       32-bit copy is held, or made before each product; "emulated": arithmetic is imitated; "": not
                       known, as in rows of older versions
    clock              whose: the engine's, or the client's at arrival where the engine reports no times
    stepped            True where one thread steps all generations in turn, so that none disturbs another's clock;
                       other engines take turns with those on the same device
    """

    id: str
    engine: str
    device: str
    dtype: str
    weight_bytes: int
    streamed_bytes: int | None
    kv_bytes_per_token: int
    resident_bytes: int
    context: int
    tokenizer_hash: str
    has_chat_template: bool
    kernel: str = ""
    load_s: float = 0.0
    clock: Clock = "engine"
    stepped: bool = True
    weights: Weights = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Loaded:
        return cls(**{name: raw[name] for name in cls.__dataclass_fields__ if name in raw})


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered and tokenized prompt.

    template  "chat"; "raw": a completion without a template; "remote": the endpoint renders the chat with its own
              template, and `ids` is empty
    """

    ids: tuple[int, ...]
    text: str
    template: Literal["chat", "raw", "remote"]
    tokenizer_hash: str


# Teacher forcing.


@dataclass(frozen=True, slots=True)
class Forcing:
    """One request to force a text through variants.

    token_ids  the text, which follows `prompt_ids`
    top        number of most probable tokens to return per position
    """

    reference: str
    others: tuple[str, ...]
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    top: int = 5
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class ForcedToken:
    """One position in a variant and in the reference; from the raw distributions, before any sampling.

    kld                KL(reference‖variant) in nats, over the whole vocabulary
    agrees             whether both have the same most probable token
    logprob_reference  nats, of the forced token; `logprob` is the variant's
    top_reference      the reference's most probable tokens, best first; `top` are the variant's
    """

    kld: float
    agrees: bool
    logprob_reference: float
    logprob: float
    top_reference: tuple[Alternative, ...]
    top: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class ForcedTokens:
    """Consecutive positions in variant `other` (an index into the request's others); `start` is the first position."""

    other: int
    start: int
    tokens: tuple[ForcedToken, ...]


@dataclass(frozen=True, slots=True)
class ForcedSummary:
    """The divergence of a variant on one text. It is of one prompt, so it has no standard error.

    kld_mean        nats
    top1_agreement  0 to 1
    """

    kld_mean: float
    top1_agreement: float
    tokens: int

    def __str__(self) -> str:
        return f"mean KLD {nats(self.kld_mean)} nats, same top token {self.top1_agreement:.0%}"

    def as_dict(self) -> dict[str, Any]:
        return {"kld_mean": self.kld_mean, "top1_agreement": self.top1_agreement, "tokens": self.tokens}


def summary(tokens: Sequence[ForcedToken]) -> ForcedSummary | None:
    """The means over `tokens`; None without any."""
    count = len(tokens)
    if not count:
        return None
    return ForcedSummary(sum(t.kld for t in tokens) / count, sum(t.agrees for t in tokens) / count, count)


def nats(kld: float) -> str:
    """Two significant digits: 0.084, 1.3. Below 1e-5 it is rounding error and shown as 0."""
    if kld < 1e-5:
        return "0"
    if kld >= 0.995:
        return f"{kld:.1f}"
    digits = next(n for n in range(2, 7) if kld >= 0.995 * 10 ** (1 - n))
    return f"{kld:.{digits}f}"
