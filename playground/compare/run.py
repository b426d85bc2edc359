"""One prompt through several variants: N token streams merged into one stream of events.

`generate` runs a comparison to its end, for the documented JSON of the command line and the API.
"""

from __future__ import annotations

import logging
import queue
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from dataclasses import dataclass

from playground import models
from playground.compare.answer import Answer, Item
from playground.compare.forced import measure
from playground.compare.spec import GenerateSpec
from playground.compare.stored import Compared
from playground.core import Finish, Generation, Loaded, Message, Progress, Prompt, Sampling
from playground.engines import base
from playground.engines.base import Engine
from playground.errors import Cancelled, EngineError, PlaygroundError, UnknownVariant
from playground.models.address import Address

log = logging.getLogger(__name__)


def messages(prompt: str, system: str = "", history: Sequence[Message] = ()) -> tuple[Message, ...]:
    """A chat whose last turn is `prompt`. An empty system prompt leaves the choice to the model's own template."""
    first: tuple[Message, ...] = ({"role": "system", "content": system},) if system.strip() else ()
    return (*first, *history, {"role": "user", "content": prompt})


def generate(
    engine: Engine,
    spec: GenerateSpec,
    on_event: Callable[[Event], None] | None = None,
    on_measuring: Callable[[Progress], None] = lambda _: None,
) -> Compared:
    """One prompt through several variants; panes stand in the order of the spec.

    Variants that name no engine run on the first one's, where it can run them. A variant that fails carries `error` in
    its pane. With `spec.divergence`, the pane of every variant but the first carries `divergence`: `{"kld_mean",
    "top1_agreement", "tokens"}`, nats over that many tokens of this one prompt; where it could not be measured, the
    first two are null and `reason` is a sentence.
    """
    turn = messages(spec.prompt, spec.system)
    source = spec.prompt if spec.raw else turn
    addresses = base.together(spec.variants)
    requests = [
        PaneRequest(name, text=spec.prompt) if spec.raw else PaneRequest(name, messages=turn) for name in addresses
    ]
    answers = [
        Answer(name, address=address, source=source, sampling=spec.sampling)
        for name, address in zip(spec.variants, addresses, strict=True)
    ]
    for event in Comparison(engine, requests, spec.sampling, spec.at_once).events():
        answers[event.pane].add(event.item)
        if on_event:
            on_event(event)
    if spec.divergence:
        measure(engine, answers, on_measuring)
    return Compared(tuple(answers), spec.at_once, spec.divergence)


@dataclass(frozen=True, slots=True)
class PaneRequest:
    """The request of one pane: a chat (its own history, last turn included), or raw text to continue.

    variant  an address: `smollm2:nf4`, or with an engine `smollm2@vllm`
    """

    variant: str
    messages: tuple[Message, ...] = ()
    text: str = ""

    @property
    def source(self) -> tuple[Message, ...] | str:
        return self.messages or self.text

    @property
    def chars(self) -> int:
        """Characters of the whole conversation, or of the text."""
        return len(self.text) + sum(len(turn["content"]) for turn in self.messages)


@dataclass(frozen=True, slots=True)
class Event:
    """One item of one pane. A `Finish` or an error is its last."""

    pane: int
    item: Item


