"""Addresses, turns on the device, and what is marked when they overlap: the façade over every engine, with fakes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from playground import models
from playground.core import Finish, ForcedTokens, Forcing, Generation, Loaded, Progress, Sampling, Token
from playground.engines.router import WAITING, Engines
from playground.errors import Cancelled, EngineError, EngineUnavailable
from tests.engines.calls import eventually, never, quiet
from tests.fakes.catalog import fake_variant, install
from tests.fakes.engine import FakeEngine, FreeRunningFake, Script


@dataclass
class Device:
    """The façade over four fakes. `made` names the engines that were made because somebody asked for them."""

    transformers: FakeEngine = field(default_factory=lambda: FakeEngine(name="transformers"))
    llamacpp: FreeRunningFake = field(default_factory=lambda: FreeRunningFake(name="llamacpp"))
    vllm: FreeRunningFake = field(default_factory=lambda: FreeRunningFake(name="vllm"))
    remote: FakeEngine = field(default_factory=lambda: FakeEngine(name="remote"))
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        makers = {name: self._maker(name) for name in ("llamacpp", "vllm", "remote")}
        self.engines = Engines(self.transformers, makers)  # type: ignore[arg-type]

    def _maker(self, name: str) -> Any:
        def make(transformers: FakeEngine) -> Any:
            assert transformers is self.transformers, "whose tokenizer the others use"
            self.made.append(name)
            return getattr(self, name)

        return make

    def load(self, *addresses: str) -> None:
        for address in addresses:
            self.engines.load(address, quiet, never)

    def generate(self, address: str, **more: Any) -> Iterator[Progress | Token | Finish]:
        return self.engines.generate(Generation(address, (1, 2), Sampling(), request_id=address, **more))


@pytest.fixture
def device(home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    install(monkeypatch, extra=["served"])
    device = Device()
    yield device
    device.engines.close()


def begun(items: Iterator[Progress | Token | Finish]) -> Iterator[Progress | Token | Finish]:
    """A generation that has the device: its first token has come."""
    assert isinstance(next(items), Token)
    return items


def finish(items: Iterator[Progress | Token | Finish]) -> Finish:
    last = list(items)[-1]
    assert isinstance(last, Finish)
    return last


# Addresses


def test_the_address_picks_the_engine_which_gets_the_variant_alone(device: Device) -> None:
    device.load("fake:nf4", "fake@llamacpp", "fake:nf4@vllm", "served@remote")
    assert device.transformers.loaded == {"fake:nf4"}
    assert device.llamacpp.loaded == {"fake"}
    assert device.vllm.loaded == {"fake:nf4"}
    assert device.remote.loaded == {"served"}
    finish(device.generate("fake:nf4@vllm"))
    assert [request.variant for request in device.vllm.asked] == ["fake:nf4"]
    assert device.engines.prompt("fake@llamacpp", "a b").text == "a b"
    assert device.llamacpp.prompts == [("fake", "a b")]


def test_without_an_engine_it_is_the_first_that_the_variant_runs_on(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "variant", lambda name: replace(fake_variant(name), engines=("llamacpp", "vllm")))
    assert device.engines.load("fake", quiet, never).engine == "llamacpp"
    assert device.engines.load("fake@vllm", quiet, never).engine == "vllm"
    assert not device.transformers.loaded


def test_an_engine_is_made_once_and_only_when_asked(device: Device) -> None:
    device.load("fake")
    assert device.made == []
    device.load("fake@vllm", "fake:nf4@vllm")
    assert device.made == ["vllm"]


def test_a_load_keeps_what_runs_beside_it_in_the_same_engine(device: Device) -> None:
    device.engines.load("fake@vllm", quiet, never, keep=["fake@vllm", "fake:nf4@llamacpp", "fake:int8"])
    assert device.vllm.kept == [("fake", "fake:int8")], "an address without an engine may mean this one"


# Turns


def waits(item: object) -> bool:
    return isinstance(item, Progress) and item.stage.startswith(WAITING)


def test_whoever_waits_is_told_how_many_come_first_and_about_how_long(device: Device) -> None:
    device.load("fake@vllm", "fake@llamacpp", "fake:nf4@vllm")
    device.engines._turns._lasted_s.clear()  # the loads
    first, second, third = (device.generate(name) for name in ("fake@vllm", "fake@llamacpp", "fake:nf4@vllm"))
    begun(first)
    assert next(second) == Progress(f"{WAITING}: 1 answer before this one")
    assert next(third) == Progress(f"{WAITING}: 2 answers before this one")
    device.engines._turns._lasted_s.append(30)
    list(first)
    device.engines._turns._lasted_s[-1] = 10
    assert next(third) == Progress(f"{WAITING}: 1 answer before this one, about 20 s")
    assert finish(second) and finish(third)


def test_free_running_generations_take_turns(device: Device) -> None:
    device.load("fake@vllm", "fake@llamacpp")
    first, second = begun(device.generate("fake@vllm")), device.generate("fake@llamacpp")
    assert waits(next(second))
    assert device.llamacpp.asked == []
    assert not finish(first).contended
    assert not finish(second).contended


def test_stepped_generations_share_the_device_but_not_with_a_free_running_one(device: Device) -> None:
    device.load("fake", "fake:nf4", "fake@vllm")
    one, two = begun(device.generate("fake")), begun(device.generate("fake:nf4"))
    alone = device.generate("fake@vllm")
    assert waits(next(alone))
    assert not finish(one).contended and not finish(two).contended
    assert not finish(alone).contended


def test_the_next_may_begin_when_the_last_item_of_one_has_come(device: Device) -> None:
    device.load("fake@vllm", "fake@llamacpp")
    first = device.generate("fake@vllm")
    assert any(isinstance(item, Finish) for item in first), "and the iterator is not exhausted"
    begun(device.generate("fake@llamacpp"))


@pytest.mark.parametrize("how", ["closed", "failed"])
def test_a_generation_that_is_closed_or_fails_gives_the_device_back(device: Device, how: str) -> None:
    device.vllm.scripts["fake"] = Script(error=EngineError("broken"), error_at=1 if how == "failed" else 99)
    device.load("fake@vllm", "fake@llamacpp")
    first = begun(device.generate("fake@vllm"))
    if how == "failed":
        with pytest.raises(EngineError, match="broken"):
            list(first)
    else:
        first.close()  # type: ignore[attr-defined]
    assert not device.vllm.active
    assert not finish(device.generate("fake@llamacpp")).contended


def test_a_remote_one_never_waits_for_the_device_and_disturbs_nobody(device: Device) -> None:
    device.load("fake@vllm", "served@remote")
    local, remote = begun(device.generate("fake@vllm")), begun(device.generate("served@remote"))
    device.load("other@remote")
    assert not finish(remote).contended
    assert not finish(local).contended


# All at once


def test_at_once_the_members_of_a_group_overlap_and_are_marked(device: Device) -> None:
    device.load("fake@vllm", "fake@llamacpp", "fake")
    together = [begun(device.generate(a, at_once=True, group="g")) for a in ("fake@vllm", "fake@llamacpp", "fake")]
    assert [finish(items).contended for items in together] == [True, True, True]


def test_another_group_waits(device: Device) -> None:
    device.load("fake@vllm", "fake@llamacpp")
    first = begun(device.generate("fake@vllm", at_once=True, group="g"))
    second = device.generate("fake@llamacpp", at_once=True, group="h")
    assert waits(next(second))
    assert [finish(first).contended, finish(second).contended] == [False, False]


def test_stepped_members_keep_their_clocks(device: Device) -> None:
    device.load("fake", "fake:nf4")
    together = [begun(device.generate(address, at_once=True, group="g")) for address in ("fake", "fake:nf4")]
    assert [finish(items).contended for items in together] == [False, False]


def test_a_member_whose_partner_is_over_ran_alone(device: Device) -> None:
    device.vllm.scripts["fake"] = Script(error=EngineError("broken"))
    device.load("fake@vllm", "fake@llamacpp", "fake:nf4@llamacpp")
    with pytest.raises(EngineError, match="broken"):
        list(device.generate("fake@vllm", at_once=True, group="g"))
    assert not finish(device.generate("fake@llamacpp", at_once=True, group="g")).contended
    assert not finish(device.generate("fake:nf4@llamacpp", at_once=True, group="g")).contended


# Loads


class Load(threading.Thread):
    """A load in a thread of its own, with everything that it said."""

    def __init__(self, engines: Engines, address: str) -> None:
        super().__init__(daemon=True)
        self._engines, self._address = engines, address
        self.said: list[Progress] = []
        self.cancelled = threading.Event()
        self.end: Loaded | Cancelled | None = None
        self.start()

    def run(self) -> None:
        try:
            self.end = self._engines.load(self._address, self.said.append, self.cancelled.is_set)
        except Cancelled as error:
            self.end = error


def test_a_load_waits_for_the_device(device: Device) -> None:
    device.load("fake@vllm")
    running = begun(device.generate("fake@vllm"))
    load = Load(device.engines, "fake@llamacpp")
    eventually(lambda: list(map(waits, load.said)) == [True], 5, "it says that it waits")
    assert device.llamacpp.kept == []
    assert not finish(running).contended
    load.join(10)
    assert isinstance(load.end, Loaded) and device.llamacpp.loaded == {"fake"}


def test_a_load_of_the_stepped_host_waits_for_a_free_running_generation(device: Device) -> None:
    device.load("fake@vllm")
    running = begun(device.generate("fake@vllm"))
    load = Load(device.engines, "fake:nf4")
    eventually(lambda: list(map(waits, load.said)) == [True], 5, "it says that it waits")
    assert device.transformers.loaded == set()
    assert not finish(running).contended
    load.join(10)
    assert isinstance(load.end, Loaded) and device.transformers.loaded == {"fake:nf4"}


def test_a_load_of_the_stepped_host_overlaps_stepped_work_and_holds_up_the_free_running(device: Device) -> None:
    device.load("fake", "fake@vllm")
    device.transformers.scripts["fake:nf4"] = Script(load_steps=10_000, load_step_s=0.01)
    stepped = begun(device.generate("fake"))
    load = Load(device.engines, "fake:nf4")
    eventually(lambda: bool(load.said), 5, "it loads")
    assert not any(map(waits, load.said)) and not finish(stepped).contended
    alone = device.generate("fake@vllm")
    assert waits(next(alone)), "its clock would be disturbed"
    load.cancelled.set()
    load.join(10)
    assert isinstance(load.end, Cancelled) and not finish(alone).contended


def test_a_load_that_is_stopped_while_it_waits_leaves_the_queue(device: Device) -> None:
    device.load("fake@vllm", "fake:nf4@vllm")
    running = begun(device.generate("fake@vllm"))
    load = Load(device.engines, "fake@llamacpp")
    eventually(lambda: list(map(waits, load.said)) == [True], 5, "it says that it waits")
    load.cancelled.set()
    load.join(10)
    assert isinstance(load.end, Cancelled) and device.llamacpp.loaded == set()
    finish(running)
    begun(device.generate("fake:nf4@vllm"))


@pytest.mark.parametrize("address", ["fake@llamacpp", "fake", "served@remote"])
def test_what_has_nothing_to_load_does_not_wait(device: Device, address: str) -> None:
    device.load("fake@llamacpp", "fake@vllm", "fake")
    running, said = begun(device.generate("fake@vllm")), list[Progress]()
    loaded = device.engines.load(
        address, said.append, lambda: any(map(waits, said))
    )  # not to wait forever where it does
    assert loaded.id == address.partition("@")[0]
    assert len(device.llamacpp.kept) == 1, "the engine was only looked at"
    assert not finish(running).contended


# Stopping


def reasons(items: Sequence[Progress | Token | Finish]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Finish)]


def test_an_abort_while_it_waits_for_the_device(device: Device) -> None:
    device.load("fake@vllm", "fake@llamacpp")
    running, waiting = begun(device.generate("fake@vllm")), device.generate("fake@llamacpp")
    assert waits(next(waiting))
    device.engines.abort("fake@llamacpp")
    with pytest.raises(Cancelled, match="while it waited for the device"):
        list(waiting)
    assert device.llamacpp.asked == []
    assert reasons(list(running)) == ["stop"], "the one that ran is not touched"


@pytest.mark.parametrize("address", ["fake@vllm", "fake", "served@remote"])
def test_an_abort_while_it_runs(device: Device, address: str) -> None:
    for engine in (device.vllm, device.transformers, device.remote):
        engine.scripts |= {"fake": Script(hold_at=2), "served": Script(hold_at=2)}
    device.load(address)
    items = begun(device.generate(address))
    device.engines.abort(address)
    assert reasons(list(items)) == ["abort"]
    device.engines.abort(address)  # over: nothing happens


def test_close_ends_every_engine_that_was_made_and_makes_no_more(device: Device) -> None:
    device.load("fake@vllm")
    device.engines.close()
    assert device.transformers.closed and device.vllm.closed
    assert not device.llamacpp.closed and device.made == ["vllm"]
    with pytest.raises(EngineUnavailable, match="shut down"):
        device.load("fake@llamacpp")


def test_idle_variants_are_unloaded_on_every_engine_of_the_device_and_no_other(device: Device) -> None:
    device.load("fake", "fake@vllm", "served@remote")
    items = begun(device.generate("fake@vllm"))
    assert [device.engines.unload_idle() for _ in range(2)] == ["fake", None]
    list(items)
    assert [device.engines.unload_idle() for _ in range(2)] == ["fake", None]
    assert device.remote.loaded == {"served"}


# Forced texts


def forcing(*names: str) -> Forcing:
    return Forcing(names[0], names[1:], (1, 2), (3, 4, 5), request_id="forced")


def test_a_text_is_forced_by_the_host_under_the_names_that_it_knows(device: Device) -> None:
    device.load("fake", "fake:nf4")
    items = list(device.engines.force(forcing("fake", "fake:nf4@transformers")))
    assert [item.start for item in items if isinstance(item, ForcedTokens)] == [0, 1, 2]
    assert device.transformers.forced[0].others == ("fake:nf4",)


@pytest.mark.parametrize("names", [("fake", "fake:nf4@vllm"), ("fake@llamacpp", "fake:nf4"), ("fake", "served@remote")])
def test_an_engine_without_the_whole_distribution_refuses_with_why(device: Device, names: tuple[str, ...]) -> None:
    device.load("fake", "fake:nf4")
    with pytest.raises(EngineUnavailable, match="divergence needs"):
        list(device.engines.force(forcing(*names)))
    assert not device.transformers.forced


def test_a_forced_text_waits_for_a_free_running_generation_and_can_be_given_up_meanwhile(device: Device) -> None:
    device.load("fake", "fake:nf4", "fake@vllm")
    running = begun(device.generate("fake@vllm"))
    forced = device.engines.force(forcing("fake", "fake:nf4"))
    assert waits(next(forced))
    device.engines.abort("forced")
    with pytest.raises(Cancelled):
        list(forced)
    assert not device.transformers.forced
    again = device.engines.force(forcing("fake", "fake:nf4"))
    assert waits(next(again))
    assert not finish(running).contended
    assert any(isinstance(item, ForcedTokens) for item in again)
