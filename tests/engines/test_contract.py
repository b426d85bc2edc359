"""Every engine has every method of the protocol, as the protocol writes it; so do the fakes of the tests."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from playground.engines.base import Engine
from playground.engines.llamacpp.engine import LlamaCppEngine
from playground.engines.remote.engine import RemoteEngine
from playground.engines.router import Engines
from playground.engines.transformers import TransformersEngine
from playground.engines.vllm.engine import VllmEngine
from playground.engines.zerogpu.engine import ZeroGpuEngine
from tests.fakes.endpoint import WithRemote
from tests.fakes.engine import FakeEngine, FreeRunningFake

METHODS = [name for name, found in vars(Engine).items() if inspect.isfunction(found) and not name.startswith("_")]
REAL = [Engines, TransformersEngine, ZeroGpuEngine, LlamaCppEngine, VllmEngine, RemoteEngine]


@pytest.mark.parametrize("engine", [*REAL, FakeEngine, FreeRunningFake, WithRemote], ids=lambda kind: kind.__name__)
def test_an_engine_has_the_whole_protocol(engine: type[Any]) -> None:
    assert {"start", "close", "health", "held", "unload_idle", "load", "generate"} <= set(METHODS)
    for name in METHODS:
        expected = inspect.signature(getattr(Engine, name)).parameters
        found = inspect.signature(getattr(engine, name)).parameters
        assert [one.strip("_") for one in found] == list(expected), name


@pytest.mark.parametrize("engine", [RemoteEngine, lambda: LlamaCppEngine(None), lambda: VllmEngine(None)])
def test_one_that_nobody_has_asked_yet_has_nothing_to_start_to_tell_or_to_free(home: object, engine: Any) -> None:
    made = engine()
    made.start()
    assert made.health() == {"loaded": []} and made.unload_idle() is None
    made.close()
    made.close()
