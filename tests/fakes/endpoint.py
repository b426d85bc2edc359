"""An endpoint for a page under test: the server of `openai_server` in its own process, and an engine that asks it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from playground import models as catalog
from playground.core import Finish, Generation, Loaded, Message, Progress, Prompt, Token
from playground.engines.remote.engine import RemoteEngine
from playground.models.variants import describe, models, variant, variants
from tests.fakes import openai_server
from tests.fakes.engine import FakeEngine


@contextmanager
def serving(mode: str, key: str = "") -> Iterator[str]:
    """The base URL of a server that behaves like this."""
    command = [sys.executable, openai_server.__file__, mode, *(("--key", key) if key else ())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.communicate()


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the endpoints' models through a fake catalog that is installed already."""

    def either(name: str, real: Any) -> None:
        fake = getattr(catalog, name)
        monkeypatch.setattr(catalog, name, lambda model: (real if model.startswith("@") else fake)(model))

    for real in (variant, variants, describe):
        either(real.__name__, real)
    either("split", lambda name: (name, ""))
    fakes = catalog.models()
    monkeypatch.setattr(catalog, "models", lambda: [*fakes, *(name for name in models() if name.startswith("@"))])


class WithRemote(FakeEngine):
    """Scripted, but for the models of endpoints: those are asked."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.remote = RemoteEngine()

    def close(self) -> None:
        self.remote.close()
        super().close()

    def load(self, variant: str, on_progress: Any, is_cancelled: Any, keep: Sequence[str] = ()) -> Loaded:
        chosen = self.remote if variant.startswith("@") else super()
        return chosen.load(_plain(variant), on_progress, is_cancelled, keep)

    def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
        return (self.remote if variant.startswith("@") else super()).prompt(_plain(variant), messages)

    def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
        return (self.remote if generation.variant.startswith("@") else super()).generate(generation)

    def abort(self, request_id: str) -> None:
        self.remote.abort(request_id)
        super().abort(request_id)


def _plain(variant: str) -> str:
    return variant.removesuffix("@remote")
