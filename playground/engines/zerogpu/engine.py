"""The transformers engine where the page's process is the only one.

A ZeroGPU Space lends a GPU for the time of one call. Each load, generation and forced text is such a call, one at a
time, and each waits for its GPU before its clock begins. Tokenizers stay here, in the page's process.
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
TOKENS_PER_S = 20  # the slowest that decoding should be there: a large model in nf4
POSITIONS_PER_S = 500  # of a forced text


@dataclass(frozen=True, slots=True)
class Held:
    """A variant that was loaded once; whether the GPU's next process has it, nobody knows."""

    spec: LoadSpec
    facts: Loaded


def seconds(
    specs: tuple[LoadSpec, ...], request: Generation | Forcing | None = None, _keep: tuple[str, ...] = ()
) -> int:
    """GPU seconds to ask the platform for: of a visitor who asks for less, the platform answers sooner."""
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
            # Before torch touches CUDA. The platform installs it; it is of no use elsewhere.
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
        """Nothing is started: a GPU is lent for a call, and its seconds are counted."""

    def close(self) -> None:
        """End what is running."""
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
        """What is known of `variant` since it was loaded, else None."""
        held = self._held.get(variant)
        return held.facts if held else None

    def unload_idle(self) -> str | None:
        """None: what the GPU holds is no memory of this machine, and goes with the process that holds it."""
        return None

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        return self.tokenize(self._spec(variant).path, messages)

    def tokenize(self, folder: str, messages: Sequence[Message] | str) -> Prompt:
        """The same with the tokenizer of a local folder whose model another engine runs; loads no weights."""
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
        """The items of one call; None, and nothing more, where it was aborted."""
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
        """One call, in its turn: two at once would be two GPUs of the visitor's share. Raises Cancelled and the call's
        own errors; what the platform refuses (no GPU, no seconds left) becomes EngineUnavailable, in its words.
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
