"""The vLLM engine: a server per variant, started when first needed, timed at arrival and by vLLM's own metrics."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from playground import models as catalog
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
    Reported,
    Sampling,
    Token,
)
from playground.engines import base, http
from playground.engines.base import IsCancelled, OnProgress
from playground.engines.servers import ServerProcess, Servers
from playground.engines.vllm import server
from playground.engines.vllm.server import kv_bytes_per_token, models, read_config, refusal, streamed_bytes
from playground.engines.vllm.stream import Piece, TokensOf, body, pieces, refused
from playground.errors import ContextOverflow, EngineDied, EngineUnavailable, InvalidRequest
from playground.metrics.weights import read_tensors
from playground.settings import settings

Tokenize = Callable[[str, Sequence[Message] | str], Prompt]
WARM_UP_TOKENS = 8
METRICS_S = 2.0  # timeout for vLLM's metrics, which lag on a busy machine
# About a hundred tokens: the first prefill of a length selects and builds kernels, which should count as loading.
_WARM_UP = " ".join(["Say in one sentence what a quantized language model gains and what it loses."] * 6)


@dataclass(frozen=True, slots=True)
class _Place:
    """Facts of a variant: its folder, the text of its token ids, and its end-of-text ids."""

    path: str
    piece: Piece | None
    end_ids: tuple[int, ...]


class VllmEngine:
    """Implements `base.Engine`. `tokenize(folder, source)` returns the reference's token ids."""

    name = "vllm"

    def __init__(self, tokenize: Tokenize) -> None:
        self._tokenize = tokenize
        self._client = http.new_client()
        self.servers = Servers(self.name)
        self._ids: dict[str, str] = {}  # requested name → id of its variant
        self._places: dict[str, _Place] = {}
        self._streams: dict[str, http.Request[dict[str, Any]]] = {}

    def start(self) -> None:
        """Do nothing: each variant has its own server."""

    def health(self) -> dict[str, Any]:
        """Return the loaded variants, least recently used first, without a request."""
        return {"loaded": [loaded.id for loaded in self.servers.loaded()]}

    def close(self) -> None:
        """End every server, also those that are starting."""
        self.servers.close()
        self._client.close()

    def unload(self, variant: str) -> bool:
        """End the server of `variant`. Return False if there is none."""
        return self.servers.stop(self._ids.get(variant, variant))

    def unload_idle(self) -> str | None:
        return self.servers.stop_idle()

    def held(self, variant: str) -> Loaded | None:
        return self.servers.held(self._ids.get(variant, variant))

    def load(
        self, variant: str, on_progress: OnProgress, is_cancelled: IsCancelled, keep: Sequence[str] = ()
    ) -> Loaded:
        interpreter = server.python()
        spec = catalog.resolve(variant, on_progress, is_cancelled)
        self._ids[variant] = spec.id
        with self.servers.starting(spec.id) as loaded:
            if loaded is not None:
                return loaded
            on = server.device(interpreter)
            server.refuse(spec, on)
            began = time.monotonic()
            self._places[spec.id] = _Place(spec.path, pieces(Path(spec.path)), spec.end_ids)
            prompt = self._tokenize(spec.path, [{"role": "user", "content": _WARM_UP}])
            kept = [self._ids.get(name, name) for name in keep]
            needed = server.needed(catalog.variant(spec.id).bytes or spec.weight_bytes, on)
            self.servers.make_room(spec.id, needed, kept, lambda: server.free(on))
            how = server.server_spec(spec, on, interpreter, self._client, on_progress)
            process = self.servers.start(spec.id, how, self._client, is_cancelled)
            try:
                context = self._warm_up(process, spec, prompt, on_progress, is_cancelled)
                loaded_now = _loaded(spec, on, process, prompt, context, time.monotonic() - began)
            except BaseException as error:
                self.servers.stop(spec.id)
                if isinstance(error, EngineDied):  # some missing kernels only fail when they are first called
                    raise refusal(spec, process.log_text(), error) from None
                raise
            self.servers.ready(spec.id, loaded_now)
            return loaded_now

    def _warm_up(
        self, process: ServerProcess, spec: LoadSpec, prompt: Prompt, on_progress: OnProgress, is_cancelled: IsCancelled
    ) -> int:
        """Warm up with a generation. Return the context length that vLLM has allocated."""
        on_progress(server.WARM_UP)
        context = int(str(models(process, self._client)[0]["max_model_len"]))
        tokens = min(WARM_UP_TOKENS, context - 1)
        sampling = Sampling(max_tokens=tokens, ignore_eos=True)
        request = Generation(spec.id, prompt.ids[: context - tokens], sampling)
        with (
            http.watched(process, self._client),
            self._events(process, _body(request, self._places[spec.id]), is_cancelled) as events,
        ):
            for _ in events:
                continue
        return context

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        place = self._places.get(self._ids.get(variant, variant))
        return self._tokenize(place.path if place else catalog.resolve(variant).path, messages)

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        request = replace(generation, variant=self._ids.get(generation.variant, generation.variant))
        with self.servers.using(request.variant) as process:
            _check(request, self._context(request.variant))
            with http.watched(process, self._client):
                yield from self._stream(request, process)

    def _stream(self, request: Generation, process: ServerProcess) -> Iterator[Token | Finish]:
        place = self._places[request.variant]
        # Reading vLLM's metrics (20 ms) and memory (150 ms) would slow concurrent requests and delay the next one.
        before = None if request.at_once else self._metrics(process)
        tokens = TokensOf(request, place.piece)
        with self._events(process, _body(request, place)) as events:
            self._streams[request.request_id] = events
            try:
                for arrival in events:
                    yield from tokens.of(arrival)
            finally:
                self._streams.pop(request.request_id, None)
            if tokens.unfinished and not events.closed:
                raise httpx.RemoteProtocolError("the stream ended before the answer did")
        reported = None if before is None or tokens.unfinished else self._reported(process, before)
        measured = self._device(request.variant) == "cpu" and not request.at_once
        peak = server.of_processes(process.pid) if measured else None
        yield replace(tokens.finish(), reported=reported, peak_memory_bytes=peak)

    def _events(
        self, process: ServerProcess, request: dict[str, Any], is_cancelled: IsCancelled | None = None
    ) -> http.Request[dict[str, Any]]:
        return http.events(
            self._client, process, "/v1/completions", request, refused=refused, is_cancelled=is_cancelled
        )

    def force(self, _forcing: Forcing) -> Iterator[Progress | ForcedTokens | Finish]:
        raise EngineUnavailable(base.no_distribution(self.name))

    def abort(self, request_id: str) -> None:
        if stream := self._streams.get(request_id):
            stream.close()

    def _of(self, variant: str) -> Loaded:
        return next(loaded for loaded in self.servers.loaded() if loaded.id == variant)

    def _context(self, variant: str) -> int:
        return self._of(variant).context

    def _device(self, variant: str) -> str:
        return self._of(variant).device

    def _metrics(self, process: ServerProcess) -> dict[str, float]:
        answer = self._client.get(f"{process.url}/metrics", timeout=10.0)
        return server.read(answer.raise_for_status().text)

    def _reported(self, process: ServerProcess, before: dict[str, float]) -> Reported | None:
        """Return vLLM's metrics of a request, as soon as they include it: shortly after the last token."""
        deadline = time.monotonic() + METRICS_S
        with contextlib.suppress(httpx.HTTPError):  # metrics are optional
            while time.monotonic() < deadline:
                after = self._metrics(process)
                finished = after.get(server.FINISHED, 0.0) > before.get(server.FINISHED, 0.0)
                if finished and not after.get(server.RUNNING, 0.0):
                    return server.difference(before, after)
                time.sleep(0.01)
        return None


