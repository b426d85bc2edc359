"""Panes, turns and runs, without a browser."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from playground.compare import session as compare_session
from playground.compare.session import Session, Sessions, verdict
from playground.compare.spec import AskSpec
from playground.core import Sampling
from playground.engines import base
from playground.errors import EngineDied, TooMany, UnknownSession
from playground.store import runs
from playground.web.owner import Owner, Rules
from playground.web.stream import DROPPED_S, LEFT_S
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine, Script
from tests.fakes.rows import Clock, last, lines, rows, settled, text, until


@pytest.fixture(autouse=True)
def _fake_catalog(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    catalog.install(monkeypatch)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(clock: Clock) -> Session:
    made = Session(clock=clock)
    for slot, name in enumerate(["fake", "fake:nf4", "fake:int8"]):
        made.panes[slot].show(name, catalog.fake_variant(name), slot == 0)
    return made


def ask(prompt: str, **more: Any) -> AskSpec:
    return AskSpec(prompt=prompt, **more)


def begin(
    session: Session, engine: FakeEngine, prompt: str = "Hi", slots: list[int] | None = None, **more: Any
) -> bool:
    return session.begin(engine, dict.fromkeys(session.shown_slots if slots is None else slots, ask(prompt, **more)))


def run(session: Session, engine: FakeEngine, prompt: str = "What is gravity?", slots: list[int] | None = None) -> None:
    """Everything to its end."""
    assert begin(session, engine, prompt, slots)
    settled(session)


def holding(**more: Any) -> FakeEngine:
    return FakeEngine({name: Script(hold_at=3, **more) for name in ("fake", "fake:nf4")})


def test_a_run_is_rows_and_ends_with_idle(session: Session) -> None:
    run(session, FakeEngine())
    assert text(session, 0) == text(session, 1) == "".join(GRAVITY)
    kinds = [row[0] for row in lines(session, 0) if row[0] not in ("num", "state")]
    assert kinds == ["head", "user", "made", "made", "made", *["tok"] * len(GRAVITY), "end"]
    assert rows(session)[-1] == [-1, "idle"] and [row for row in rows(session) if row[1] == "run"]


def test_idle_is_written_before_a_stream_may_end(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    working: list[bool] = []
    append = session.rows.append

    def watched(row: list[Any], *group: Any, **more: Any) -> int:
        if row[1] == "idle":
            working.append(session.working)
        return append(row, *group, **more)

    monkeypatch.setattr(session.rows, "append", watched)
    run(session, FakeEngine())
    assert working == [True]


def test_every_pane_keeps_its_own_history(session: Session) -> None:
    engine = FakeEngine({"fake": Script(tokens=["one"]), "fake:nf4": Script(tokens=["two"])})
    run(session, engine, "first")
    engine.prompts.clear()
    run(session, engine, "second")
    said = [[turn["content"] for turn in source] for _, source in engine.prompts if not isinstance(source, str)]
    assert said == [["first", "one", "second"], ["first", "two", "second"]]


def test_a_raw_completion_is_no_part_of_the_chat(session: Session) -> None:
    engine = FakeEngine()
    run(session, engine, "first", [1])
    assert begin(session, engine, "raw text", [1], raw=True)
    settled(session)
    assert engine.prompts[-1] == ("fake:nf4", "raw text")
    assert [turn["content"] for turn in session.panes[0].request(ask("next")).messages] == ["next"]
    contents = [turn["content"] for turn in session.panes[1].request(ask("next", system="Be brief.")).messages]
    assert contents == ["Be brief.", "first", "".join(GRAVITY), "next"]


def test_one_pane_stops_the_other_goes_on(session: Session) -> None:
    engine = holding()
    begin(session, engine)
    until(lambda: len(lines(session, 0, "tok")) == len(lines(session, 1, "tok")) == 3)
    session.stop(1)
    until(lambda: lines(session, 1, "end"))
    engine.go.set()
    settled(session)
    assert last(session, 1, "end")[1] == "stopped" and text(session, 1) == "Gravity is a"
    assert text(session, 0) == "".join(GRAVITY)


def test_a_second_run_is_refused_while_one_is_going_on(session: Session) -> None:
    engine = FakeEngine({"fake": Script(hold_at=1)})
    assert begin(session, engine, slots=[0])
    assert not begin(session, engine, slots=[1])
    session.stop()
    settled(session)
    assert begin(session, engine, slots=[1])
    settled(session)


def test_where_texts_diverge_is_marked_in_both_and_forgotten_when_one_is_made_again(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(tokens=[*GRAVITY[:3], " odd", *GRAVITY[4:]])})
    run(session, engine)
    for slot in (0, 1):
        assert [line[1] for line in lines(session, slot, "part")] == [3]
    engine.scripts["fake:nf4"] = Script()
    session.drop_last(1)
    assert not lines(session, 0, "part") and not lines(session, 1, "user")
    run(session, engine, slots=[1])
    assert not [line for slot in (0, 1) for line in lines(session, slot, "part")]


def test_the_mark_of_one_pane_goes_and_those_of_others_stay(session: Session) -> None:
    session.shown_slots = [0, 1, 2]
    engine = FakeEngine(
        {"fake:nf4": Script(tokens=[*GRAVITY[:3], " odd"]), "fake:int8": Script(tokens=[*GRAVITY[:5], " odd"])}
    )
    run(session, engine)
    assert sorted(line[1] for line in lines(session, 0, "part")) == [3, 5]
    session.drop_last(1)
    assert [line[1] for line in lines(session, 0, "part")] == [5]


def test_another_reference_answer_forgets_every_mark(session: Session) -> None:
    session.shown_slots = [0, 1, 2]
    odd = Script(tokens=[*GRAVITY[:3], " odd"])
    engine = FakeEngine({"fake:nf4": odd, "fake:int8": odd})
    run(session, engine)
    assert len(lines(session, 0, "part")) == 2
    engine.scripts["fake"] = odd
    session.drop_last(0)
    run(session, engine, slots=[0])
    assert not [line for slot in (0, 1, 2) for line in lines(session, slot, "part")]


def test_another_variant_is_another_conversation(session: Session) -> None:
    run(session, FakeEngine())
    session.panes[1].show("fake:int8", catalog.fake_variant("fake:int8"), False)
    assert not session.panes[1].turns and session.panes[0].turns
    assert [line[0] for line in lines(session, 1)] == ["head"]


def test_what_a_cleared_pane_still_receives_is_not_shown(session: Session) -> None:
    engine = holding()
    begin(session, engine)
    until(lambda: lines(session, 0, "tok"))
    session.clear()
    settled(session)
    assert [line[0] for line in lines(session, 0)] == ["head"] and session.last is None
    assert verdict(session)["words"] == compare_session.WORDS["empty"] and runs.count() == 0


def test_an_error_keeps_what_was_written(session: Session) -> None:
    died = EngineDied("It died.", hint="Run again.", log_tail="last words")
    run(session, FakeEngine({"fake:nf4": Script(error=died, error_at=4)}))
    assert text(session, 1) == "Gravity is a fundamental"
    assert last(session, 1, "end", "fail") == ["fail", "It died.", "Run again.", "last words"]
    assert last(session, 0, "end", "fail")[:2] == ["end", "done"]


def test_the_strip_has_a_row_per_variant_and_a_caveat_for_other_settings(session: Session) -> None:
    engine = FakeEngine({name: Script(tokens=["x"] * 40) for name in ("fake", "fake:nf4")})
    assert verdict(session)["words"] == compare_session.WORDS["empty"]
    run(session, engine)
    row = verdict(session)["outcomes"][0]
    assert row["size"] == pytest.approx(110 / 269) and "this prompt only" in row["caveats"]
    session.drop_last(1)
    begin(session, engine, "What is gravity?", [1], sampling=Sampling(seed=5))
    settled(session)
    assert "its settings differ from the reference’s" in verdict(session)["outcomes"][0]["caveats"]
    assert verdict(session, "running")["words"] == compare_session.WORDS["running"]
    assert [row for row in rows(session) if row[1] == "verdict"] == [[-1, "verdict", verdict(session)]], "only the last"


def test_panes_share_the_references_engine_unless_one_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    able = {"fake": ("transformers", "vllm"), "fake:nf4": ("transformers",), "fake:int8": ("transformers", "vllm")}
    monkeypatch.setattr(base, "missing_vllm", lambda: "")
    session = Session()
    session.shown_slots = [0, 1, 2]
    facts = {name: replace(catalog.fake_variant(name), engines=engines) for name, engines in able.items()}
    for slot, name in enumerate(able):
        session.panes[slot].show(name, facts[name], slot == 0)
    session.share_engine()
    assert [session.panes[slot].address for slot in session.shown_slots] == list(able)
    session.panes[0].show("fake@vllm", facts["fake"], True)
    session.share_engine()
    assert [session.panes[slot].address for slot in session.shown_slots] == ["fake@vllm", "fake:nf4", "fake:int8@vllm"]
    assert session.panes[2].label == "int8 · vLLM" and session.panes[2].variant == "fake:int8"
    session.panes[2].show("fake:int8@transformers", facts["fake:int8"], False)
    session.share_engine()
    assert session.panes[2].engine == "transformers"


def test_all_at_once_is_asked_of_the_comparison(session: Session) -> None:
    engine = FakeEngine()
    assert begin(session, engine, at_once=True)
    settled(session)
    assert [asked.at_once for asked in engine.asked] == [True, True]


# Who reads


def test_a_dropped_connection_keeps_a_run_for_fifteen_seconds(session: Session, clock: Clock) -> None:
    engine = holding()
    begin(session, engine)
    reader = session.readers.join()
    until(lambda: text(session, 0) and text(session, 1))
    clock.now += 1000
    session.tick()
    assert len(engine.active) == 2, "while it is read it goes on"
    session.readers.part(reader)
    clock.now += DROPPED_S - 0.1
    session.tick()
    reader = session.readers.join()
    clock.now += DROPPED_S
    session.tick()
    assert session.busy and not lines(session, 0, "end"), "somebody reads again"
    session.readers.part(reader)
    clock.now += DROPPED_S
    settled(session)
    assert not engine.active and last(session, 0, "end")[1] == "stopped"
    (kept,) = runs.search()
    assert runs.get(kept.id).result["panes"][0]["text"] == "Gravity is a", "what was written is stored"
    assert last(session, 1, "measured")[1] == "open" and not engine.forced, "and nothing is measured for nobody"


def test_a_run_that_nobody_reads_from_the_start_ends_too(session: Session, clock: Clock) -> None:
    engine = holding()
    begin(session, engine)
    until(lambda: len(engine.active) == 2)
    clock.now += DROPPED_S
    settled(session)
    assert not engine.active


def test_a_closed_page_ends_a_run_within_two_seconds(session: Session, clock: Clock) -> None:
    assert LEFT_S < 2
    engine = holding()
    begin(session, engine)
    session.readers.join("page")
    until(lambda: len(engine.active) == 2)
    session.readers.leave("page")  # its connection is still open: nobody has noticed
    clock.now += LEFT_S
    settled(session)
    assert not engine.active and last(session, 0, "end")[1] == "stopped"


def test_a_reload_goes_on(session: Session, clock: Clock) -> None:
    engine = holding()
    begin(session, engine)
    before = session.readers.join("page")
    until(lambda: len(engine.active) == 2)
    session.readers.leave("page")
    clock.now += 1
    session.readers.join("reloaded")
    session.readers.part(before)
    clock.now += 100
    session.tick()
    engine.go.set()
    settled(session)
    assert text(session, 0) == "".join(GRAVITY)


def test_another_page_of_the_session_goes_on(session: Session, clock: Clock) -> None:
    engine = holding()
    begin(session, engine)
    session.readers.join("one")
    session.readers.join("two")
    session.readers.leave("one")
    clock.now += 100
    session.tick()
    engine.go.set()
    settled(session)
    assert text(session, 0) == "".join(GRAVITY)


def test_stop_is_at_once(session: Session) -> None:
    engine = holding()
    begin(session, engine)
    until(lambda: len(engine.active) == 2)
    began = time.monotonic()
    session.stop()
    settled(session)
    assert not engine.active and time.monotonic() - began < 2


# Sessions


def test_a_session_belongs_to_who_opened_it() -> None:
    sessions = Sessions()
    owners, theirs = sessions.open(), sessions.open("1.1.1.1")
    assert len(owners.id) == 32 and owners.id != theirs.id
    assert sessions.find(owners.id) is owners and sessions.find(theirs.id, "1.1.1.1") is theirs
    for id, visitor in ((owners.id, "1.1.1.1"), (theirs.id, "2.2.2.2"), (theirs.id, None), ("", None)):
        with pytest.raises(UnknownSession):
            sessions.find(id, visitor)


def test_an_idle_session_goes_for_another_first_of_the_same_visitor() -> None:
    sessions = Sessions()
    owners = [sessions.open().id for _ in range(3)]
    others = [sessions.open("1.1.1.1").id for _ in range(3)]
    for _ in range(150):
        sessions.open("2.2.2.2")
    assert len(sessions) == 3 + 3 + 100, "as many as one visitor may have"
    for n in range(600):
        sessions.open(f"3.3.{n // 200}.{n % 200}")
    assert len(sessions) == 3 + 500, "as many as all visitors may have"
    assert all(sessions.find(id).id == id for id in owners), "the owner's never go for visitors"
    with pytest.raises(UnknownSession):
        sessions.find(others[0], "1.1.1.1")


def test_a_session_that_runs_never_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_session, "MAX_VISITOR_SESSIONS", 2)
    sessions, engine = Sessions(), FakeEngine({"fake": Script(hold_at=1)})
    running = [sessions.open("1.1.1.1") for _ in range(2)]
    for session in running:
        session.panes[0].show("fake", catalog.fake_variant("fake"), True)
        assert begin(session, engine, slots=[0])
    with pytest.raises(TooMany, match="all that are open are running"):
        sessions.open("1.1.1.1")
    engine.go.set()
    for session in running:
        settled(session)
    sessions.open("1.1.1.1")
    with pytest.raises(UnknownSession):
        sessions.find(running[0].id, "1.1.1.1")
    assert sessions.find(running[1].id, "1.1.1.1") is running[1]


def test_what_nobody_used_for_hours_is_closed(clock: Clock) -> None:
    sessions = Sessions(clock)
    mine, theirs, used = sessions.open(), sessions.open("1.1.1.1"), sessions.open("1.1.1.1")
    clock.now += compare_session.VISITOR_IDLE_S - 1
    sessions.find(used.id, "1.1.1.1")
    clock.now += 2
    sessions.open("2.2.2.2")
    assert sessions.find(mine.id) is mine and sessions.find(used.id, "1.1.1.1") is used
    with pytest.raises(UnknownSession):
        sessions.find(theirs.id, "1.1.1.1")
    clock.now += compare_session.IDLE_S + 1
    reader = mine.readers.join()
    sessions.open()
    assert sessions.find(mine.id) is mine, "a page reads it"
    mine.readers.part(reader)


def test_closing_ends_what_runs() -> None:
    sessions, engine = Sessions(), FakeEngine({"fake": Script(hold_at=1)})
    session = sessions.open()
    session.panes[0].show("fake", catalog.fake_variant("fake"), True)
    begin(session, engine, slots=[0])
    until(lambda: engine.active)
    sessions.close_all()
    settled(session)
    assert not engine.active and len(sessions) == 0


# The divergence after a run


def test_after_a_run_the_references_answer_is_forced_through_the_others(session: Session) -> None:
    session.shown_slots = [0, 1, 2]
    engine = FakeEngine({"fake:nf4": Script(tokens=[*GRAVITY[:3], " odd"]), "fake:int8": Script(kld=(0.001,))})
    run(session, engine)
    ((_, key, label, total, shared),) = lines(session, 1, "measure")
    assert key == lines(session, 0, "user")[0][2] and (label, total) == ("BF16", len(GRAVITY))
    assert shared == 4, "the three that are the same, and the one where they diverge"
    positions = [row for line in lines(session, 1, "forced") for row in line[2]]
    assert [row[0] for row in positions[:5]] == list(Script().kld) and len(positions) == len(GRAVITY)
    assert positions[1] == [0.4, False, 0.62, 0.4]
    assert lines(session, 2, "measure")[0][4] == len(GRAVITY), "all of an equal text"
    assert lines(session, 1, "measured")[-1][1:] == [
        "done",
        "Mean KLD 0.31 nats, same top token 58% on BF16’s 12 tokens, this prompt only.",
    ]
    assert not lines(session, 0, "forced")
    found = [row["divergence"] for row in verdict(session)["outcomes"]]
    assert [row["words"] for row in found] == [
        "Mean KLD 0.31 nats, same top token 58%",
        "Mean KLD 0.0010 nats, same top token 100%",
    ]


def test_alternatives_are_told_when_they_are_asked_for(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(tokens=GRAVITY[:2])})
    run(session, engine)
    reference, other = (lines(session, slot, "user")[0][2] for slot in (0, 1))
    told = session.token(other, 1)
    assert told and told["piece"] == " is" and told["top"][0][0] == " is"
    assert told["forced"]["top_reference"] == [[" a", 0.62], [" the", 0.2], ["\n", 0.1]]
    assert (told["forced"]["kld"], told["forced"]["agrees"], told["forced"]["own"]) == (0.4, False, 0.4)
    beyond = session.token(other, 5)
    assert beyond and beyond["piece"] is None and beyond["top"] == [] and beyond["forced"], (
        "the reference goes on there"
    )
    own = session.token(reference, 0)
    assert own and own["forced"] is None
    assert session.token(reference, 12) is None and session.token("nobody", 0) is None


def test_an_older_turn_is_packed_and_tells_the_same(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(tokens=GRAVITY[:2])})
    run(session, engine, "first")
    keys = [lines(session, slot, "user")[0][2] for slot in (0, 1)]
    before = [session.token(key, index) for key in keys for index in range(13)]
    run(session, engine, "second")
    old = session.panes[0].turns[0]
    assert not old.result.tokens and session.panes[0].turns[1].result.tokens
    assert [session.token(key, index) for key in keys for index in range(13)] == before
    assert session.token(keys[0], -1) is None
    assert text(session, 0) == 2 * "".join(GRAVITY), "what is drawn stays"
    engine.prompts.clear()
    run(session, engine, "third")
    contents = [turn["content"] for turn in engine.prompts[-1][1]]  # type: ignore[index]
    assert contents == ["first", "Gravity is", "second", "Gravity is", "third"]
    assert runs.count() == 3


def test_nothing_is_measured_twice(session: Session) -> None:
    engine = FakeEngine()
    run(session, engine)
    before = lines(session, 1)
    assert session.measure(engine)
    settled(session)
    assert lines(session, 1) == before and len(engine.forced) == 1


def test_the_next_run_does_not_wait_and_what_was_measured_stays(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(force_hold_at=3)})
    begin(session, engine)
    until(lambda: len(lines(session, 1, "forced")) == 3)
    began = time.monotonic()
    assert not session.busy and begin(session, engine, "And then?")
    assert time.monotonic() - began < 1
    until(lambda: session.panes[1].turns[-1].result.done)
    first, second = session.panes[1].turns
    assert first.forced.state == "open" and "on the first 3 of BF16’s 12 tokens" in first.forced.words
    assert first.forced.words.endswith("It was stopped.")
    assert second.result.text == "".join(GRAVITY)
    engine.go.set()
    settled(session)
    assert second.forced.state == "done"


def test_stopped_it_can_be_taken_up_again(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(force_hold_at=3)})
    begin(session, engine)
    until(lambda: lines(session, 1, "forced"))
    session.stop(1)
    settled(session)
    assert last(session, 1, "measured")[1] == "open"
    engine.go.set()
    assert session.measure(engine)
    settled(session)
    assert last(session, 1, "measured")[1] == "done"
    assert len(lines(session, 1, "measure")) == 1, "what was found before is forgotten"
    assert len([row for line in lines(session, 1, "forced") for row in line[2]]) == len(GRAVITY)


def test_an_engine_killed_while_it_measures_is_an_error_in_place_and_the_texts_stay(session: Session) -> None:
    died = EngineDied("It died.", hint="Run again.")
    run(session, FakeEngine({"fake:nf4": Script(force_error=died, force_error_at=2)}))
    state, words = last(session, 1, "measured")[1:]
    assert state == "open" and words.endswith("It died. Run again.")
    assert text(session, 0) == text(session, 1) == "".join(GRAVITY)
    assert "over the first 2 tokens" in verdict(session)["outcomes"][0]["divergence"]["words"]


def test_what_cannot_be_measured_says_why_and_asks_no_engine(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(tokenizer_hash="another")})
    run(session, engine)
    assert last(session, 1, "measured")[1] == "blocked" and "Its tokenizer differs" in last(session, 1, "measured")[2]
    assert not engine.forced
    assert verdict(session)["outcomes"][0]["divergence"]["kld"] is None


def test_a_run_that_was_stopped_is_not_measured_by_itself(session: Session) -> None:
    engine = holding()
    begin(session, engine)
    until(lambda: text(session, 0) and text(session, 1))
    session.stop()
    settled(session)
    assert last(session, 1, "measured")[1] == "open" and not engine.forced
    session.measure(engine)
    settled(session)
    assert last(session, 1, "measured")[1] == "done"


def test_another_answer_of_the_reference_forgets_the_divergence_and_another_prompt_has_none(session: Session) -> None:
    engine = FakeEngine()
    run(session, engine)
    session.drop_last(0)
    assert not lines(session, 1, "measure") and text(session, 1) == "".join(GRAVITY)
    run(session, engine, "Something else?", slots=[0])
    assert last(session, 1, "measured") == [
        "measured",
        "blocked",
        "It answered a different prompt from the reference’s.",
    ]


# Visitors who wait


def test_a_visitor_who_waits_sees_his_place_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_PUBLIC_GENERATIONS", "1")
    rules, engine = Rules(Owner("0.0.0.0")), FakeEngine({"fake": Script(hold_at=1)})  # noqa: S104
    rules._lasted_s.append(20)
    opened = [Session() for _ in range(3)]
    for n, session in enumerate(opened):
        session.panes[0].show("fake", catalog.fake_variant("fake"), True)
        visitor = visiting(f"1.1.1.{n}")
        assert session.begin(engine, {0: ask("Hi")}, lambda wait, visitor=visitor: rules.running(visitor, wait))
        until(lambda session=session: len(lines(session, 0, "state")) > 1)
    waiting = [last(session, 0, "state")[1:3] for session in opened[1:]]
    assert waiting == [
        ["waiting", "Waiting: 1 run before yours, about 20 s"],
        ["waiting", "Waiting: 2 runs before yours, about 40 s"],
    ]
    time.sleep(0.6)
    assert len(lines(opened[2], 0, "state")) == 2, "it is said once"
    opened[1].stop()
    settled(opened[1])
    assert last(opened[1], 0, "end")[1] == "stopped" and runs.count() == 0
    until(lambda: last(opened[2], 0, "state")[2].startswith("Waiting: 1 run before"))
    engine.go.set()
    for session in (opened[0], opened[2]):
        settled(session)
        assert text(session, 0) == "".join(GRAVITY)


def visiting(address: str) -> Any:
    from starlette.requests import Request

    return Request({"type": "http", "headers": [], "client": (address, 1), "method": "GET", "path": "/"})
