"""The llama.cpp engine: GGUF files, one server process per variant, timed by llama.cpp itself."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import psutil

from playground import catalog
from playground.catalog.gguf_file import GgufHeader, read_header
from playground.core import UNKNOWN_ID, Finish, Generation, Loaded, LoadSpec, Message, Progress, Prompt, Token
from playground.engines import client as http
from playground.engines import llamacpp_facts, llamacpp_stream
from playground.engines.engine import IsCancelled, OnProgress
from playground.engines.llamacpp_facts import Facts
from playground.engines.llamacpp_stream import Piece
from playground.engines.process import START_TIMEOUT_S, ServerProcess
from playground.engines.servers import Servers
from playground.errors import (
    ContextOverflow,
    EngineDied,
    EngineError,
    EngineUnavailable,
    InvalidRequest,
    OutOfMemory,
    UnsupportedModel,
)
from playground.settings import settings

MODULE = "playground.engines.llamacpp_host"
PORTS = 3  # attempts to find a port that nobody takes before the server does
OVERHEAD = 150_000_000  # bytes of a server beside weights and cache
LOAD_TIMEOUT_S = 3600.0  # of a file on a slow disk; a dead process is noticed at once
WARM_UP = {"prompt": [1] * 16, "n_predict": 4, "ignore_eos": True, "cache_prompt": False}
_DATA = "data: "

Tokenize = Callable[[str, Sequence[Message] | str], Prompt]


@dataclass(frozen=True, slots=True)
class _Model:
    """What the engine remembers of a variant. `reference`: folder of its model's original, "" for a GGUF alone."""

    header: GgufHeader
    reference: str
    tokenizer_hash: str
    turn: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class _Running:
    """A generation under way; `connection` is what an abort from another thread cuts."""

    aborted: threading.Event = field(default_factory=threading.Event)
    connection: socket.socket | None = None


