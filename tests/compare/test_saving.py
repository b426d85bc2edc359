"""Every comparison of a session becomes a run when it is over, and the session says which it shows."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from playground.compare.session import Session
from playground.compare.spec import AskSpec
from playground.store import database, runs
from playground.web.owner import Owner, Rules
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine, Script
from tests.fakes.rows import lines, rows, settled, until


@pytest.fixture(autouse=True)
def _fake_catalog(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    catalog.install(monkeypatch)


@pytest.fixture
def session() -> Session:
    made = Session()
    for slot, name in enumerate(["fake", "fake:nf4"]):
        made.panes[slot].show(name, catalog.fake_variant(name), slot == 0)
    return made


def begun(session: Session, engine: FakeEngine, *slots: int, prompt: str = "What is gravity?") -> None:
    assert session.begin(engine, dict.fromkeys(slots or session.shown_slots, AskSpec(prompt=prompt)))
    assert session.run_id == "", "nothing says that it is saved before it is"


def finished(session: Session, engine: FakeEngine, *slots: int) -> str:
    begun(session, engine, *slots)
    settled(session)
    return session.run_id


def test_it_is_stored_once_it_is_measured(session: Session) -> None:
    run = runs.get(finished(session, FakeEngine()))
    assert [pane["label"] for pane in run.result["panes"]] == ["BF16", "nf4"]
    assert run.settings["divergence"] is True and run.result["forced"][1]["tokens"] == len(GRAVITY)
    assert [-1, "run", run.id] in rows(session)
    session.measure(FakeEngine())
    settled(session)
    assert session.run_id == run.id and runs.count() == 1, "nothing new was made or measured"


def test_the_conversation_goes_on_as_another_run(session: Session) -> None:
    first, second = finished(session, FakeEngine()), finished(session, FakeEngine())
    assert first != second and runs.count() == 2
    assert len(runs.get(second).result["prompt"]["messages"]) == 3


def test_one_pane_again_is_the_comparison_that_is_then_shown(session: Session) -> None:
    first = finished(session, FakeEngine())
    session.drop_last(1)
    second = finished(session, FakeEngine({"fake:nf4": Script(tokens=("No", "."))}), 1)
    assert [pane["text"] for pane in runs.get(second).result["panes"]] == ["".join(GRAVITY), "No."]
    assert runs.get(first).result["panes"][1]["text"] == "".join(GRAVITY)


def test_a_run_that_begins_meanwhile_ends_the_measuring_and_loses_nothing(session: Session) -> None:
    engine = FakeEngine({"fake:nf4": Script(force_hold_at=2)})
    begun(session, engine)
    until(lambda: lines(session, 1, "forced"))
    engine.scripts["fake"] = Script(hold_at=1)
    begun(session, engine, prompt="And mass?")
    until(lambda: runs.count() == 1)
    (found,) = runs.search()
    forced = runs.get(found.id).result["forced"][1]
    assert forced["tokens"] < forced["total"] == len(GRAVITY) and forced["reason"] == "It was stopped."
    assert session.run_id == "" and not [row for row in rows(session) if row[1] == "run"], "the panes show another"
    session.stop()
    settled(session)


def test_what_was_stopped_before_its_first_token_is_not_kept(session: Session) -> None:
    engine = FakeEngine({name: Script(hold_at=0) for name in ("fake", "fake:nf4")})
    begun(session, engine)
    until(lambda: len(engine.active) == 2)
    session.stop()
    settled(session)
    assert (session.run_id, session.not_saved, database.exists()) == ("", None, False)


def test_a_store_that_fails_is_said_and_the_panes_stay(session: Session) -> None:
    database.path().mkdir(parents=True)
    assert finished(session, FakeEngine()) == ""
    (notice,) = [row for row in rows(session) if row[1] == "notice"]
    assert "not saved" in str(session.not_saved) and notice[2]["message"] in str(session.not_saved)
    assert session.panes[0].turns[-1].result.text == "".join(GRAVITY)
    database.path().rmdir()
    assert finished(session, FakeEngine()) != "" and session.not_saved is None
    assert [row for row in rows(session) if row[1] == "notice"] == [[-1, "notice", None]]


def test_what_a_visitor_made_is_shown_and_not_stored_where_there_is_no_room(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Rules(Owner("0.0.0.0"))  # noqa: S104 - a page that others reach
    session.room = partial(rules.check_room, None)
    first = finished(session, FakeEngine())
    monkeypatch.setenv("PLAYGROUND_PUBLIC_DISK_MB", "0")
    assert finished(session, FakeEngine()) == "" and runs.count() == 1 and runs.get(first)
    assert "0 MB" in str(session.not_saved)
