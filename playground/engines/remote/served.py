"""One model of an endpoint: how it wants to be asked, and what is said of it on the page."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playground.core import Loaded
from playground.engines.client import Counting
from playground.engines.remote.errors import shown
from playground.engines.remote.requests import KINDS, Kind, not_taken
from playground.models.endpoints import Endpoint

_COUNTED: Mapping[Counting, str] = {
    "ids": "counted by their ids",
    "logprobs": "counted by their log-probabilities",
    "usage": "counted by the endpoint",
    "chunks": "not told one by one, so that a chunk counts as one token",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A model of an endpoint, and how it wants to be asked.

    tokenizes      the endpoint tokenizes raw text (`/tokenize`)
    templates      it also renders a chat to token ids
    takes_ids      /completions takes token ids; else a chat goes as messages and gets the endpoint's own template
    refused        fields it rejected
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
        """Our own host tells the real one; anywhere else nobody is said to have the same tokenizer."""
        told = self.row.get("tokenizer_hash")
        if self.kind is KINDS["playground"] and self.takes_ids and isinstance(told, str):
            return told
        return "remote-" + hashlib.sha256(f"{self.endpoint.url} {self.model}".encode()).hexdigest()[:16]

    @property
    def context(self) -> int:
        """Longest sequence, tokens; 0 where nobody tells."""
        meta = self.row.get("meta")
        told = [self.row.get(name) for name in ("max_model_len", "context", "context_length")]
        told += [meta.get("n_ctx")] if isinstance(meta, dict) else []
        return next((one for one in told if isinstance(one, int) and one > 0), 0)

    @property
    def dtype(self) -> str:
        meta = self.row.get("meta")
        told = self.row.get("dtype") or (meta.get("ftype") if isinstance(meta, dict) else None)
        return shown(told)[:40] if isinstance(told, str) else "?"

    @property
    def words(self) -> str:
        """`Loaded.kernel`: where it runs, how the prompt gets there, how tokens are counted, what cannot be set."""
        said = [f"runs elsewhere: {self.endpoint.host} ({self.kind.title}), which does not tell its kernels"]
        if not self.takes_ids:
            said.append("prompts go as chats and get its own chat template")
        elif not self.templates and self.takes_chats:
            said.append("chats get its own chat template")
        else:
            said.append("prompts go as token ids")
        said.append(f"tokens are {_COUNTED[self.counting]}")
        if lost := not_taken(self.kind, self.refused):
            said.append(f"it does not get {', '.join(lost)}")
        return "; ".join(said)

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
