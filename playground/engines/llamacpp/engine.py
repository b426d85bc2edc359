"""The llama.cpp engine: GGUF files, one server process per variant, timed by llama.cpp itself."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from playground import models
from playground.core import (
    Finish,
    ForcedTokens,
    Forcing,
    Generation,
    Loaded,
    LoadSpec,
    Message,
    Progress,
    Prompt,
    Token,
)
from playground.engines import base, http
from playground.engines.base import IsCancelled, OnProgress
from playground.engines.llamacpp import server
from playground.engines.llamacpp.stream import Completion
from playground.engines.servers import ServerProcess, Servers
from playground.errors import ContextOverflow, EngineError, EngineUnavailable, InvalidRequest, UnsupportedModel
from playground.models.gguf import GgufHeader, read_header
from playground.settings import settings

OVERHEAD = 150_000_000  # bytes of a server beside weights and cache
WARM_UP = {"prompt": [1] * 16, "n_predict": 4, "ignore_eos": True, "cache_prompt": False}

Tokenize = Callable[[str, Sequence[Message] | str], Prompt]


@dataclass(frozen=True, slots=True)
class _Model:
    """Facts of a variant.

    reference  folder of its model's original, "" for a GGUF alone
    end_ids    end-of-text ids beside those that llama.cpp reads from the file
    """

    header: GgufHeader
    reference: str
    tokenizer_hash: str
    end_ids: frozenset[int] = frozenset()
    turn: threading.Lock = field(default_factory=threading.Lock)


class LlamaCppEngine:
    """Implements `base.Engine` on llama-server. `tokenize` returns the ids of a reference folder's tokenizer."""

    name = "llamacpp"

    def __init__(self, tokenize: Tokenize) -> None:
        self._tokenize = tokenize
        # llama-server closes connections after a stream without notice, and the next request on one would fail
        self._client = http.new_client(keep_alive=False)
        self._servers = Servers("llama.cpp")
        self._models: dict[str, _Model] = {}
        self._running: dict[str, Completion] = {}

    def start(self) -> None:
        """Do nothing: each variant has its own server."""

    def close(self) -> None:
        """End every server."""
        self._servers.close()
        self._client.close()

    def health(self) -> dict[str, Any]:
        """Return the loaded variants, least recently used first, without a request."""
        return {"loaded": [loaded.id for loaded in self._servers.loaded()]}

    def process(self, variant: str) -> ServerProcess:
        """Yield the running server of `variant`. Raises UnknownVariant, EngineDied."""
        with self._servers.using(variant) as process:
            return process

    def unload(self, variant: str) -> bool:
        """End the server of `variant`. Return False if there is none."""
        return self._servers.stop(variant)

    def unload_idle(self) -> str | None:
        return self._servers.stop_idle()

    def held(self, variant: str) -> Loaded | None:
        return self._servers.held(variant)

    def load(
        self, variant: str, on_progress: OnProgress, is_cancelled: IsCancelled, keep: Sequence[str] = ()
    ) -> Loaded:
        with self._servers.starting(variant) as held:
            if held:
                return held
            if importlib.util.find_spec("xllamacpp") is None:
                raise EngineUnavailable(
                    "llama.cpp is not installed here.", hint="Run `make setup`, or `pip install xllamacpp`."
                )
            spec = models.resolve(variant, on_progress, is_cancelled)
            model = self._models[variant] = self._read(spec, on_progress, is_cancelled)
            context = server.context(model.header, settings().llamacpp_context)
            weights, cache = server.weight_bytes(model.header), _kv_bytes_per_token(model.header) * context
            self._servers.make_room(variant, weights + cache + OVERHEAD, keep)
            began = time.monotonic()
            try:
                how = server.server_spec(spec, context, on_progress)
                process = self._servers.start(variant, how, self._client, is_cancelled)
                on_progress(Progress("Warming up"))
                http.post(self._client, process, "/completion", WARM_UP)
                loaded = _describe(spec, model, context, process, time.monotonic() - began)
            except BaseException:
                self._servers.stop(variant)
                raise
            self._servers.ready(variant, loaded)
            return loaded

    def _read(self, spec: LoadSpec, on_progress: OnProgress, is_cancelled: IsCancelled) -> _Model:
        """The header, and whose tokenizer makes the ids: the reference's where there is one."""
        if not spec.path.endswith(".gguf"):
            raise UnsupportedModel(
                f"llama.cpp reads GGUF files, and {spec.id} is none.", hint="Choose another engine for it."
            )
        header = read_header(Path(spec.path))
        name = models.split(spec.id)[0]
        if name == spec.id:
            return _Model(header, "", server.tokenizer_hash(header))
        reference = models.resolve(name, on_progress, is_cancelled).path
        on_progress(Progress("Reading the tokenizer"))
        return _Model(header, reference, self._tokenize(reference, "a").tokenizer_hash, frozenset(spec.end_ids))

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        model = self._models.get(variant)
        if model and model.reference:
            return self._tokenize(model.reference, messages)
        with self._servers.using(variant) as process:
            if model is None:
                raise EngineError(f"{variant} is not loaded in llama.cpp.", hint="Run it again.")
            chat = not isinstance(messages, str) and server.has_chat_template(model.header)
            if chat:
                text = str(http.post(self._client, process, "/apply-template", {"messages": list(messages)})["prompt"])
            else:
                text = messages if isinstance(messages, str) else "\n\n".join(turn["content"] for turn in messages)
            body = {"content": text, "add_special": True, "parse_special": True}
            ids = tuple(http.post(self._client, process, "/tokenize", body)["tokens"])
        bos = model.header.fields.get("tokenizer.ggml.bos_token_id")
        if ids[:2] == (bos, bos):  # both the template and the tokenizer have added it
            ids = ids[1:]
        return Prompt(ids, text, "chat" if chat else "raw", model.tokenizer_hash)

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        variant, request = generation.variant, generation.request_id
        with self._servers.using(variant) as process, contextlib.ExitStack() as stack:
            loaded = next(entry for entry in self._servers.loaded() if entry.id == variant)
            model = self._models[variant]
            _validate(generation, loaded, model.header)
            names, ends = server.vocabulary(model.header), model.end_ids
            completion = self._running[request] = Completion(self._client, process, loaded, generation, names, ends)
            stack.callback(self._running.pop, request, None)
            began = time.monotonic()
            if not model.turn.acquire(blocking=False):
                yield Progress("Waiting for running generations")
                while not model.turn.acquire(timeout=0.05):
                    if completion.aborted:
                        yield completion.unfinished(time.monotonic() - began)
                        return
            stack.callback(model.turn.release)
            yield from completion.items(time.monotonic() - began)

    def force(self, _forcing: Forcing) -> Iterator[Progress | ForcedTokens | Finish]:
        raise EngineUnavailable(base.no_distribution(self.name))

    def abort(self, request_id: str) -> None:
        if completion := self._running.get(request_id):
            completion.abort()


