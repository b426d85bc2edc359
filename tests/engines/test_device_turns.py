"""Who may compute at the same time, and in which order."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from playground.engines.device_turns import DeviceTurns


def test_stepped_generations_share_the_device() -> None:
    turns = DeviceTurns()
    assert turns.ticket(shared=True).enter(0) and turns.ticket(shared=True).enter(0)


def test_a_free_running_one_waits_for_all_and_all_wait_for_it() -> None:
    turns = DeviceTurns()
    first, alone, late = turns.ticket(shared=True), turns.ticket(shared=False), turns.ticket(shared=True)
    assert first.enter(0)
    assert not alone.enter(0)
    assert not late.enter(0), "who came later does not overtake"
    first.leave()
    assert alone.enter(0) and not late.enter(0)
    alone.leave()
    assert late.enter(0)


def test_a_group_overlaps_itself_and_nobody_else() -> None:
    turns = DeviceTurns()
    other, one, two = turns.ticket(shared=True), turns.ticket(False, "a"), turns.ticket(False, "a")
    assert other.enter(0) and not one.enter(0)
    other.leave()
    assert one.enter(0) and two.enter(0)
    stranger = turns.ticket(shared=False, group="b")
    assert not stranger.enter(0)
    one.leave()
    assert not stranger.enter(0)
    two.leave()
    assert stranger.enter(0)


def test_leaving_wakes_the_next_and_may_be_said_twice() -> None:
    turns = DeviceTurns()
    first, second = turns.ticket(shared=False), turns.ticket(shared=False)
    assert first.enter(0)
    entered = threading.Event()
    waiting = threading.Thread(target=lambda: second.enter(10) and entered.set())
    waiting.start()
    first.leave()
    first.leave()
    assert entered.wait(10)
    waiting.join()


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["", "a", "b"])), max_size=8), st.randoms())
def test_whoever_is_inside_may_be_there_together_and_everybody_gets_in(kinds: list, random) -> None:  # type: ignore[no-untyped-def,type-arg]
    turns = DeviceTurns()
    waiting = [turns.ticket(shared, group) for shared, group in kinds]
    while waiting:
        inside = [ticket for ticket in waiting if ticket.enter(0)]
        assert inside, "somebody can always go on"
        assert all(a is b or a.beside(b) for a in inside for b in inside)
        leaver = random.choice(inside)
        leaver.leave()
        waiting.remove(leaver)
