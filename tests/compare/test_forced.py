"""The reference's answer forced through the others: what is blocked, loaded again, stopped, failed, and its JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from playground.compare.answer import Answer, ForcedAnswer
from playground.compare.forced import ForcedComparison, blocked, measure
from playground.compare.run import Comparison, PaneRequest, generate
from playground.compare.spec import GenerateSpec
from playground.core import UNKNOWN_ID, Finish, ForcedTokens, Progress, Prompt, Sampling, Token
from playground.errors import EngineDied
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine, Script


@pytest.fixture(autouse=True)
def _fake_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)


def ran(engine: FakeEngine, *names: str) -> list[Answer]:
    """Answers of a comparison that is over."""
    results = [Answer(name) for name in names]
    requests = [PaneRequest(name, text="What is gravity?") for name in names]
    for event in Comparison(engine, requests, Sampling()).events():
        results[event.pane].add(event.item)
    return results


def forced(engine: FakeEngine, answers: list[Answer], *on_progress: Callable[[Progress], None]) -> list[ForcedAnswer]:
    measure(engine, answers, *on_progress)
    return [answer.forced for answer in answers[1:] if answer.forced]


def test_one_request_for_all_with_the_references_prompt_and_tokens() -> None:
    engine = FakeEngine({"fake:int8": Script(kld=(0.001,))})
    sides = ran(engine, "fake", "fake:nf4", "fake:int8")
    nf4, int8 = forced(engine, sides)
    (request,) = engine.forced
    assert (request.reference, request.others) == ("fake", ("fake:nf4", "fake:int8"))
    assert sides[0].prompt is not None
    assert request.prompt_ids == sides[0].prompt.ids
    assert list(request.token_ids) == sides[0].token_ids
    assert nf4.complete and int8.complete and not nf4.reason
    kld = Script().kld
    assert nf4.as_json() == {
        "kld_mean": pytest.approx(sum(kld[i % 5] for i in range(12)) / 12),
        "top1_agreement": pytest.approx(7 / 12),
        "tokens": len(GRAVITY),
    }
    assert int8.as_json() == {"kld_mean": pytest.approx(0.001), "top1_agreement": 1.0, "tokens": 12}
    assert str(nf4.summary) == "mean KLD 0.31 nats, same top token 58%"


def test_what_cannot_be_measured_says_why_and_the_rest_is_measured() -> None:
    engine = FakeEngine()
    reference, other = ran(engine, "fake", "fake:nf4")
    loaded = other.loaded
    assert loaded is not None

    def like(**changes: object) -> Answer:
        result = Answer("other")
        result.add(replace(loaded, **changes))  # type: ignore[arg-type]
        return result

    vllm, llamacpp, remote = (like(engine=name) for name in ("vllm", "llamacpp", "remote"))
    assert blocked(reference, vllm).startswith("vLLM returns only the top tokens")
    assert blocked(reference, llamacpp).startswith("llama.cpp returns only the top tokens")
    assert blocked(reference, remote).startswith("A remote endpoint returns a few top tokens")
    assert "tokenizer differs" in blocked(reference, like(tokenizer_hash="x"))
    assert blocked(reference, Answer("gone")) == "It was not loaded."
    assert "has no tokens" in blocked(Answer("none"), other)
    assert blocked(replace_engine(reference, "vllm"), other).startswith("Not with this reference: vLLM")
    nothing, found = forced(engine, [reference, vllm, other])
    assert nothing.as_json() == {"kld_mean": None, "top1_agreement": None, "tokens": 0, "reason": nothing.reason}
    assert found.complete
    assert engine.forced[0].others == ("fake:nf4",)


def replace_engine(side: Answer, engine: str) -> Answer:
    result = Answer(side.address)
    assert side.loaded and side.prompt
    for item in (replace(side.loaded, engine=engine), side.prompt, *side.tokens):
        result.add(item)
    return result


def test_unknown_ids_cannot_be_forced() -> None:
    (reference, other) = ran(FakeEngine(), "fake", "fake:nf4")
    reference.add(Token(UNKNOWN_ID, "x", "x", 9, 0.1))
    assert "does not report which tokens" in blocked(reference, other)
    bare = replace_engine(reference, "fake")
    bare.add(Prompt((), "", "remote", "x"))
    assert "does not report which tokens" in blocked(bare, other)


def test_what_was_unloaded_meanwhile_is_loaded_again_once() -> None:
    engine = FakeEngine()
    sides = ran(engine, "fake", "fake:nf4")
    engine.loaded.discard("fake:nf4")
    said: list[Progress] = []
    (found,) = forced(engine, sides, said.append)
    assert found.complete
    assert "Loading fake:nf4 again: it was unloaded meanwhile" in [progress.stage for progress in said]


def test_what_cannot_be_loaded_again_is_the_reason() -> None:
    died = EngineDied("It died.", hint="Run again.")
    engine = FakeEngine()
    sides = ran(engine, "fake", "fake:nf4")
    engine.loaded.clear()
    engine.scripts["fake"] = Script(load_error=died)
    (found,) = forced(engine, sides)
    assert found.reason == "It died. Run again." and not found.tokens


def test_an_engine_that_dies_in_the_middle_leaves_what_was_measured() -> None:
    died = EngineDied("It died.", hint="Run again.")
    engine = FakeEngine({"fake:nf4": Script(force_error=died, force_error_at=4)})
    (found,) = forced(engine, ran(engine, "fake", "fake:nf4"))
    assert found.as_json() == {"kld_mean": pytest.approx(0.1075), "top1_agreement": 0.75, "tokens": 4} | {
        "reason": "It died. Run again."
    }
    assert not found.complete


def test_a_failure_of_our_own_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    sides = ran(engine, "fake", "fake:nf4")
    monkeypatch.setattr(engine, "force", lambda _: 1 / 0)
    (found,) = forced(engine, sides)
    assert "ZeroDivisionError" in found.reason


def test_stop_ends_it_and_says_so() -> None:
    engine = FakeEngine({"fake:nf4": Script(force_hold_at=3)})
    reference, other = ran(engine, "fake", "fake:nf4")
    forcing = ForcedComparison(engine, reference, [other])
    found = ForcedAnswer(len(reference.tokens))
    for number, item in forcing.events():
        assert number == 0
        found.add(item)
        if isinstance(item, ForcedTokens) and item.start == 2:
            forcing.stop()
    assert len(found.tokens) == 3 and found.reason == "It was stopped."
    assert not engine.active


def test_closing_the_events_ends_the_work_in_the_engine() -> None:
    engine = FakeEngine()
    reference, other = ran(engine, "fake", "fake:nf4")
    events = ForcedComparison(engine, reference, [other]).events()
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert not engine.active


def test_generate_has_it_in_every_pane_but_the_first_and_only_when_asked() -> None:
    made = generate(
        FakeEngine(), GenerateSpec(variants=["fake", "fake:nf4", "fake:nope"], prompt="Hi", divergence=True)
    ).as_json()
    first, second, broken = made["panes"]
    assert "divergence" not in first
    assert set(second["divergence"]) == {"kld_mean", "top1_agreement", "tokens"}
    assert broken["divergence"] == {"kld_mean": None, "top1_agreement": None, "tokens": 0} | {
        "reason": "It was not loaded."
    }
    engine = FakeEngine()
    assert (
        "divergence"
        not in generate(engine, GenerateSpec(variants=["fake", "fake:nf4"], prompt="Hi")).as_json()["panes"][1]
    )
    assert not engine.forced
    assert (
        "divergence"
        not in generate(engine, GenerateSpec(variants=["fake"], prompt="Hi", divergence=True)).as_json()["panes"][0]
    )


def test_a_finish_of_its_own_accord_is_no_reason() -> None:
    found = ForcedAnswer(0)
    found.add(Finish("stop", 1, 0))
    assert not found.reason and found.summary is None