class LlamaCppEngine:
    """Implements `engine.Engine` on llama-server. `tokenize` gives the ids of a reference folder's tokenizer."""

    name = "llamacpp"

    def __init__(self, tokenize: Tokenize) -> None:
        self._tokenize = tokenize
        # llama-server closes connections after a stream without saying so: the next request on one would find it gone
        self._client = http.new_client(keep_alive=False)
        self._servers = Servers("llama.cpp")
        self._models: dict[str, _Model] = {}
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """End every server."""
        self._servers.close()
        self._client.close()

    def health(self) -> dict[str, Any]:
        """What is loaded, least recently used first; no server is asked."""
        return {"loaded": [loaded.as_dict() for loaded in self._servers.loaded()]}

    def process(self, variant: str) -> ServerProcess:
        """The running server of `variant`. Raises UnknownVariant, EngineDied."""
        with self._servers.using(variant) as process:
            return process

    def unload(self, variant: str) -> bool:
        """End the server of `variant`; False when there is none."""
        return self._servers.stop(variant)

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
            spec = catalog.resolve(variant, on_progress, is_cancelled)
            model = self._models[variant] = self._read(spec, on_progress, is_cancelled)
            context = llamacpp_facts.context(model.header, settings().llamacpp_context)
            weights, cache = llamacpp_facts.weight_bytes(model.header), _kv_bytes_per_token(model.header) * context
            self._servers.make_room(variant, weights + cache + OVERHEAD, keep)
            began = time.monotonic()
            try:
                process, facts = self._start(spec, context, on_progress, is_cancelled)
                on_progress(Progress("Warming up"))
                http.post(self._client, process, "/completion", WARM_UP)
                loaded = _describe(spec, model, context, process, facts, time.monotonic() - began)
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
        name = catalog.split(spec.id)[0]
        if name == spec.id:
            return _Model(header, "", llamacpp_facts.tokenizer_hash(header))
        reference = catalog.resolve(name, on_progress, is_cancelled).path
        on_progress(Progress("Reading the tokenizer"))
        return _Model(header, reference, self._tokenize(reference, "a").tokenizer_hash)

    def _start(
        self, spec: LoadSpec, context: int, on_progress: OnProgress, is_cancelled: IsCancelled
    ) -> tuple[ServerProcess, Facts]:
        """A ready server and what it said. Raises EngineError with llama.cpp's own sentence, Cancelled."""
        chosen = settings()
        arguments = ["--model", spec.path, "--context", str(context)]
        arguments += ["--flash-attention", chosen.llamacpp_flash_attention]
        arguments += ["--cache-k", chosen.llamacpp_cache_k, "--cache-v", chosen.llamacpp_cache_v]
        arguments += ["--gpu-layers", str(chosen.llamacpp_gpu_layers)]
        log_name = f"llamacpp-{re.sub(r'[^A-Za-z0-9._-]+', '-', spec.id)[-80:].strip('-')}"
        for _ in range(PORTS):
            on_progress(Progress("Starting llama.cpp"))
            process = ServerProcess("llama.cpp", MODULE, arguments, binds=True, log_name=log_name)
            self._servers.started(spec.id, process)
            try:
                process.wait_ready(self._client, LOAD_TIMEOUT_S, _stages(on_progress), is_cancelled)
                return process, _wait_facts(process)
            except EngineDied as error:
                log = process.log_text()
                if llamacpp_facts.port_taken(log):
                    self._servers.stop(spec.id)
                    continue
                raise _refused(spec.id, llamacpp_facts.refusal(log), error) from None
        raise EngineUnavailable(
            f"llama.cpp found its port taken {PORTS} times in a row.", hint="Run it again.", log_tail=process.log_tail()
        )

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        model = self._models.get(variant)
        if model and model.reference:
            return self._tokenize(model.reference, messages)
        with self._servers.using(variant) as process:
            if model is None:
                raise EngineError(f"{variant} is not loaded in llama.cpp.", hint="Run it again.")
            chat = not isinstance(messages, str) and llamacpp_facts.has_chat_template(model.header)
            if chat:
                text = str(http.post(self._client, process, "/apply-template", {"messages": list(messages)})["prompt"])
            else:
                text = messages if isinstance(messages, str) else "\n\n".join(turn["content"] for turn in messages)
            body = {"content": text, "add_special": True, "parse_special": True}
            ids = tuple(http.post(self._client, process, "/tokenize", body)["tokens"])
        bos = model.header.fields.get("tokenizer.ggml.bos_token_id")
        if ids[:2] == (bos, bos):  # the template wrote it, and the tokenizer added one
            ids = ids[1:]
        return Prompt(ids, text, "chat" if chat else "raw", model.tokenizer_hash)

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        variant = generation.variant
        running = _Running()
        with self._servers.using(variant) as process, contextlib.ExitStack() as stack:
            loaded = next(found for found in self._servers.loaded() if found.id == variant)
            model = self._models[variant]
            _validate(generation, loaded, model.header)
            with self._lock:
                self._running[generation.request_id] = running
            stack.callback(self._running.pop, generation.request_id, None)
            began = time.monotonic()
            if not model.turn.acquire(blocking=False):
                yield Progress("Waiting for running generations")
                while not model.turn.acquire(timeout=0.05):
                    if running.aborted.is_set():
                        yield Finish("abort", len(generation.prompt_ids), 0, waited_s=time.monotonic() - began)
                        return
            stack.callback(model.turn.release)
            yield from self._stream(process, loaded, generation, running, time.monotonic() - began)

    def _stream(
        self, process: ServerProcess, loaded: Loaded, generation: Generation, running: _Running, waited_s: float
    ) -> Iterator[Progress | Token | Finish]:
        """One generation that has its turn. llama-server stops decoding when the connection closes."""
        pieces = lru_cache(maxsize=256)(lambda text: self._pieces(process, text))
        names = llamacpp_facts.vocabulary(self._models[generation.variant].header)
        stream = llamacpp_stream.Stream(pieces, generation.top_logprobs, names)
        with http.watched(process):
            try:
                with self._open(process, loaded, generation, running) as response:
                    for line in response.iter_lines():
                        if running.aborted.is_set():
                            break
                        if not line.startswith(_DATA):
                            continue
                        chunk = json.loads(line.removeprefix(_DATA))
                        yield from stream.read(chunk)
                        if chunk.get("stop"):
                            held = self._held(process, stream, chunk) if generation.sampling.stop else ""
                            yield llamacpp_stream.finish(chunk, held, _peak_bytes(process, loaded), waited_s)
                            return
            except httpx.TransportError:
                if not running.aborted.is_set():
                    raise
            if running.aborted.is_set():
                yield Finish("abort", len(generation.prompt_ids), stream.count, waited_s=waited_s)
                return
        raise EngineError("llama.cpp closed the stream before the end.", log_tail=process.log_tail())

    @contextlib.contextmanager
    def _open(
        self, process: ServerProcess, loaded: Loaded, generation: Generation, running: _Running
    ) -> Iterator[httpx.Response]:
        """The stream of one generation, whose connection `abort` may cut while it lasts."""
        with self._client.stream(
            "POST",
            f"{process.url}/completion",
            json=llamacpp_stream.body(generation, loaded.context),
            headers=http.authorization(process.key),
        ) as response:
            http.check(response)
            with self._lock:
                running.connection = response.extensions["network_stream"].get_extra_info("socket")
            try:
                yield response
            finally:
                with self._lock:
                    running.connection = None

    def abort(self, request_id: str) -> None:
        with self._lock:
            running = self._running.get(request_id)
            if running is None:
                return
            running.aborted.set()
            if running.connection is not None:
                with contextlib.suppress(OSError):
                    running.connection.shutdown(socket.SHUT_RDWR)

    def _pieces(self, process: ServerProcess, text: str) -> tuple[Piece, ...]:
        body = {"content": text, "add_special": False, "with_pieces": True}
        return tuple(
            llamacpp_stream.piece(found) for found in http.post(self._client, process, "/tokenize", body)["tokens"]
        )

    def _held(self, process: ServerProcess, stream: llamacpp_stream.Stream, last: dict[str, Any]) -> str:
        """What llama-server kept back as the beginning of a stop string that never came."""
        ids = stream.unsent[:-1] if last["stop_type"] == "eos" else stream.unsent
        if not ids or UNKNOWN_ID in ids or last["stop_type"] == "word":
            return ""
        return str(http.post(self._client, process, "/detokenize", {"tokens": ids})["content"])


