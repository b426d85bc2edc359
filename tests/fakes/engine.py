"""A scripted engine: no model, no process, every delay and failure on demand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import log

from playground.core import (
    Alternative,
    Finish,
    ForcedToken,
    ForcedTokens,
    Forcing,
    Generation,
    Loaded,
    Message,
    Progress,
    Prompt,
    Token,
)
from playground.engines.base import IsCancelled, OnProgress
from playground.errors import Cancelled, PlaygroundError, UnknownVariant
from playground.models.address import Address

GRAVITY = (
    "Gravity",
    " is",
    " a",
    " fundamental",
    " force",
    " of",
    " nature",
    " that",
    " pulls",
    " masses",
    " together",
    ".",
)


@dataclass
class Script:
    """How one variant behaves.

    tokens      pieces of the answer
    step_s      seconds between tokens, on the engine's clock and on the wall
    load_steps  progress reports of a load, `load_step_s` apart
    load_error  raised by `load`; `error` is raised after `error_at` tokens
    hold_at     before this token the stream waits for `FakeEngine.go`, or for its abort
    kld         nats of a text forced through it, token by token, in turn
    force_error raised after `force_error_at` tokens of a forced text; before `force_hold_at` it waits as at `hold_at`
    """

    tokens: Sequence[str] = GRAVITY
    step_s: float = 0.005
    first_s: float = 0.01
    load_steps: int = 2
    load_step_s: float = 0.0
    load_error: PlaygroundError | None = None
    error: PlaygroundError | None = None
    error_at: int = 0
    hold_at: int | None = None
    kld: Sequence[float] = (0.01, 0.4, 0.02, 0.0, 1.2)
    force_error: PlaygroundError | None = None
    force_error_at: int = 0
    force_hold_at: int | None = None
    kernel: str = "fake kernel"
    tokenizer_hash: str = "fake"
    memory: int = 280_000_000


@dataclass
class FakeEngine:
    """Implements `engines.base.Engine`. `asked` and `prompts` tell a test what reached it."""

    scripts: dict[str, Script] = field(default_factory=dict)
    name: str = "fake"
    asked: list[Generation] = field(default_factory=list)
    prompts: list[tuple[str, tuple[Message, ...] | str]] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)
    active: set[str] = field(default_factory=set)
    forced: list[Forcing] = field(default_factory=list)
    closed: bool = False
    go: threading.Event = field(default_factory=threading.Event)
    _aborted: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def script(self, variant: str) -> Script:
        return self.scripts.setdefault(variant, Script())

    def load(
        self, variant: str, on_progress: OnProgress, is_cancelled: IsCancelled, keep: Sequence[str] = ()
    ) -> Loaded:
        script = self.script(variant)
        if variant not in self.loaded:
            for step in range(script.load_steps):
                if is_cancelled():
                    raise Cancelled("Stopped while loading.")
                on_progress(Progress("Reading weights", 269e6 * (step + 1) / script.load_steps, 269e6, "bytes"))
                time.sleep(script.load_step_s)
        if script.load_error:
            raise script.load_error
        self.loaded.add(variant)
        return Loaded(
            id=Address.parse(variant).variant,
            engine=self.name,
            device="cpu",
            dtype="bfloat16",
            weight_bytes=script.memory,
            streamed_bytes=script.memory,
            kv_bytes_per_token=1024,
            resident_bytes=script.memory,
            context=2048,
            tokenizer_hash=script.tokenizer_hash,
            has_chat_template=True,
            kernel=script.kernel,
        )

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        source = messages if isinstance(messages, str) else tuple(messages)
        self.prompts.append((variant, source))
        text = source if isinstance(source, str) else "\n".join(turn["content"] for turn in source)
        kind = "raw" if isinstance(source, str) else "chat"
        return Prompt(tuple(sum(map(ord, word)) % 50_000 for word in text.split()), text, kind, "fake")

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        script, request = self.script(generation.variant), generation.request_id
        if generation.variant not in self.loaded:
            raise UnknownVariant(f"{generation.variant} is not loaded.")
        with self._lock:
            self.asked.append(generation)
            self.active.add(request)
        count, reason = 0, "stop"
        try:
            for index, piece in enumerate(script.tokens):
                step = script.step_s if index else script.first_s
                time.sleep(step)
                while index == script.hold_at and not self.go.is_set() and request not in self._aborted:
                    time.sleep(0.005)
                if request in self._aborted:
                    reason = "abort"
                    break
                if script.error and index == script.error_at:
                    raise script.error
                if index == generation.sampling.max_tokens:
                    reason = "length"
                    break
                yield _token(index, piece, step, script)
                count += 1
            yield Finish(reason, len(generation.prompt_ids), count, peak_memory_bytes=script.memory)  # type: ignore[arg-type]
        finally:
            with self._lock:
                self.active.discard(request)

    def force(self, forcing: Forcing) -> Iterator[Progress | ForcedTokens | Finish]:
        """Position by position, one variant after the other at each."""
        if missing := {forcing.reference, *forcing.others} - self.loaded:
            raise UnknownVariant(f"{min(missing)} is not loaded.")
        with self._lock:
            self.forced.append(forcing)
            self.active.add(forcing.request_id)
        count = len(forcing.token_ids)
        try:
            for index in range(count):
                yield Progress("Measuring the divergence", index, count, "tokens")
                for other, variant in enumerate(forcing.others):
                    script = self.script(variant)
                    while index == script.force_hold_at and not self.go.is_set():
                        if forcing.request_id in self._aborted:
                            yield Finish("abort", len(forcing.prompt_ids), index)
                            return
                        time.sleep(0.005)
                    if script.force_error and index == script.force_error_at:
                        raise script.force_error
                    yield ForcedTokens(other, index, (_forced(index, script),))
            yield Finish("stop", len(forcing.prompt_ids), count)
        finally:
            with self._lock:
                self.active.discard(forcing.request_id)

    def abort(self, request_id: str) -> None:
        self._aborted.add(request_id)

    def held(self, variant: str) -> Loaded | None:
        return FakeEngine.load(self, variant, lambda _: None, lambda: False) if variant in self.loaded else None

    def unload_idle(self) -> str | None:
        if self.active or not self.loaded:
            return None
        name = min(self.loaded)
        self.loaded.discard(name)
        return name

    def start(self) -> None:
        self.closed = False

    def health(self) -> dict[str, object] | None:
        return None

    def close(self) -> None:
        self.closed = True


@dataclass
class FreeRunningFake(FakeEngine):
    """One that runs freely. `kept` tells a test what each load had to leave loaded."""

    kept: list[tuple[str, ...]] = field(default_factory=list)

    def load(
        self, variant: str, on_progress: OnProgress, is_cancelled: IsCancelled, keep: Sequence[str] = ()
    ) -> Loaded:
        self.kept.append(tuple(keep))
        return super().load(variant, on_progress, is_cancelled, keep)


def _token(index: int, piece: str, step: float, script: Script) -> Token:
    share = (0.92, 0.41, 0.77, 0.99, 0.08)[index % 5]
    rest = 1 - share
    id_ = sum(map(ord, piece)) * 31 + len(piece)
    return Token(
        id=id_,
        text=piece,
        piece=piece,
        time_s=script.first_s + index * script.step_s,
        step_s=step * (1 + 0.3 * (index % 3)) if index else step,
        logprob=log(share),
        top=(
            Alternative(id_, piece, log(share)),
            Alternative(2, " that", log(rest * 0.7)),
            Alternative(3, "\n", log(rest * 0.2)),
        ),
    )


def _forced(index: int, script: Script) -> ForcedToken:
    kld = script.kld[index % len(script.kld)]
    top = (Alternative(1, " a", log(0.62)), Alternative(2, " the", log(0.2)), Alternative(3, "\n", log(0.1)))
    mine = (Alternative(2, " the", log(0.55)), Alternative(1, " a", log(0.4)), Alternative(4, "<b>", log(0.01)))
    return ForcedToken(kld, kld < 0.3, log(0.62), log(0.4), top, mine if kld >= 0.3 else top)
