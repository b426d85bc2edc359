"""A tiny model, and a host that serves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from playground.engines.transformers import TransformersEngine
from tests.fakes.model import make_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersEngine]:
    """One host process for the whole session; a test that kills or starves one starts its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(tmp_path_factory.mktemp("host-home")))
        engine = TransformersEngine()
        engine.start()
    yield engine
    engine.close()
