"""N streams in, one ordered event stream out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from playground.compare.answer import Answer
from playground.compare.run import Comparison, Event, PaneRequest
from playground.core import Finish, Generation, Loaded, Message, Progress, Prompt, Reported, Sampling, Token, Variant
from playground.errors import Cancelled, EngineDied, OutOfMemory, UnknownVariant
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine, Script

ASK = ({"role": "user", "content": "What is gravity?"},)


@pytest.fixture(autouse=True)
def _fake_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)


def panes(*variants: str) -> list[PaneRequest]:
    return [PaneRequest(name, messages=ASK) for name in variants]  # type: ignore[arg-type]


def gather(comparison: Comparison, count: int) -> list[Answer]:
    results = [Answer(str(index)) for index in range(count)]
    for event in comparison.events():
        results[event.pane].add(event.item)
    return results


def test_each_pane_gets_its_facts_then_its_tokens_then_its_end() -> None:
    events = list(Comparison(FakeEngine(), panes("fake", "fake:nf4"), Sampling()).events())
    for pane in (0, 1):
        kinds = [type(event.item) for event in events if event.pane == pane and not isinstance(event.item, Progress)]
        assert kinds == [Variant, Loaded, Prompt] + [Token] * len(GRAVITY) + [Finish]


def test_everything_is_loaded_before_anything_is_timed() -> None:
    events = list(Comparison(FakeEngine(), panes("fake", "fake:nf4", "fake:int8"), Sampling()).events())
    last_load = max(index for index, event in enumerate(events) if isinstance(event.item, Loaded))
    first_token = min(index for index, event in enumerate(events) if isinstance(event.item, Token))
    assert last_load < first_token


def test_the_prompt_is_rendered_once_and_every_pane_gets_the_same_ids() -> None:
    engine = FakeEngine()
    gather(Comparison(engine, panes("fake", "fake:nf4", "fake:int8"), Sampling()), 3)
    assert engine.prompts == [("fake", ASK)]
    assert len({generation.prompt_ids for generation in engine.asked}) == 1 and len(engine.asked) == 3


def test_a_different_tokenizer_gets_ids_of_its_own() -> None:
    engine = FakeEngine({"fake:nf4": Script(tokenizer_hash="other")})
    gather(Comparison(engine, panes("fake", "fake:nf4", "fake:int8"), Sampling()), 3)
    assert engine.prompts == [("fake", ASK), ("fake:nf4", ASK)]


def test_one_pane_fails_and_the_others_go_on() -> None:
    engine = FakeEngine(
        {
            "fake": Script(load_error=OutOfMemory("Too big.", hint="Pick another.")),
            "fake:int8": Script(error=EngineDied("It died."), error_at=4),
        }
    )
    first, second, third = gather(Comparison(engine, panes("fake", "fake:nf4", "fake:int8"), Sampling()), 3)
    assert isinstance(first.error, OutOfMemory) and not first.tokens
    assert second.finish is not None and second.text == "".join(GRAVITY)
    assert isinstance(third.error, EngineDied) and len(third.tokens) == 4, "what had arrived is kept"
    assert third.as_json()["error"]["message"] == "It died." and third.as_json()["finish_reason"] == "error"


def test_an_unexpected_exception_is_an_error_in_the_pane_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(FakeEngine):
        def generate(self, generation: Generation) -> Iterator[Any]:
            raise ZeroDivisionError("secret detail")

    (pane,) = gather(Comparison(Odd(), panes("fake"), Sampling()), 1)
    assert pane.error is not None and "secret" not in str(pane.error) and "ZeroDivisionError" in str(pane.error)
    assert "secret detail" in caplog.text


def test_stopping_one_pane_leaves_the_other_running() -> None:
    engine = FakeEngine({"fake": Script(hold_at=5), "fake:nf4": Script(hold_at=5)})
    comparison = Comparison(engine, panes("fake", "fake:nf4"), Sampling())
    results = [Answer("fake"), Answer("fake:nf4")]
    for event in comparison.events():
        results[event.pane].add(event.item)
        if all(len(result.tokens) == 5 for result in results) and not any(result.done for result in results):
            comparison.stop(0)
        if results[0].done:
            engine.go.set()
    assert results[0].finish is not None and results[0].finish.reason == "abort" and len(results[0].tokens) == 5
    assert results[1].finish is not None and results[1].finish.reason == "stop"


def test_closing_the_stream_ends_every_generation() -> None:
    engine = FakeEngine({"fake": Script(hold_at=3), "fake:nf4": Script(hold_at=3)})
    events = Comparison(engine, panes("fake", "fake:nf4"), Sampling()).events()
    for event in events:
        if isinstance(event.item, Token):
            break
    events.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 2
    while engine.active:
        assert time.monotonic() < deadline, "still decoding"
        time.sleep(0.01)


def test_stopping_while_loading_is_an_end_and_not_an_error() -> None:
    engine = FakeEngine({"fake": Script(load_steps=200, load_step_s=0.01)})
    comparison = Comparison(engine, panes("fake"), Sampling())
    threading.Timer(0.05, comparison.stop).start()
    began = time.monotonic()
    (pane,) = gather(comparison, 1)
    assert time.monotonic() - began < 1.5
    assert pane.error is None and pane.finish is not None and pane.finish.reason == "abort"


def test_a_variant_unloaded_in_between_is_loaded_once_more() -> None:
    class Forgetful(FakeEngine):
        forgot = False

        def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
            if not self.forgot:
                self.forgot = True
                self.loaded.clear()
            return super().generate(generation)

    (pane,) = gather(Comparison(Forgetful(), panes("fake"), Sampling()), 1)
    assert pane.error is None and pane.text == "".join(GRAVITY)

    class Restarted(Forgetful):
        def prompt(self, variant: str, messages: Sequence[Message] | str) -> Prompt:
            if not self.forgot:
                self.forgot = True
                self.loaded.clear()
            if variant not in self.loaded:
                raise UnknownVariant("It is not loaded.")
            return super().prompt(variant, messages)

    for pane in gather(Comparison(Restarted(), panes("fake", "fake:nf4"), Sampling()), 2):
        assert pane.error is None and pane.text == "".join(GRAVITY), "also before the prompt was rendered"

    class Broken(FakeEngine):
        def generate(self, generation: Generation) -> Iterator[Progress | Token | Finish]:
            raise UnknownVariant("It is not loaded.")

    (pane,) = gather(Comparison(Broken(), panes("fake"), Sampling()), 1)
    assert isinstance(pane.error, UnknownVariant), "once more is enough"


def test_cancelled_is_not_an_error() -> None:
    pane = Answer("fake")
    pane.add(Finish("abort", 0, 0))
    assert pane.done and pane.error is None and pane.as_json()["finish_reason"] == "abort"
    assert Cancelled("x").code == "cancelled" and Event(0, Finish("abort", 0, 0)).pane == 0


def test_at_once_reaches_the_engine_as_one_group() -> None:
    for at_once in (False, True):
        engine = FakeEngine()
        gather(Comparison(engine, panes("fake", "fake:nf4"), Sampling(), at_once), 2)
        assert [asked.at_once for asked in engine.asked] == [at_once] * 2
        assert len({asked.group for asked in engine.asked}) == 1 and engine.asked[0].group


def test_a_contended_answer_and_the_engines_own_word_are_in_the_json() -> None:
    result = Answer("fake")
    result.add(Finish("stop", 3, 0, contended=True, reported=Reported("its log", ttft_s=0.5)))
    row = result.as_json()
    assert row["contended"] is True
    assert row["reported"] == {"source": "its log", "ttft_s": 0.5, "prefill_s": None, "decode_tok_s": None}
