"""Models on the hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playground.catalog.checkpoint import Checkpoint
from playground.catalog.names import Model
from playground.core import Progress
from playground.errors import HubUnreachable


def is_cached(model: Model) -> bool:
    """Whether weights of this model are on this machine."""
    return False


def open_checkpoint(model: Model) -> Checkpoint:
    """Describe a repository without its weights."""
    raise HubUnreachable(f"The hub cannot be reached for {model.repo}.", hint="Use smollm2 or a local folder.")


def download(model: Model, report: Callable[[Progress], None], stop: Callable[[], bool]) -> Path:
    """Fetch a model at its pinned commit."""
    raise HubUnreachable(f"The hub cannot be reached for {model.repo}.", hint="Use smollm2 or a local folder.")
