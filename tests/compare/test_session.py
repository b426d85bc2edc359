"""Panes, turns and runs, without a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from playground.compare import session as compare_session
from playground.compare.session import Session, Sessions
from playground.compare.turns import Ask
from playground.core import Sampling
from playground.engines import base
from playground.errors import EngineDied
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine, Script


@pytest.fixture(autouse=True)
def _fake_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.install(monkeypatch)


@pytest.fixture
def session() -> Session:
    made = Session()
    for slot, name in enumerate(["fake", "fake:nf4", "fake:int8"]):
        made.panes[slot].show(name, catalog.fake_variant(name), slot == 0)
    return made


def lines(session: Session, slot: int) -> list[list[Any]]:
    return [json.loads(line) for line in session.panes[slot].value.split("\n") if line]


def text(session: Session, slot: int) -> str:
    return "".join(line[1] for line in lines(session, slot) if line[0] == "tok")


def run(session: Session, engine: FakeEngine, prompt: str = "What is gravity?", slots: list[int] | None = None) -> int:
    """Everything to its end; returns how often the page would have been updated."""
    ask = Ask(prompt)
    assert session.begin(engine, dict.fromkeys(session.shown_slots if slots is None else slots, ask))
    return sum(1 for _ in session.changes())


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def test_values_only_grow_while_a_run_streams(session: Session) -> None:
    engine = FakeEngine()
    assert session.begin(engine, dict.fromkeys(session.shown_slots, Ask("Hi")))
    seen = ["", ""]
    for _ in session.changes():
        for slot in (0, 1):
            value = session.panes[slot].value
            assert value.startswith(seen[slot])
            seen[slot] = value
    assert text(session, 0) == text(session, 1) == "".join(GRAVITY)
    assert lines(session, 0)[-1][0] == "end"


def test_updates_are_coalesced_to_twenty_a_second(session: Session) -> None:
    engine = FakeEngine({name: Script(tokens=["x"] * 200, step_s=0.005) for name in ("fake", "fake:nf4")})
    begin = time.monotonic()
    updates = run(session, engine)
    assert 4 <= updates <= 20 * (time.monotonic() - begin) + 3


def test_every_pane_keeps_its_own_history(session: Session) -> None:
    engine = FakeEngine({"fake": Script(tokens=["one"]), "fake:nf4": Script(tokens=["two"])})
    run(session, engine, "first")
    engine.prompts.clear()
    run(session, engine, "second")
    said = [[turn["content"] for turn in source] for _, source in engine.prompts if not isinstance(source, str)]
    assert said == [["first", "one", "second"], ["first", "two", "second"]]


def test_raw_turns_are_no_history_and_failed_ones_neither(session: Session) -> None:
    engine = FakeEngine({"fake": Script(error=EngineDied("It died."))})
    run(session, engine, "first")
    session.begin(engine, {1: Ask("raw text", raw=True)})
    list(session.changes())
    assert engine.prompts[-1] == ("fake:nf4", "raw text")
    assert [turn["content"] for turn in session.panes[0].request(Ask("next")).messages] == ["next"]
    contents = [turn["content"] for turn in session.panes[1].request(Ask("next", system="Be brief.")).messages]
    assert contents == ["Be brief.", "first", "".join(GRAVITY), "next"]


def test_one_pane_stops_the_other_goes_on(session: Session) -> None:
    engine = FakeEngine({name: Script(hold_at=2) for name in ("fake", "fake:nf4")})
    session.begin(engine, dict.fromkeys(session.shown_slots, Ask("Hi")))
    for _ in session.changes():
        if len(text(session, 0)) and len(text(session, 1)) and not engine.go.is_set():
            session.stop(1)
            if lines(session, 1)[-1][0] == "end":
                engine.go.set()
    assert lines(session, 1)[-1][1] == "stopped" and text(session, 1) == "Gravity is"
    assert text(session, 0) == "".join(GRAVITY)


def test_closing_the_stream_ends_the_engine_within_two_seconds(session: Session) -> None:
    engine = FakeEngine({name: Script(hold_at=3) for name in ("fake", "fake:nf4")})
    session.begin(engine, dict.fromkeys(session.shown_slots, Ask("Hi")))
    changes = session.changes()
    while len(engine.active) < 2:
        next(changes)
    changes.close()
    until(lambda: not engine.active, 2.0)
    assert not session.busy


def test_a_second_run_is_refused_while_one_is_going_on(session: Session) -> None:
    engine = FakeEngine({"fake": Script(hold_at=1)})
    assert session.begin(engine, {0: Ask("Hi")})
    assert not session.begin(engine, {1: Ask("Hi")})
    session.stop()
    list(session.changes())
    assert session.begin(engine, {1: Ask("Hi")})


def test_a_silent_engine_still_yields_so_that_a_closed_tab_is_noticed(session: Session) -> None:
    engine = FakeEngine({"fake": Script(hold_at=0)})
    session.begin(engine, {0: Ask("Hi")})
    empty = 0
    for changed in session.changes():
        empty += not changed
        if empty == 2:
            session.stop()
    assert empty >= 2


def test_where_texts_part_is_marked_in_both_and_forgotten_when_one_is_made_again(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(tokens=[*GRAVITY[:3], " odd", *GRAVITY[4:]])})
    run(session, engine)
    for slot in (0, 1):
        assert [line[1] for line in lines(session, slot) if line[0] == "part"] == [3]
    engine.scripts["fake:nf4"] = Script()
    session.drop_last(1)
    assert not [line for line in lines(session, 0) if line[0] == "part"]
    run(session, engine, slots=[1])
    assert not [line for slot in (0, 1) for line in lines(session, slot) if line[0] == "part"]


def test_another_reference_answer_forgets_every_mark(session: Session) -> None:
    session.shown_slots = [0, 1, 2]
    odd = Script(tokens=[*GRAVITY[:3], " odd"])
    engine = FakeEngine({"fake:nf4": odd, "fake:int8": odd})
    run(session, engine)
    assert len([line for line in lines(session, 0) if line[0] == "part"]) == 2
    engine.scripts["fake"] = odd
    session.drop_last(0)
    run(session, engine, slots=[0])
    assert not [line for slot in (0, 1, 2) for line in lines(session, slot) if line[0] == "part"]


def test_another_variant_is_another_conversation(session: Session) -> None:
    run(session, FakeEngine())
    session.panes[1].show("fake:int8", catalog.fake_variant("fake:int8"), False)
    assert not session.panes[1].turns and session.panes[0].turns


def test_an_error_keeps_what_was_written(session: Session) -> None:
    died = EngineDied("It died.", hint="Run again.", log_tail="last words")
    run(session, FakeEngine({"fake:nf4": Script(error=died, error_at=4)}))
    assert text(session, 1) == "Gravity is a fundamental"
    assert lines(session, 1)[-1] == ["fail", "It died.", "Run again.", "last words"]
    assert lines(session, 0)[-1][:2] == ["end", "done"]


def test_the_strip_has_a_row_per_variant_and_a_caveat_for_other_settings(session: Session) -> None:
    engine = FakeEngine({name: Script(tokens=["x"] * 40) for name in ("fake", "fake:nf4")})
    assert json.loads(compare_session.value(session))["words"] == compare_session.WORDS["empty"]
    run(session, engine)
    row = json.loads(compare_session.value(session))["outcomes"][0]
    assert row["size"] == pytest.approx(110 / 269) and "this prompt only" in row["caveats"]
    session.drop_last(1)
    session.begin(engine, {1: Ask("What is gravity?", sampling=Sampling(seed=5))})
    list(session.changes())
    assert (
        "made with other settings than the reference"
        in json.loads(compare_session.value(session))["outcomes"][0]["caveats"]
    )
    assert json.loads(compare_session.value(session, "running"))["words"] == compare_session.WORDS["running"]


def test_sessions_are_independent_and_a_closed_one_stops() -> None:
    sessions = Sessions()
    first, second = sessions.get("a"), sessions.get("b")
    assert first is sessions.get("a") and first is not second
    engine = FakeEngine({"fake": Script(hold_at=1)})
    first.panes[0].show("fake", catalog.fake_variant("fake"), True)
    first.begin(engine, {0: Ask("Hi")})
    changes = first.changes()
    while not engine.active:
        next(changes)
    sessions.close("a")
    until(lambda: not engine.active, 2.0)
    assert len(sessions) == 1


def test_an_idle_session_goes_for_another_first_of_the_same_visitor() -> None:
    sessions = Sessions()
    owners = [sessions.get(f"owner {n}") for n in range(3)]
    others = [sessions.get(f"other {n}", "1.1.1.1") for n in range(3)]
    for n in range(150):
        sessions.get(f"flood {n}", "2.2.2.2")
    assert len(sessions) == 3 + 3 + 100, "as many as one visitor may have"
    for n in range(600):
        sessions.get(f"crowd {n}", f"3.3.{n // 200}.{n % 200}")
    assert len(sessions) == 3 + 500, "as many as all visitors may have"
    assert [sessions.get(f"owner {n}") for n in range(3)] == owners, "the owner's never go for visitors"
    assert sessions.get("other 0", "1.1.1.1") is not others[0], "of others' the least recently used goes"
    assert sessions.get("owner 0", "2.2.2.2") is not owners[0], (
        "nor does a visitor who knows a hash of the owner get in"
    )
    sessions.close("owner 0", "2.2.2.2")
    assert sessions.get("owner 0") is owners[0], "or close it"


def test_a_session_that_runs_never_goes() -> None:
    sessions, engine = Sessions(), FakeEngine({"fake": Script(hold_at=1)})
    running, begun = sessions.get("running", "1.1.1.1"), sessions.get("begun", "1.1.1.1")
    for session in (running, begun):
        session.panes[0].show("fake", catalog.fake_variant("fake"), True)
        session.begin(engine, {0: Ask("Hi")})
    changes = running.changes()
    next(changes)
    for n in range(120):
        sessions.get(f"flood {n}", "1.1.1.1")
    assert sessions.get("running", "1.1.1.1") is running
    assert sessions.get("begun", "1.1.1.1") is not begun, "a run that nobody follows holds no place"
    engine.go.set()
    assert list(changes) and running.panes[0].turns[-1].result.done
    for n in range(120):
        sessions.get(f"flood {n}", "1.1.1.1")
    assert sessions.get("running", "1.1.1.1") is not running, "after its end it is as idle as others"


def test_panes_share_the_references_engine_unless_one_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    able = {"fake": ("transformers", "vllm"), "fake:nf4": ("transformers",), "fake:int8": ("transformers", "vllm")}
    monkeypatch.setattr(base, "missing_vllm", lambda: "")
    session = Session()
    session.shown_slots = [0, 1, 2]
    for slot, (name, engines) in enumerate(able.items()):
        session.panes[slot].show(name, replace(catalog.fake_variant(name), engines=engines), slot == 0)
    session.share_engine()
    assert [session.panes[slot].address for slot in session.shown_slots] == list(able)
    reference = session.panes[0]
    reference.show("fake@vllm", reference.facts, True)
    session.share_engine()
    assert [session.panes[slot].address for slot in session.shown_slots] == ["fake@vllm", "fake:nf4", "fake:int8@vllm"]
    assert session.panes[2].label == "int8 · vLLM" and session.panes[2].variant == "fake:int8"
    session.panes[2].show("fake:int8@transformers", session.panes[2].facts, False)
    session.share_engine()
    assert session.panes[2].engine == "transformers"


def test_all_at_once_is_asked_of_the_comparison(session: Session) -> None:
    engine = FakeEngine()
    assert session.begin(engine, dict.fromkeys(session.shown_slots, Ask("Hi", at_once=True)))
    list(session.changes())
    assert [asked.at_once for asked in engine.asked] == [True, True]


# The divergence after a run


def forced_lines(session: Session, slot: int, kind: str) -> list[list[Any]]:
    return [line for line in lines(session, slot) if line[0] == kind]


def measure(session: Session, engine: FakeEngine, on_request: bool = False) -> int:
    session.measure(engine, on_request)
    return sum(1 for _ in session.run_measurements())


def test_after_a_run_the_references_answer_is_forced_through_the_others(session: Session) -> None:
    session.shown_slots = [0, 1, 2]
    engine = FakeEngine({"fake:nf4": Script(tokens=[*GRAVITY[:3], " odd"]), "fake:int8": Script(kld=(0.001,))})
    run(session, engine)
    measure(session, engine)
    ((_, key, label, total, shared),) = forced_lines(session, 1, "measure")
    assert key == forced_lines(session, 0, "user")[0][2] and (label, total) == ("BF16", len(GRAVITY))
    assert shared == 4, "the three that are the same, and the one where they part"
    rows = [row for line in forced_lines(session, 1, "forced") for row in line[2]]
    assert [row[0] for row in rows[:5]] == list(Script().kld) and len(rows) == len(GRAVITY)
    assert rows[1] == [0.4, False, 0.62, 0.4, [[" a", 0.62], [" the", 0.2], ["\n", 0.1]], rows[1][5]]
    assert forced_lines(session, 2, "measure")[0][4] == len(GRAVITY), "all of an equal text"
    assert forced_lines(session, 1, "measured")[-1][1:] == [
        "done",
        "Mean KLD 0.31 nats, same top token 58% on BF16’s 12 tokens, this prompt only.",
    ]
    assert not forced_lines(session, 0, "forced")
    found = [row["divergence"] for row in json.loads(compare_session.value(session))["outcomes"]]
    assert [row["words"] for row in found] == [
        "Mean KLD 0.31 nats, same top token 58%",
        "Mean KLD 0.0010 nats, same top token 100%",
    ]


def test_values_only_grow_while_it_is_measured_and_nothing_is_measured_twice(session: Session) -> None:
    engine = FakeEngine()
    run(session, engine)
    session.measure(engine)
    seen = session.panes[1].value
    for _ in session.run_measurements():
        assert session.panes[1].value.startswith(seen)
        seen = session.panes[1].value
    measure(session, engine)
    assert session.panes[1].value == seen and len(engine.forced) == 1
    assert not list(session.run_measurements()), "somebody looked already"


def test_the_next_run_does_not_wait_and_what_was_measured_stays(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(force_hold_at=3)})
    run(session, engine)
    session.measure(engine)
    measured = session.run_measurements()
    while len(session.panes[1].turns[-1].forced.result.tokens) < 3:  # type: ignore[union-attr]
        next(measured)
    began = time.monotonic()
    assert session.begin(engine, dict.fromkeys(session.shown_slots, Ask("And then?")))
    assert time.monotonic() - began < 1
    list(measured)
    list(session.changes())
    first, second = session.panes[1].turns
    assert first.forced.state == "open" and "on the first 3 of BF16’s 12 tokens" in first.forced.words
    assert first.forced.words.endswith("It was stopped.")
    assert second.forced.state == "none" and second.result.done
    until(lambda: not engine.active)


def test_stopped_it_can_be_taken_up_again(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(force_hold_at=3)})
    run(session, engine)
    session.measure(engine)
    for _ in session.run_measurements():
        if len(engine.forced) == 1:
            session.stop(1)
    assert lines(session, 1)[-1][:2] == ["measured", "open"]
    assert measure(session, engine) == 0, "not by itself"
    engine.go.set()
    measure(session, engine, on_request=True)
    assert lines(session, 1)[-1][:2] == ["measured", "done"]
    assert len(forced_lines(session, 1, "measure")) == 1, "what was found before is forgotten"


def test_an_engine_killed_while_it_measures_is_an_error_in_place_and_the_texts_stay(session: Session) -> None:
    died = EngineDied("It died.", hint="Run again.")
    engine = FakeEngine({"fake:nf4": Script(force_error=died, force_error_at=2)})
    run(session, engine)
    measure(session, engine)
    state, words = lines(session, 1)[-1][1:]
    assert state == "open" and words.endswith("It died. Run again.")
    assert text(session, 0) == text(session, 1) == "".join(GRAVITY)
    assert "over the first 2 tokens" in json.loads(compare_session.value(session))["outcomes"][0]["divergence"]["words"]


def test_what_cannot_be_measured_says_why_and_asks_nobody(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(tokenizer_hash="another")})
    run(session, engine)
    measure(session, engine)
    assert lines(session, 1)[-1][1] == "blocked" and "Its tokenizer is another one" in lines(session, 1)[-1][2]
    assert not engine.forced
    assert json.loads(compare_session.value(session))["outcomes"][0]["divergence"]["kld"] is None


def test_a_run_that_was_stopped_is_not_measured_by_itself(session: Session) -> None:
    engine = FakeEngine({name: Script(hold_at=3) for name in ("fake", "fake:nf4")})
    session.begin(engine, dict.fromkeys(session.shown_slots, Ask("Hi")))
    for _ in session.changes():
        if text(session, 0) and text(session, 1):
            session.stop()
    measure(session, engine)
    assert lines(session, 1)[-1][:2] == ["measured", "open"] and not engine.forced
    measure(session, engine, on_request=True)
    assert lines(session, 1)[-1][1] == "done"


def test_another_answer_of_the_reference_forgets_the_divergence_and_another_prompt_has_none(session: Session) -> None:
    engine = FakeEngine()
    run(session, engine)
    measure(session, engine)
    session.drop_last(0)
    assert not forced_lines(session, 1, "measure") and text(session, 1) == "".join(GRAVITY)
    run(session, engine, "Something else?", slots=[0])
    measure(session, engine)
    assert lines(session, 1)[-1] == ["measured", "blocked", "It answered another prompt than the reference."]


def test_closing_the_tab_ends_the_measuring_too(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(force_hold_at=1)})
    run(session, engine)
    session.measure(engine)
    measured = session.run_measurements()
    while not engine.forced:
        next(measured)
    measured.close()  # type: ignore[attr-defined]
    until(lambda: not engine.active, 2.0)