def _kv_bytes_per_token(header: GgufHeader) -> int:
    chosen = settings()
    return server.kv_bytes_per_token(header, chosen.llamacpp_cache_k, chosen.llamacpp_cache_v)


def _describe(spec: LoadSpec, model: _Model, context: int, process: ServerProcess, load_s: float) -> Loaded:
    header, facts = model.header, server.facts(process.log_text())
    if facts is None:
        raise EngineError("llama.cpp's log has lost its beginning.", hint="Run it again.")
    return Loaded(
        id=spec.id,
        engine=LlamaCppEngine.name,
        device=facts.device,
        dtype=header.weight_type,
        weight_bytes=server.weight_bytes(header),
        streamed_bytes=server.streamed_bytes(header),
        kv_bytes_per_token=_kv_bytes_per_token(header),
        resident_bytes=facts.gpu_bytes if facts.device != "cpu" else psutil.Process(process.pid).memory_info().rss,
        context=context,
        tokenizer_hash=model.tokenizer_hash,
        has_chat_template=server.has_chat_template(header),
        kernel=server.kernel(header, facts),
        load_s=load_s,
        stepped=False,
        weights="packed",
    )


def _validate(generation: Generation, loaded: Loaded, header: GgufHeader) -> None:
    ids, most = generation.prompt_ids, generation.sampling.max_tokens
    if not ids:
        raise InvalidRequest("The prompt is empty.", hint="Type something first.")
    vocabulary = len(server.vocabulary(header))
    if min(ids) < 0 or (vocabulary and max(ids) >= vocabulary):
        raise InvalidRequest("The prompt holds token ids that this model's vocabulary does not have.")
    if len(ids) + most > loaded.context:
        raise ContextOverflow(
            f"The prompt has {len(ids)} tokens and max tokens is {most}: together {len(ids) + most}, more than the "
            f"{loaded.context} that llama.cpp made room for.",
            hint="Shorten the prompt, lower max tokens, or raise PLAYGROUND_LLAMACPP_CONTEXT.",
        )
