"""After a run: the reference's answer is forced through the variants of one tab, and each pane is told what it showed.

It never holds up a run: the next one ends it, and what was measured until then stays.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextvars import copy_context

from playground.compare.forced import ForcedComparison, Side, blocked
from playground.compare.result import diverges_at
from playground.compare.turns import Pane, Turn
from playground.engines.base import Engine

log = logging.getLogger(__name__)
UPDATES_PER_SECOND = 10
HEARTBEAT_S = 0.5
OTHER_PROMPT = "It answered another prompt than the reference."
RUN_STOPPED = "The run was stopped, so the divergence was not measured."
STOPPED = "It was stopped."
FAILED = "Measuring ended unexpectedly. Details are in the log."


class Measuring:
    """One forced text of one tab; iterate over `changes()` once. Guarded by the session's lock.

    panes   the shown panes by slot, the reference first
    wanted  whether the user asked for it; else a run that was stopped is left alone
    """

    def __init__(
        self, engine: Engine, lock: threading.RLock, panes: Sequence[tuple[int, Pane]], wanted: bool = False
    ) -> None:
        self._lock = lock
        self._stopped = False
        self._turns: dict[int, Turn] = {}  # by slot, in the order of the engine's numbers
        self._decided: set[int] = set()  # slots in which there is nothing to measure, and they say why
        self._comparison: ForcedComparison | None = None
        (_, first), *others = panes
        if not first.turns:
            return
        reference = first.turns[-1]
        sides: list[Side] = []
        for slot, pane in others:
            if not pane.turns:
                continue
            turn = pane.turns[-1]
            if turn.forced.of == reference.key and not (wanted and turn.forced.state == "open"):
                continue
            side = Side(turn.address, turn.result)
            turn.force(reference, first.label, _shared(reference, turn))
            why = blocked(_side(reference), side)
            if turn.ask.prompt != reference.ask.prompt:
                why = OTHER_PROMPT
            if why:
                turn.end_forced("blocked", why)
            elif not wanted and reference.result.finish and reference.result.finish.reason == "abort":
                turn.end_forced("open", RUN_STOPPED)
            else:
                self._turns[slot] = turn
                sides.append(side)
                continue
            self._decided.add(slot)
        if sides:
            self._comparison = ForcedComparison(engine, _side(reference), sides)

    def stop(self) -> None:
        """End it; the panes keep what was measured. Safe at any time, more than once."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            self._end(STOPPED)
        if self._comparison:
            # The engine is told over HTTP, and may be busy: nobody who begins a run waits for that.
            threading.Thread(target=self._comparison.stop, name="stop-measuring", daemon=True).start()

    def _end(self, reason: str) -> None:
        for turn in self._turns.values():
            turn.end_forced("open", reason)

    def changes(self) -> Iterator[set[int]]:
        """The slots that changed, ten times a second at most, until it is over. Closing it ends the work."""
        comparison, changed = self._comparison, self._decided | set(self._turns)
        if comparison is None:
            if changed:
                yield changed
            return
        news, over = threading.Condition(self._lock), threading.Event()
        slots = list(self._turns)

        def pump() -> None:
            reason = STOPPED
            try:
                for number, item in comparison.events():
                    with news:
                        if self._stopped:
                            break
                        self._turns[slots[number]].add_forced(item)
                        changed.add(slots[number])
                        news.notify()
            except Exception:
                log.exception("measuring failed")
                reason = FAILED
            finally:
                with news:
                    self._end(reason)
                    over.set()
                    news.notify()

        threading.Thread(target=copy_context().run, args=(pump,), name="measuring", daemon=True).start()
        try:
            while not (over.is_set() or self._stopped):
                with news:
                    news.wait_for(lambda: bool(changed) or over.is_set() or self._stopped, HEARTBEAT_S)
                    now = set(changed)
                    changed.clear()
                yield now
                over.wait(1 / UPDATES_PER_SECOND)
            yield set(slots)
        finally:
            self.stop()


def _side(turn: Turn) -> Side:
    return Side(turn.address, turn.result)


def _shared(reference: Turn, turn: Turn) -> int:
    """How many of the turn's own tokens had the reference's context: up to and with the one where the texts part."""
    first, other = reference.result, turn.result
    if first.prompt is None or other.prompt is None or first.prompt.ids != other.prompt.ids:
        return 0
    split = diverges_at(first, other)
    return split.index + 1 if split else min(len(first.tokens), len(other.tokens))
