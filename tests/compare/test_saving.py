"""Every comparison of a tab becomes a run when it is over, and the tab says which it shows."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from playground.compare.session import Session
from playground.compare.turns import Ask
from playground.store import database, runs
from playground.web.owner import Owner, Rules
from tests.fakes import catalog
from tests.fakes.engine import GRAVITY, FakeEngine, Script


@pytest.fixture(autouse=True)
def _fake_catalog(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    catalog.install(monkeypatch)


@pytest.fixture
def session() -> Session:
    made = Session()
    for slot, name in enumerate(["fake", "fake:nf4"]):
        made.panes[slot].show(name, catalog.fake_variant(name), slot == 0)
    return made


def ran(session: Session, engine: FakeEngine, *slots: int, prompt: str = "What is gravity?") -> None:
    """One run to its end; what follows it has begun."""
    assert session.begin(engine, dict.fromkeys(slots or session.shown_slots, Ask(prompt)))
    for _ in session.changes():
        assert session.run_id == "", "nothing says that it is saved before it is"
    session.measure(engine)


def finished(session: Session, engine: FakeEngine, *slots: int) -> str:
    ran(session, engine, *slots)
    assert session.run_id == ""
    list(session.run_measurements())
    return session.run_id


def test_it_is_stored_once_it_is_measured(session: Session) -> None:
    run = runs.get(finished(session, FakeEngine()))
    assert [pane["label"] for pane in run.result["panes"]] == ["BF16", "nf4"]
    assert run.settings["divergence"] is True and run.result["forced"][1]["tokens"] == len(GRAVITY)
    session.measure(FakeEngine(), on_request=True)
    list(session.run_measurements())
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
    ran(session, engine)
    measured = session.run_measurements()
    next(measured)
    assert session.begin(engine, dict.fromkeys(session.shown_slots, Ask("And mass?")))
    list(measured)
    (found,) = runs.search()
    forced = runs.get(found.id).result["forced"][1]
    assert forced["tokens"] < forced["total"] == len(GRAVITY) and forced["reason"] == "It was stopped."
    assert session.run_id == "", "that is not what the panes show now"
    session.stop()
    list(session.changes())


def test_nobody_looks_any_more(session: Session) -> None:
    """A tab that is closed while the divergence is measured: what was answered is kept."""
    engine = FakeEngine({"fake:nf4": Script(force_hold_at=2)})
    ran(session, engine)
    measured = session.run_measurements()
    next(measured)
    measured.close()
    assert runs.count() == 1


def test_what_was_stopped_before_its_first_token_is_not_kept(session: Session) -> None:
    engine = FakeEngine({name: Script(hold_at=0) for name in ("fake", "fake:nf4")})
    assert session.begin(engine, dict.fromkeys(session.shown_slots, Ask("Hi")))
    changes = session.changes()
    next(changes)
    session.stop()
    list(changes)
    session.measure(engine)
    list(session.run_measurements())
    assert (session.run_id, session.not_saved, database.exists()) == ("", None, False)


def test_a_store_that_fails_is_said_and_the_panes_stay(session: Session) -> None:
    database.path().mkdir(parents=True)
    assert finished(session, FakeEngine()) == ""
    assert session.not_saved is not None and "not saved" in str(session.not_saved)
    assert session.panes[0].turns[-1].result.text == "".join(GRAVITY)
    database.path().rmdir()
    assert finished(session, FakeEngine()) != "" and session.not_saved is None


def test_what_a_visitor_made_is_shown_and_not_stored_where_there_is_no_room(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Rules(Owner("0.0.0.0"))  # noqa: S104 - a page that others reach
    session.room = partial(rules.check_room, None)
    first = finished(session, FakeEngine())
    monkeypatch.setenv("PLAYGROUND_PUBLIC_DISK_MB", "0")
    assert finished(session, FakeEngine()) == "" and runs.count() == 1 and runs.get(first)
    assert "0 MB" in str(session.not_saved)
