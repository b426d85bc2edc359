"""Who may compute at the same time, and in which order."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from playground.engines.router import DeviceTurns


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


def test_who_overlapped_another_is_contended_and_who_was_alone_is_not() -> None:
    turns = DeviceTurns()
    early, first, second, late = (turns.ticket(False, "a") for _ in range(4))
    assert early.enter(0)
    early.leave()
    assert first.enter(0) and not first.contended
    assert second.enter(0)
    first.leave()
    second.leave()
    assert late.enter(0)
    assert [ticket.contended for ticket in (early, first, second, late)] == [False, True, True, False]


def test_stepped_ones_have_clocks_of_their_own_until_a_free_running_one_joins() -> None:
    turns = DeviceTurns()
    one, two, free = turns.ticket(True, "a"), turns.ticket(True, "a"), turns.ticket(False, "a")
    assert one.enter(0) and two.enter(0)
    assert not one.contended and not two.contended
    one.leave()
    assert free.enter(0)
    assert [ticket.contended for ticket in (one, two, free)] == [False, True, True]


def test_a_place_in_the_queue_disturbs_nobody() -> None:
    turns = DeviceTurns()
    inside, waiting = turns.ticket(shared=False), turns.ticket(shared=False)
    assert inside.enter(0) and not waiting.enter(0)
    assert not inside.contended and not waiting.contended


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["", "a", "b"])), max_size=8), st.randoms())
def test_whoever_is_inside_may_be_there_together_and_everybody_gets_in(kinds: list, random) -> None:  # type: ignore[no-untyped-def,type-arg]
    turns = DeviceTurns()
    tickets = [turns.ticket(shared, group) for shared, group in kinds]
    waiting, disturbed = list(tickets), set()
    while waiting:
        inside = [ticket for ticket in waiting if ticket.enter(0)]
        assert inside, "somebody can always go on"
        assert all(a is b or a.beside(b) for a in inside for b in inside)
        disturbed |= {a for a in inside for b in inside if a is not b and not (a.shared and b.shared)}
        leaver = random.choice(inside)
        leaver.leave()
        waiting.remove(leaver)
    assert {ticket for ticket in tickets if ticket.contended} == disturbed
