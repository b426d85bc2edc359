"""The generator that runs on the GPU, wrapped by `spaces.GPU`.

The platform forks a process for it and pickles arguments and items. The process may be new or that of an earlier call,
and each wrapped function would get its own: so there is one function, each call names all variants that it needs, and
those that the process lacks are loaded first. Of an exception only the name of its class is returned, so errors are
yielded in their wire form.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from functools import lru_cache
from typing import Any

from playground.core import Finish, ForcedTokens, Forcing, Generation, Loaded, LoadSpec, Progress, Token
from playground.engines.host import forced, loading
from playground.engines.host.active import Active, validate
from playground.engines.host.forced import Forced
from playground.engines.host.loading import DeviceMemory, Resident, device_of_choice
from playground.engines.host.scheduler import HEADROOM
from playground.errors import OutOfMemory, PlaygroundError, to_wire

Item = Progress | Loaded | Token | ForcedTokens | Finish | dict[str, Any]
LOADING = Progress("Loading onto the GPU")

_residents: dict[str, Resident] = {}  # of this process, the least recently used first


def work(
    specs: tuple[LoadSpec, ...], request: Generation | Forcing | None = None, keep: tuple[str, ...] = ()
) -> Generator[Item, None, None]:
    """Load the variants, then run the request: a generation or a forced text; without one yield the first's facts.

    keep  variants that must not be unloaded to make room

    The last item is a Finish, a Loaded or an error in its wire form. Closing the generator frees the request's memory.
    """
    try:
        for spec in specs:
            yield from _ready(spec, {*keep, *(other.id for other in specs)})
        residents = [_residents[spec.id] for spec in specs]
        match request:
            case None:
                yield residents[0].facts
            case Generation():
                yield from _generated(request, residents[0])
            case Forcing():
                yield from _forced(request, residents)
    except PlaygroundError as error:
        yield to_wire(error)


@lru_cache(maxsize=1)
def _memory() -> DeviceMemory:
    memory = DeviceMemory(device_of_choice())
    memory.settle()
    return memory


def _ready(spec: LoadSpec, keep: set[str]) -> Generator[Item, None, None]:
    held = _residents.pop(spec.id, None)
    if held is not None and held.spec != spec:
        held.model, held = None, None
    if held is None:
        yield LOADING
        _make_room(spec, keep)
        held = loading.load(spec, _memory(), lambda _: None)
    _residents[spec.id] = held


def _make_room(spec: LoadSpec, keep: set[str]) -> None:
    """Unload the least recently used variants outside `keep` until `spec` fits. Raises OutOfMemory."""
    needed, memory = spec.weight_bytes + HEADROOM, _memory()
    while memory.free() < needed:
        oldest = next((name for name in _residents if name not in keep), None)
        if oldest is None:
            raise OutOfMemory(
                f"{spec.id} needs about {needed / 1e9:.1f} GB there; {max(0, memory.free()) / 1e9:.1f} GB is free.",
                hint="Compare fewer variants at once, or pick a smaller one.",
            )
        _residents.pop(oldest).model = None
        memory.release()


def _generated(request: Generation, resident: Resident) -> Generator[Item, None, None]:
    validate(request, resident)
    yield from _steps(lambda emit: Active(request, resident, emit, time.perf_counter(), 0.0))


def _forced(request: Forcing, residents: Sequence[Resident]) -> Generator[Item, None, None]:
    forced.validate(request, residents)
    yield from _steps(lambda emit: Forced(request, residents, emit))


def _steps(begin: Callable[[Callable[[Any], None]], Active | Forced]) -> Generator[Item, None, None]:
    """Step a request to its end. Its clock is paused while the consumer handles an item."""
    emitted: deque[Any] = deque()
    request, memory = begin(emitted.append), _memory()
    away_s, more = 0.0, True
    try:
        while more:
            more = request.turn(memory, away_s)
            while emitted:
                item = emitted.popleft()
                if isinstance(item, PlaygroundError):
                    raise item
                left = time.perf_counter()
                yield item
                away_s += time.perf_counter() - left
    finally:
        request.finish("abort")  # frees the KV cache of a request that was closed early
