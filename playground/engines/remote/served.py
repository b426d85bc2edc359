"""A model of an endpoint: the fields that a request to it may have, and its description on the page.

A request has OpenAI's fields, and further ones that this kind of server is known to support.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.core import Loaded, Message, Sampling
from playground.engines.remote.errors import shown
from playground.engines.wire import Counting
from playground.models.endpoints import Endpoint

_COUNTED: Mapping[Counting, str] = {
    "ids": "counted by their ids",
    "logprobs": "counted by their log-probabilities",
    "usage": "counted by the endpoint",
    "chunks": "not told one by one, so that a chunk counts as one token",
}
Extensions = Callable[[Sampling], Mapping[str, Any]]
_LOGPROBS = frozenset({"logprobs", "top_logprobs"})
_NEEDED = frozenset({"model", "prompt", "messages", "temperature", "top_p", "stream", "stop"})


@dataclass(frozen=True, slots=True)
class Served:
    """A model of an endpoint, and which requests it supports.

    tokenizes      the endpoint tokenizes raw text (`/tokenize`)
    templates      it also renders a chat to token ids
    takes_ids      /completions accepts token ids; else a chat is sent as messages, for the endpoint's own template
    refused        fields that it rejected
    """

    endpoint: Endpoint
    model: str
    kind: Kind
    row: Mapping[str, Any]
    tokenizes: bool = False
    templates: bool = False
    takes_ids: bool = False
    takes_chats: bool = True
    refused: frozenset[str] = frozenset()
    counting: Counting = "chunks"

    @property
    def tokenizer_hash(self) -> str:
        """Return the tokenizer's hash from our own host; elsewhere a value that equals no other tokenizer's."""
        own_hash = self.row.get("tokenizer_hash")
        if self.kind is KINDS["playground"] and self.takes_ids and isinstance(own_hash, str):
            return own_hash
        return "remote-" + hashlib.sha256(f"{self.endpoint.url} {self.model}".encode()).hexdigest()[:16]

    @property
    def context(self) -> int:
        """Return the maximum sequence length in tokens; 0 if it is not known."""
        meta = self.row.get("meta")
        lengths = [self.row.get(name) for name in ("max_model_len", "context", "context_length")]
        lengths += [meta.get("n_ctx")] if isinstance(meta, dict) else []
        return next((length for length in lengths if isinstance(length, int) and length > 0), 0)

    @property
    def dtype(self) -> str:
        meta = self.row.get("meta")
        dtype = self.row.get("dtype") or (meta.get("ftype") if isinstance(meta, dict) else None)
        return shown(dtype)[:40] if isinstance(dtype, str) else "?"

    @property
    def words(self) -> str:
        """Return `Loaded.kernel`: host, how prompts are sent, how tokens are counted, unsupported parameters."""
        parts = [f"runs elsewhere: {self.endpoint.host} ({self.kind.title}), which does not tell its kernels"]
        if not self.takes_ids:
            parts.append("prompts go as chats and get its own chat template")
        elif not self.templates and self.takes_chats:
            parts.append("chats get its own chat template")
        else:
            parts.append("prompts go as token ids")
        parts.append(f"tokens are {_COUNTED[self.counting]}")
        if lost := not_taken(self.kind, self.refused):
            parts.append(f"it does not get {', '.join(lost)}")
        return "; ".join(parts)

    def loaded(self, variant: str, seconds: float) -> Loaded:
        return Loaded(
            id=variant,
            engine="remote",
            device="remote",
            dtype=self.dtype,
            weight_bytes=0,
            streamed_bytes=None,
            kv_bytes_per_token=0,
            resident_bytes=0,
            context=self.context,
            tokenizer_hash=self.tokenizer_hash,
            has_chat_template=self.templates or self.takes_chats,
            kernel=self.words,
            load_s=seconds,
            clock="client",
            stepped=False,
        )


# Kinds of servers, and the request that each takes.


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of server, recognized by `owned_by` in its list of models.

    extensions       sampling fields beyond OpenAI's. All are always sent, because the server would otherwise use its
                     own defaults (llama.cpp's top-k 40, a generation_config.json in vLLM). The prompt cache is turned
                     off, so that a second run's TTFT is not the time of a look-up
    running_count    `usage` can be sent with every chunk
    tells_ids        chunks have token ids without a request for log-probabilities
    """

    title: str
    extensions: Extensions = lambda _: {}
    running_count: bool = False
    tells_ids: bool = False


