"""What the rest of the program knows of an engine, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from playground.core import Finish, ForcedTokens, Forcing, Generation, Loaded, Message, Progress, Prompt, Token

OnProgress = Callable[[Progress], None]
IsCancelled = Callable[[], bool]


class Engine(Protocol):
    """Runs variants. Every method may raise an `errors.PlaygroundError`; all of them may be called from any thread."""

    name: str

    def load(
        self,
        variant: str,
        on_progress: OnProgress,
        is_cancelled: IsCancelled,
        keep: Sequence[str] = (),
    ) -> Loaded:
        """Make `variant` ready, warm-up included; returns at once when it is. `keep` must not be unloaded for it."""
        ...

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        """Render and tokenize with the tokenizer of `variant`: a chat, or raw text."""
        ...

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        """Stream one generation; the last item is a `Finish`. Closing the iterator ends it in the engine."""
        ...

    def force(self, forcing: Forcing) -> Iterator[Progress | ForcedTokens | Finish]:
        """Force a text through variants that are loaded; as `generate`, but nothing is timed and everyone goes first.

        Raises EngineUnavailable where `table.no_distribution` says why, and DifferentTokenizer.
        """
        ...

    def abort(self, request_id: str) -> None:
        """End a generation or a forced text within one step; its stream then closes with `Finish("abort")`."""
        ...


class OnDevice(Engine, Protocol):
    """An engine that computes on this device: its loads take a turn there, as its generations do."""

    def held(self, variant: str) -> Loaded | None:
        """What a `load` would return at once, or None when it has work to do. Starts nothing and waits for nobody."""
        ...

    def unload_idle(self) -> str | None:
        """Free the memory of one variant that nobody uses; its name, None when there is none."""
        ...
