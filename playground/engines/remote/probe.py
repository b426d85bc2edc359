"""Try an endpoint: ask it for its models and, where it is clear which is meant, for two tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from playground.core import Loaded, Progress
from playground.engines.base import IsCancelled
from playground.engines.remote.engine import RemoteEngine
from playground.models import endpoints


@dataclass(frozen=True, slots=True)
class Trial:
    """What an endpoint answered.

    models  what it says it serves; None where it does not say
    loaded  what the two tokens told; None where none were asked for
    """

    name: str
    host: str
    models: tuple[str, ...] | None
    loaded: Loaded | None = None

    @property
    def said(self) -> str:
        count = len(self.models or ())
        return "it does not list its models" if self.models is None else f"{count} model{'' if count == 1 else 's'}"

    @property
    def learned(self) -> str:
        """How its model is asked, in words; "" where that was not tried."""
        if self.loaded is None:
            return ""
        return self.loaded.kernel + (f", context {self.loaded.context:,}" if self.loaded.context else "")


def try_out(engine: RemoteEngine, name: str, is_stopped: IsCancelled) -> Iterator[Progress | Trial]:
    """Ask the endpoint called `name`: what it serves, then that again with what was learned from two tokens.

    Raises the typed error of whatever is wrong with it, Cancelled.
    """
    endpoint = endpoints.find(name)
    yield Progress(f"Asking {endpoint.host}")
    models = engine.models(name, is_stopped)
    trial = Trial(name, endpoint.host, None if models is None else tuple(models))
    yield trial
    if endpoint.model or len(models or ()) == 1:
        yield Progress("Asking for two tokens")
        yield replace(trial, loaded=engine.load(f"@{name}", lambda _: None, is_stopped))