UNKNOWN = Kind("OpenAI-compatible")
KINDS: Mapping[str, Kind] = {
    "vllm": Kind(
        "vLLM",
        lambda s: {
            "top_k": s.top_k,
            "min_p": 0.0,
            "repetition_penalty": s.repetition_penalty,
            "ignore_eos": s.ignore_eos,
            "return_token_ids": True,
            "cache_salt": uuid.uuid4().hex,
        },
        running_count=True,
        tells_ids=True,
    ),
    "sglang": Kind(
        "SGLang",
        lambda s: {
            "top_k": s.top_k or -1,
            "min_p": 0.0,
            "repetition_penalty": s.repetition_penalty,
            "ignore_eos": s.ignore_eos,
        },
        running_count=True,
    ),
    "llamacpp": Kind(
        "llama.cpp",
        lambda s: {
            "top_k": s.top_k,
            "min_p": 0.0,
            "repeat_penalty": s.repetition_penalty,
            "ignore_eos": s.ignore_eos,
            "cache_prompt": False,
        },
    ),
    "playground": Kind(
        "Quantization Playground",
        lambda s: {"top_k": s.top_k, "repetition_penalty": s.repetition_penalty, "ignore_eos": s.ignore_eos},
        tells_ids=True,
    ),
}


def body(
    kind: Kind,
    model: str,
    source: Sequence[int] | Sequence[Message],
    sampling: Sampling,
    top_logprobs: int,
    refused: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Return a streamed request, ids for /completions or a chat for /chat/completions, without `refused` fields."""
    chat = bool(source) and isinstance(source[0], dict)
    limit = "max_completion_tokens" if "max_tokens" in refused else "max_tokens"
    made: dict[str, Any] = {
        "model": model,
        "messages" if chat else "prompt": list(source),
        limit: sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
        **kind.extensions(sampling),
    }
    if sampling.stop:
        made["stop"] = list(sampling.stop)
    if kind.running_count and "continuous_usage_stats" not in refused:
        made["stream_options"]["continuous_usage_stats"] = True
    if top_logprobs or not kind.tells_ids:
        # If chunks have no ids, tokens are counted by their entries here.
        number = max(1, top_logprobs)
        made |= {"logprobs": True, "top_logprobs": number} if chat else {"logprobs": number}
    return {name: value for name, value in made.items() if name not in refused or name in _NEEDED}


def neutral(kind: Kind, refused: frozenset[str]) -> dict[str, Any]:
    """Return the supported fields that override a server's own sampling defaults."""
    made = {"top_p": 1.0, **kind.extensions(Sampling())}
    return {name: value for name, value in made.items() if name not in refused}


def refused_by(message: str, sent: Mapping[str, Any]) -> frozenset[str]:
    """Return the optional fields of a request that an error message names."""
    optional = (set(sent) - _NEEDED) | (set(sent.get("stream_options") or ()) - {"include_usage"})
    if "max_completion_tokens" not in message:
        optional.discard("max_tokens")
    named = {name for name in optional if re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", message)}
    return frozenset(named | (_LOGPROBS if named & _LOGPROBS else set()))


def not_taken(kind: Kind, refused: frozenset[str]) -> list[str]:
    """Return the sampling parameters that this endpoint does not support, in words."""
    sent = set(kind.extensions(Sampling())) - refused
    words = {
        "top-k": {"top_k"},
        "repetition penalty": {"repetition_penalty", "repeat_penalty"},
        "ignore EOS": {"ignore_eos"},
    }
    missing = [word for word, names in words.items() if not names & sent]
    return [*missing, *(["seed"] if "seed" in refused else [])]