def _kv_bytes_per_token(header: GgufHeader) -> int:
    chosen = settings()
    return llamacpp_facts.kv_bytes_per_token(header, chosen.llamacpp_cache_k, chosen.llamacpp_cache_v)


def _stages(on_progress: OnProgress) -> Callable[[str], None]:
    """Progress from the lines of llama.cpp's log."""

    def on_log(line: str) -> None:
        if "loading model tensors" in line:
            on_progress(Progress("Reading weights"))

    return on_log


def _wait_facts(process: ServerProcess) -> Facts:
    """What the host says when it is ready. Another program's answer on a taken port is not mistaken for ours."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while (facts := llamacpp_facts.facts(process.log_text())) is None:
        if not process.alive:
            raise process.obituary("could not start")
        if time.monotonic() > deadline:
            raise EngineUnavailable("llama.cpp did not get ready.", hint=f"Its log: {process.log_path}")
        time.sleep(0.02)
    return facts


def _refused(variant: str, why: str, error: EngineDied) -> EngineError:
    if not why:
        return error
    if re.search(r"alloc|out of memory", why):
        return OutOfMemory(
            f"llama.cpp has no memory for {variant}: {why}.", hint="Close other programs.", log_tail=error.log_tail
        )
    return EngineError(
        f"llama.cpp cannot load {variant}: {why.rstrip('.')}.",
        hint="Use another file of this model, or another setting of PLAYGROUND_LLAMACPP_*.",
        log_tail=error.log_tail,
    )


def _describe(
    spec: LoadSpec, model: _Model, context: int, process: ServerProcess, facts: Facts, load_s: float
) -> Loaded:
    header = model.header
    return Loaded(
        id=spec.id,
        engine=LlamaCppEngine.name,
        device=facts.device,
        dtype=header.weight_type,
        weight_bytes=llamacpp_facts.weight_bytes(header),
        streamed_bytes=llamacpp_facts.streamed_bytes(header),
        kv_bytes_per_token=_kv_bytes_per_token(header),
        resident_bytes=facts.gpu_bytes if facts.device != "cpu" else psutil.Process(process.pid).memory_info().rss,
        context=context,
        tokenizer_hash=model.tokenizer_hash,
        has_chat_template=llamacpp_facts.has_chat_template(header),
        kernel=llamacpp_facts.kernel(header, facts),
        load_s=load_s,
        stepped=False,
    )


def _validate(generation: Generation, loaded: Loaded, header: GgufHeader) -> None:
    ids, most = generation.prompt_ids, generation.sampling.max_tokens
    if not ids:
        raise InvalidRequest("The prompt is empty.", hint="Type something first.")
    vocabulary = len(llamacpp_facts.vocabulary(header))
    if min(ids) < 0 or (vocabulary and max(ids) >= vocabulary):
        raise InvalidRequest("The prompt holds token ids that this model's vocabulary does not have.")
    if len(ids) + most > loaded.context:
        raise ContextOverflow(
            f"The prompt has {len(ids)} tokens and max tokens is {most}: together {len(ids) + most}, more than the "
            f"{loaded.context} that llama.cpp made room for.",
            hint="Shorten the prompt, lower max tokens, or raise PLAYGROUND_LLAMACPP_CONTEXT.",
        )


def _peak_bytes(process: ServerProcess, loaded: Loaded) -> int | None:
    """Highest resident memory of the server; on a GPU what it allocated there, which is all at load time."""
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