def _body(request: Generation, place: _Place) -> dict[str, object]:
    most = min(request.sampling.max_tokens, settings().max_tokens)
    return body(request, most, ids=place.piece is not None, end_ids=place.end_ids)


def _check(request: Generation, context: int) -> None:
    prompt, wanted = len(request.prompt_ids), min(request.sampling.max_tokens, settings().max_tokens)
    if not prompt:
        raise InvalidRequest("The prompt is empty.", hint="Write something.")
    if prompt + wanted > context:
        raise ContextOverflow(
            f"The prompt has {prompt} tokens and max tokens is {wanted}: together {prompt + wanted}, more than the "
            f"{context} that vLLM made room for.",
            hint="Shorten the prompt, lower max tokens, or raise PLAYGROUND_VLLM_MAX_MODEL_LEN.",
        )


def _loaded(
    spec: LoadSpec, on: server.Device, process: ServerProcess, prompt: Prompt, context: int, load_s: float
) -> Loaded:
    folder, variant, log = Path(spec.path), catalog.variant(spec.id), process.log_text()
    config, tensors = read_config(folder), read_tensors(folder)
    weights = variant.bytes or spec.weight_bytes
    return Loaded(
        id=spec.id,
        engine="vllm",
        device=on,
        dtype=spec.dtype,
        weight_bytes=weights,
        streamed_bytes=streamed_bytes(config, tensors, weights),
        kv_bytes_per_token=kv_bytes_per_token(config, spec.dtype, settings().vllm_kv_cache),
        resident_bytes=server.memory_bytes(log) if on == "cuda" else server.of_processes(process.pid),
        context=context,
        tokenizer_hash=prompt.tokenizer_hash,
        has_chat_template=prompt.template == "chat",
        kernel=server.kernel(log, variant.scheme, spec.dtype, on, server.eager(on)),
        load_s=load_s,
        clock="client",
        stepped=False,
        weights=server.weights(log, variant.scheme, on),
    )
