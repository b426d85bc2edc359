"""Test an endpoint: request its list of models and, if its model is known, two tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from playground.core import Loaded, Progress
from playground.engines.base import IsCancelled
from playground.engines.remote.engine import RemoteEngine
from playground.models import endpoints


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of a test.

    models  ids of the models that the endpoint lists; None if it has no list
    loaded  facts from the two tokens; None if they were not requested
    """

    name: str
    host: str
    models: tuple[str, ...] | None
    loaded: Loaded | None = None

    @property
    def models_text(self) -> str:
        """Return the number of listed models as text."""
        count = len(self.models or ())
        return "it does not list its models" if self.models is None else f"{count} model{'' if count == 1 else 's'}"

    @property
    def loaded_text(self) -> str:
        """Return how requests are sent to its model, and the context length; "" if no tokens were requested."""
        if self.loaded is None:
            return ""
        return self.loaded.kernel + (f", context {self.loaded.context:,}" if self.loaded.context else "")


def try_out(engine: RemoteEngine, name: str, is_stopped: IsCancelled) -> Iterator[Progress | Trial]:
    """Test the endpoint called `name`. Yields progress, the trial with its models, then the trial with `loaded`.

    Raises UnknownModel, EngineError of the failed request, Cancelled.
    """
    endpoint = endpoints.find(name)
    yield Progress(f"Asking {endpoint.host}")
    models = engine.models(name, is_stopped)
    trial = Trial(name, endpoint.host, None if models is None else tuple(models))
    yield trial
    if endpoint.model or len(models or ()) == 1:
        yield Progress("Asking for two tokens")
        yield replace(trial, loaded=engine.load(f"@{name}", lambda _: None, is_stopped))