class Comparison:
    """One prompt run in one to four panes.

    `at_once` lets panes on free-running engines overlap instead of taking turns; their times are then contended.
    Loads every variant first, so that no load disturbs a clock, renders the prompt once for each tokenizer, and sends
    the same ids to every pane with that tokenizer; then streams all panes. Iterate over `events()` exactly once;
    closing it (or `stop()`) aborts every generation in the engine.
    """

    def __init__(self, engine: Engine, panes: Sequence[PaneRequest], sampling: Sampling, at_once: bool = False) -> None:
        self._engine = engine
        self._at_once = at_once
        self._panes = tuple(panes)
        self._sampling = sampling
        self._queue: queue.Queue[Event | None] = queue.Queue()
        self._stopped = [threading.Event() for _ in panes]
        self._group = uuid.uuid4().hex
        self._request_ids = [f"cmp-{uuid.uuid4().hex}" for _ in panes]

    @property
    def stopped(self) -> bool:
        """Whether every pane was stopped."""
        return all(event.is_set() for event in self._stopped)

    def stop(self, pane: int | None = None) -> None:
        """End one pane, or all of them. Safe to call from another thread, at any time, more than once."""
        for index in range(len(self._panes)) if pane is None else (pane,):
            self._stopped[index].set()
            try:
                self._engine.abort(self._request_ids[index])
            except PlaygroundError as error:
                log.info("abort of pane %d: %s", index, error)

    def events(self) -> Iterator[Event]:
        threading.Thread(target=copy_context().run, args=(self._run,), name="comparison", daemon=True).start()
        try:
            while (event := self._queue.get()) is not None:
                yield event
        finally:
            self.stop()

    def _put(self, pane: int, item: Item) -> None:
        self._queue.put(Event(pane, item))

    def _put_error(self, pane: int, error: Exception) -> None:
        if isinstance(error, Cancelled):
            self._put(pane, Finish("abort", 0, 0))
        elif isinstance(error, PlaygroundError):
            self._put(pane, error)
        else:
            log.exception("pane %d failed", pane, exc_info=error)
            self._put(pane, EngineError(f"Unexpected failure: {type(error).__name__}.", hint="Details are in the log."))

    def _run(self) -> None:
        try:
            loaded = self._load_all()
            prompts = self._prompts(loaded)
            threads = [
                threading.Thread(
                    target=copy_context().run,  # a ZeroGPU Space charges the visitor found in the context
                    args=(self._stream, pane, self._address(pane, loaded[pane]), prompt),
                    name=f"pane-{pane}",
                    daemon=True,
                )
                for pane, prompt in prompts.items()
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            self._queue.put(None)

    def _load(self, pane: int) -> Loaded:
        variant = self._panes[pane].variant
        return self._engine.load(
            variant,
            lambda progress: self._put(pane, progress),
            self._stopped[pane].is_set,
            keep=[request.variant for request in self._panes],
        )

    def _address(self, pane: int, state: Loaded) -> str:
        """The pane's address with the variant id that the engine loaded, as `forced.loaded_as`."""
        return str(Address.parse(state.id).on(Address.parse(self._panes[pane].variant).engine))

    def _load_all(self) -> dict[int, Loaded]:
        loaded: dict[int, Loaded] = {}
        for pane, request in enumerate(self._panes):
            try:
                if self._stopped[pane].is_set():
                    raise Cancelled("Stopped before it began.")
                self._put(pane, models.variant(Address.parse(request.variant).variant))
                loaded[pane] = self._load(pane)
                self._put(pane, loaded[pane])
            except Exception as error:  # noqa: BLE001 - one pane's failure must not end the others
                self._put_error(pane, error)
        return loaded

    def _prompts(self, loaded: dict[int, Loaded]) -> dict[int, Prompt]:
        prompts: dict[int, Prompt] = {}
        rendered: dict[tuple[str, str], Prompt] = {}
        renderers = {state.tokenizer_hash: pane for pane, state in reversed(list(loaded.items()))}
        for pane, state in loaded.items():
            source = self._panes[pane].source
            renderer = renderers[state.tokenizer_hash]
            address, key = self._address(renderer, loaded[renderer]), (state.tokenizer_hash, repr(source))
            try:
                if key not in rendered:
                    try:
                        rendered[key] = self._engine.prompt(address, source)
                    except UnknownVariant:
                        # The engine died since and was started again, or another visitor's load unloaded it.
                        self._load(renderer)
                        rendered[key] = self._engine.prompt(address, source)
                prompts[pane] = rendered[key]
                self._put(pane, prompts[pane])
            except Exception as error:  # noqa: BLE001
                self._put_error(pane, error)
        return prompts

    def _stream(self, pane: int, variant: str, prompt: Prompt) -> None:
        request = Generation(
            variant=variant,
            prompt_ids=prompt.ids,
            sampling=self._sampling,
            request_id=self._request_ids[pane],
            messages=self._panes[pane].messages,
            at_once=self._at_once,
            group=self._group,
        )
        try:
            for attempt in (1, 2):
                if self._stopped[pane].is_set():
                    raise Cancelled("Stopped before it began.")
                try:
                    for item in self._engine.generate(request):
                        self._put(pane, item)
                    return
                except UnknownVariant:
                    # Another visitor's load may have unloaded it: load it again, once.
                    if attempt == 2:
                        raise
                    self._load(pane)
        except Exception as error:  # noqa: BLE001
            self._put_error(pane, error)
