"""The transformers engine of a ZeroGPU Space, in the page's process.

ZeroGPU allocates a GPU for the time of a call. Each load, generation and forced text is a call, one at a time, whose
clock starts once it has its GPU. Tokenizers stay in the page's process.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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
from playground.engines.base import IsCancelled, OnProgress
from playground.errors import Cancelled, EngineError, EngineUnavailable, UnknownVariant, from_wire
from playground.settings import settings

POLL_S = 0.25
WAITING = Progress("Waiting for the GPU")
BEGIN_S = 10  # CUDA starts, the model warms up
BYTES_PER_S = 0.5e9  # of weights: read, quantized, sent to the GPU
TOKENS_PER_S = 20  # lower bound of the decoding speed: a large model in nf4
POSITIONS_PER_S = 500  # of a forced text


@dataclass(frozen=True, slots=True)
class Held:
    """A variant that was loaded once; the process of the next call may have to load it again."""

    spec: LoadSpec
    facts: Loaded


def seconds(
    specs: tuple[LoadSpec, ...], request: Generation | Forcing | None = None, _keep: tuple[str, ...] = ()
) -> int:
    """Return the GPU seconds to request: the platform starts shorter calls sooner."""
    needed = BEGIN_S + sum(spec.weight_bytes for spec in specs) / BYTES_PER_S
    if isinstance(request, Generation):
        needed += request.sampling.max_tokens / TOKENS_PER_S
    elif request is not None:
        needed += len(specs) * (len(request.prompt_ids) + len(request.token_ids)) / POSITIONS_PER_S
    return min(round(needed), settings().zerogpu_seconds)


class ZeroGpuEngine:
    """Implements `base.Engine` in this process. Raises EngineUnavailable without the package `spaces`."""

    name = "transformers"

    def __init__(self) -> None:
        try:
            # Imported before torch initializes CUDA. The platform installs it.
            spaces = importlib.import_module("spaces")
        except ImportError as error:
            raise EngineUnavailable(
                "SPACES_ZERO_GPU is set, but the package `spaces` is not installed.",
                hint="A Gradio Space brings it; elsewhere unset SPACES_ZERO_GPU.",
            ) from error
        from playground.engines.zerogpu.work import work

        self._work = spaces.GPU(work, duration=seconds)
        self._held: dict[str, Held] = {}
        self._gpu = threading.Lock()
        self._running: dict[str, threading.Event] = {}

    def start(self) -> None:
        """Do nothing: a GPU is only allocated for a call, and its seconds are limited."""

    def close(self) -> None:
        """Abort the running call."""
        for aborted in list(self._running.values()):
            aborted.set()

    def health(self) -> dict[str, Any]:
        return {"device": "ZeroGPU", "active": len(self._running), "loaded": list(self._held)}

    def load(
        self, variant: str, on_progress: OnProgress, is_cancelled: IsCancelled, keep: Sequence[str] = ()
    ) -> Loaded:
        spec = models.resolve(variant, on_progress, is_cancelled)
        held = self._held.get(spec.id)
        if held is not None and held.spec == spec:
            return held.facts
        with contextlib.closing(self._items(is_cancelled, (spec,), None, tuple(keep))) as items:
            for item in items:
                if isinstance(item, Loaded):
                    self._held[spec.id] = Held(spec, item)
                    return item
                on_progress(item)
        raise EngineError("The GPU ended a load without a result.")

    def held(self, variant: str) -> Loaded | None:
        """Return the facts of a variant that was loaded before, else None."""
        held = self._held.get(variant)
        return held.facts if held else None

    def unload_idle(self) -> str | None:
        """Return None: GPU memory is freed with the process of a call."""
        return None

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        return self.tokenize(self._spec(variant).path, messages)

    def tokenize(self, folder: str, messages: Sequence[Message] | str) -> Prompt:
        """Render and tokenize with the tokenizer of a local folder, for a model that another engine runs."""
        from playground.engines.host.loading import render, tokenizer_of

        if isinstance(messages, str):
            return render(tokenizer_of(folder), None, messages)
        chat: list[dict[str, str]] = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
        return render(tokenizer_of(folder), chat, None)

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        prompt_tokens, count = len(generation.prompt_ids), 0
        specs = (self._spec(generation.variant),)
        for item in self._abortable(generation.request_id, specs, generation):
            if item is None:
                yield Finish("abort", prompt_tokens, count)
                return
            count += isinstance(item, Token)
            yield item

    def force(self, forcing: Forcing) -> Iterator[Progress | ForcedTokens | Finish]:
        specs = tuple(self._spec(name) for name in (forcing.reference, *forcing.others))
        measured = 0
        for item in self._abortable(forcing.request_id, specs, forcing):
            if item is None:
                yield Finish("abort", len(forcing.prompt_ids), measured)
                return
            if isinstance(item, ForcedTokens):
                measured = max(measured, item.start + len(item.tokens))
            yield item

    def abort(self, request_id: str) -> None:
        if aborted := self._running.get(request_id):
            aborted.set()

    def _spec(self, variant: str) -> LoadSpec:
        if variant not in self._held:
            raise UnknownVariant(f"{variant} is not loaded.", hint="Load it first.")
        return self._held[variant].spec

    def _abortable(self, request_id: str, specs: tuple[LoadSpec, ...], request: Generation | Forcing) -> Iterator[Any]:
        """Yield the items of a call; None as the last one if it was aborted."""
        aborted = self._running.setdefault(request_id, threading.Event())
        try:
            if self._gpu.locked():
                yield WAITING
            with contextlib.closing(self._items(aborted.is_set, specs, request)) as items:
                for item in items:
                    if aborted.is_set() and not isinstance(item, Finish):
                        yield None
                        return
                    yield item
        finally:
            self._running.pop(request_id, None)

    def _items(self, is_cancelled: IsCancelled, *arguments: Any) -> Generator[Any, None, None]:
        """Yield the items of a call, one call at a time: two at once would use two GPUs of the visitor's quota.

        Raises Cancelled and the call's own errors; EngineUnavailable with the platform's message (no GPU, quota used).
        """
        while not self._gpu.acquire(timeout=POLL_S):
            if is_cancelled():
                raise Cancelled("Stopped while it waited for the GPU.")
        try:
            if is_cancelled():
                raise Cancelled("Stopped while it waited for the GPU.")
            with contextlib.closing(_told(self._work, *arguments)) as items:
                for item in items:
                    if isinstance(item, dict):
                        raise from_wire(item)
                    yield item
        finally:
            self._gpu.release()


def _told(work: Any, *arguments: Any) -> Generator[Any, None, None]:
    try:
        with contextlib.closing(work(*arguments)) as items:
            yield from items
    except Exception as error:
        title = str(getattr(error, "title", "")) or "ZeroGPU"
        words = str(getattr(error, "message", error)) or type(error).__name__
        raise EngineUnavailable(
            f"{title}: {words}", hint="Nothing is wrong with the model; try again later."
        ) from error
