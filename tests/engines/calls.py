"""Short forms of what the engine tests do all the time."""

from __future__ import annotations

import time
from collections.abc import Callable

from playground.core import Finish, Generation, Progress, Sampling, Token
from playground.engines.transformers import TransformersEngine

LONG = Sampling(max_tokens=420, ignore_eos=True)


def quiet(_progress: Progress) -> None:
    return None


def never() -> bool:
    return False


def eventually(true: Callable[[], bool], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        time.sleep(0.02)


def load(host: TransformersEngine, variant: str) -> str:
    return host.load(variant, quiet, never).id


def run(host: TransformersEngine, request: Generation) -> tuple[list[Token], Finish]:
    items = list(host.generate(request))
    assert isinstance(items[-1], Finish)
    return [item for item in items if isinstance(item, Token)], items[-1]
