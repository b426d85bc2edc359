"""Which servers are kept, what is said of them without asking, and which one goes first."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from playground.core import Loaded
from playground.engines.servers import Servers
from playground.errors import EngineDied, EngineUnavailable, OutOfMemory, UnknownVariant


@dataclass
class Process:
    """What `Servers` asks of a `ServerProcess`."""

    alive: bool = True

    def stop(self) -> None:
        self.alive = False

    def obituary(self) -> EngineDied:
        return EngineDied("The test engine died.")


def loaded(variant: str) -> Loaded:
    return Loaded(variant, "test", "cpu", "bfloat16", 1, 1, 1, 1, 1, "hash", True)


def serve(servers: Servers, variant: str) -> Process:
    process = Process()
    servers.started(variant, process)  # type: ignore[arg-type]
    servers.ready(variant, loaded(variant))
    return process


@pytest.fixture
def servers() -> Servers:
    return Servers("test")


def test_what_is_held_is_ready_and_alive(servers: Servers) -> None:
    assert servers.held("a") is None
    starting = Process()
    servers.started("a", starting)  # type: ignore[arg-type]
    assert servers.held("a") is None, "it starts, and nobody waits for it here"
    servers.ready("a", loaded("a"))
    assert servers.held("a") == loaded("a")
    starting.alive = False
    assert servers.held("a") is None


def test_a_look_at_what_is_held_is_a_use(servers: Servers) -> None:
    serve(servers, "a")
    serve(servers, "b")
    assert [one.id for one in servers.loaded()] == ["a", "b"]
    servers.held("a")
    assert [one.id for one in servers.loaded()] == ["b", "a"]


def test_the_least_recently_used_idle_server_goes_first(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_SERVERS", "3")
    processes = {name: serve(servers, name) for name in "abc"}
    with servers.using("a"):
        servers.make_room("d", 1, keep=["b"], free=lambda: 100)
    assert {name: process.alive for name, process in processes.items()} == {"a": True, "b": True, "c": False}


def test_without_room_it_says_how_much_is_missing(servers: Servers) -> None:
    serve(servers, "a")
    with pytest.raises(OutOfMemory, match=r"d needs about 2\.00 GB in test; 1\.00 are free.*beside a"):
        servers.make_room("d", 2 * 10**9, keep=["a"], free=lambda: 10**9)


def test_one_that_died_is_told_once_and_then_not_loaded(servers: Servers) -> None:
    serve(servers, "a").alive = False
    with pytest.raises(EngineDied), servers.using("a"):
        pass
    with pytest.raises(UnknownVariant, match="not loaded in test"), servers.using("a"):
        pass


def test_after_close_nothing_starts(servers: Servers) -> None:
    process, late = serve(servers, "a"), Process()
    servers.close()
    assert not process.alive
    with pytest.raises(EngineUnavailable, match="shut down"), servers.starting("a"):
        pass
    with pytest.raises(EngineUnavailable, match="shut down"):
        servers.started("b", late)  # type: ignore[arg-type]
    assert not late.alive


def test_idle_servers_are_stopped_one_by_one(servers: Servers) -> None:
    processes = {name: serve(servers, name) for name in ("a", "b", "c")}
    servers.held("a")
    with servers.using("b"):
        assert [servers.stop_idle() for _ in range(3)] == ["c", "a", None]
        assert [name for name, process in processes.items() if process.alive] == ["b"]
    assert servers.stop_idle() == "b"
