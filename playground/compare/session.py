"""The server's state of one browser tab: its panes, their conversations, and the comparison that runs.

After a comparison the reference's answer is forced through the tab's other variants. The next run ends that
measurement, and what was measured by then stays. The panes are then stored as a run.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, replace

from playground.compare import encode, outcome
from playground.compare.answer import Answer, ForcedAnswer
from playground.compare.forced import ForcedComparison, blocked
from playground.compare.outcome import diverges_at, shared_tokens
from playground.compare.run import Comparison
from playground.compare.stored import Compared
from playground.compare.turns import Ask, Pane, Turn
from playground.core import Variant
from playground.engines import base
from playground.engines.base import Engine
from playground.errors import EngineError, PlaygroundError, TooMany
from playground.models.address import Address
from playground.store import runs
from playground.store.schema import Run
from playground.web.values import inert

log = logging.getLogger(__name__)

MAX_PANES = 4
MIN_PANES = 2
UPDATES_PER_SECOND = 20
HEARTBEAT_S = 0.5
MAX_SESSIONS = 500  # of the owner, and of all visitors
MAX_VISITOR_SESSIONS = 100  # of one visitor; several people may come from one address
WORDS = {
    "empty": "The verdict appears here: what the variant gains in size, memory and speed, and where the texts part.",
    "running": "Running. The verdict follows when every pane is done.",
    "none": "No verdict: it needs an answer of the reference and of at least one variant.",
}
MEASURES_PER_SECOND = 10
OTHER_PROMPT = "It answered another prompt than the reference."
RUN_STOPPED = "The run was stopped, so the divergence was not measured."
STOPPED = "It was stopped."
FAILED = "Measuring ended unexpectedly. Details are in the log."


class Session:
    """One browser tab. `lock` guards what the comparison's thread and the event handlers share.

    opener  the key of the visitor who opened it (`web.owner.Rules.visitor`); None: the owner
    """

    def __init__(self, opener: str | None = None) -> None:
        self.opener = opener
        self.lock = threading.RLock()
        self.panes = [Pane() for _ in range(MAX_PANES)]
        self.shown_slots = list(range(MIN_PANES))
        self.last: Ask | None = None
        self.model = ""
        self.choices: list[Variant] = []  # the model's variants, its reference first
        self._comparison: Comparison | None = None
        self._unwatched: Comparison | None = None  # begun; no caller iterates over its changes yet
        self._slots: list[int] = []
        self._streams = 0  # of runs and measurements that a client receives
        self._measuring: Measuring | None = None
        self._unmeasured: list[tuple[Measuring, Snapshot]] = []  # begun; no caller iterates over its changes yet
        self._saved = Saved()
        self.room: Callable[[], None] = lambda: None  # raises where a visitor's run may not be stored

    @property
    def origin(self) -> str:
        return self.choices[0].source if self.choices else ""

    @property
    def busy(self) -> bool:
        return self._comparison is not None

    @property
    def followed(self) -> bool:
        """Whether a client receives a run or a measurement. One that has only begun does not count."""
        return self._streams > 0

    @property
    def run_id(self) -> str:
        """The id of the stored run of what the panes show now; "" where that is not stored (yet)."""
        with self.lock:
            snapshot = Snapshot.of([self.panes[slot] for slot in self.shown_slots])
            return self._saved.id if self._saved.snapshot == snapshot else ""

    @property
    def not_saved(self) -> PlaygroundError | None:
        """Why what the panes show could not be stored."""
        return self._saved.error

    def stop(self, slot: int | None = None) -> None:
        with self.lock:
            comparison, slots, measuring = self._comparison, self._slots, self._measuring
        if comparison and slot is None:
            comparison.stop()
        elif comparison and slot in slots:
            comparison.stop(slots.index(slot))
        if measuring:
            measuring.stop()

    def refuse(self, error: PlaygroundError) -> None:
        """End the run that has begun before it reaches an engine; its panes show `error`."""
        with self.lock:
            if self._unwatched is None:
                return
            for slot in self._slots:
                self.panes[slot].turns[-1].add(error)
            self._comparison, self._unwatched, self._slots = None, None, []

    def drop_last(self, slot: int) -> None:
        """Remove a pane's last turn, which is about to be generated again."""
        with self.lock:
            if self.panes[slot].turns:
                self._forget_splits(slot)
                self.panes[slot].turns.pop()
            for other in self.shown_slots if slot == self.shown_slots[0] else ():
                if self.panes[other].turns:
                    self.panes[other].turns[-1].forget_forced()

    def share_engine(self) -> None:
        """Run panes without a chosen engine on the reference's, where it can run them."""
        panes = [self.panes[slot] for slot in self.shown_slots]
        chosen = [Address.parse(pane.variant).engine for pane in panes]
        for pane, name in zip(panes, base.common([pane.facts for pane in panes], chosen), strict=True):
            if name != pane.engine:
                pane.run_on(name)

    def begin(self, engine: Engine, asks: Mapping[int, Ask]) -> bool:
        """Start a turn in each of these slots. False while another run of this tab is in progress."""
        with self.lock:
            if self.busy or not asks:
                return False
            if self._measuring:
                self._measuring.stop()
            requests = [self.panes[slot].request(ask) for slot, ask in asks.items()]
            for (slot, ask), request in zip(asks.items(), requests, strict=True):
                self._forget_splits(slot)
                pane = self.panes[slot]
                pane.turns.append(Turn(ask, pane.variant, pane.address, request.source))
            self._slots = list(asks)
            # All asks share their settings: it is one prompt in all panes, or one pane alone.
            first = next(iter(asks.values()))
            self._comparison = Comparison(engine, requests, first.sampling, first.at_once)
            self._unwatched = self._comparison
            return True

    def _forget_splits(self, slot: int) -> None:
        for other in self.shown_slots:
            if self.panes[other].turns and (slot == self.shown_slots[0] or other == self.shown_slots[0]):
                turn = self.panes[other].turns[-1]
                turn.forget_split(slot if other == self.shown_slots[0] else self.shown_slots[0])

    def measure(self, engine: Engine, on_request: bool = False) -> None:
        """Prepare to force the reference's last answer through the variants; `run_measurements` does the work."""
        with self.lock:
            if self.busy:
                return
            if self._measuring:
                self._measuring.stop()
            panes = [(slot, self.panes[slot]) for slot in self.shown_slots]
            self._measuring = Measuring(engine, self.lock, panes, on_request)
            self._unmeasured.append((self._measuring, Snapshot.of([pane for _, pane in panes])))

    def run_measurements(self) -> Iterator[set[int]]:
        """Run the measurements that have begun, and yield the slots that changed; nothing where there is none.

        Then stores the comparison, also where the client has closed the stream.
        """
        with self.lock:
            measurings, self._unmeasured = self._unmeasured, []
            self._streams += 1
        try:
            for measuring, _ in measurings:
                yield from measuring.changes()
        finally:
            for measuring, snapshot in measurings:
                measuring.stop()
                self._save(snapshot)
            with self.lock:
                self._streams -= 1

    def _save(self, snapshot: Snapshot) -> None:
        """Store the panes as a run, unless they already are one."""
        with self.lock:
            if snapshot == self._saved.snapshot and self._saved.id:
                return

        def build() -> Run | None:
            self.room()
            return snapshot.run()

        kept = runs.keep(build)
        with self.lock:
            self._saved = Saved(snapshot, kept.id, kept.error)

    def changes(self) -> Iterator[set[int]]:
        """Yield the slots that changed, at most twenty times a second, until the run ends. Closing it ends the run."""
        with self.lock:
            comparison, slots, self._unwatched = self._unwatched, self._slots, None
            if comparison is None:
                return
            # The turns themselves: a cleared pane may have another last turn while this run winds down.
            turns = {slot: self.panes[slot].turns[-1] for slot in slots}
            self._streams += 1
        changed: set[int] = set(slots)
        condition, ended = threading.Condition(self.lock), threading.Event()

        def pump() -> None:
            try:
                for event in comparison.events():
                    with condition:
                        turns[slots[event.pane]].add(event.item)
                        changed.add(slots[event.pane])
                        condition.notify()
            except Exception:
                log.exception("the comparison failed")
                with condition:
                    _fail_unfinished(turns.values())
            finally:
                with condition:
                    ended.set()
                    condition.notify()

        threading.Thread(target=copy_context().run, args=(pump,), name="session", daemon=True).start()
        try:
            while not ended.is_set():
                with condition:
                    condition.wait_for(lambda: bool(changed) or ended.is_set(), HEARTBEAT_S)
                    changed.update(self._mark_splits(set(slots)))
                    for slot in changed & turns.keys():
                        turns[slot].flush()
                    batch = set(changed)
                    changed.clear()
                yield batch
                ended.wait(1 / UPDATES_PER_SECOND)
            with self.lock:
                last = set(slots) | self._mark_splits(set(slots))
            yield last
        finally:
            comparison.stop()
            with self.lock:
                self._streams -= 1
                if self._comparison is comparison:
                    self._comparison, self._slots = None, []

    def _mark_splits(self, running: set[int]) -> set[int]:
        """Mark the first differing token in both panes as soon as it arrives. Returns the slots that were marked."""
        first, *others = self.shown_slots
        if not self.panes[first].turns:
            return set()
        reference, marked = self.panes[first].turns[-1], set()
        for slot in others:
            pane = self.panes[slot]
            if not pane.turns or not running & {slot, first} or pane.turns[-1].has_split(first):
                continue
            turn = pane.turns[-1]
            if split := diverges_at(reference.result, turn.result):
                labels = pane.label, self.panes[first].label
                turn.mark_split(first, encode.part(split, *labels, reference=False))
                reference.mark_split(slot, encode.part(split, *labels, reference=True))
                marked |= {slot, first}
        return marked


def _fail_unfinished(turns: Iterable[Turn]) -> None:
    for turn in turns:
        if not turn.result.done:
            turn.add(EngineError("The run ended unexpectedly.", hint="Details are in the log; run it again."))


class Sessions:
    """Every open tab by its session hash, the least recently used first.

    A session belongs to its opener: a visitor who knows the owner's hash gets a tab of their own. At the limit an idle
    session is closed: one of the same opener first, then one of another visitor. A visitor never closes the owner's,
    and a running one is never closed.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, bool], Session] = OrderedDict()  # by hash, and whether it is the owner's
        self._lock = threading.Lock()

    def get(self, key: str | None, visitor: str | None = None) -> Session:
        """The session of a tab; created if there is none. Raises TooMany where the limit is reached and none is idle.

        visitor  the key of the visitor who sends the request; None: the owner
        """
        closed, place = None, (key or "", visitor is None)
        with self._lock:
            session = self._open.get(place)
            if session is None:
                closed = self._make_room(visitor)
                session = self._open[place] = Session(visitor)
            self._open.move_to_end(place)
        if closed:
            closed.stop()
        return session

    def _make_room(self, visitor: str | None) -> Session | None:
        """Remove and return an idle session if there are too many. Raises TooMany if none that may go is idle."""
        own_tabs = [key for key, session in self._open.items() if session.opener == visitor]
        other_visitors = [key for key, session in self._open.items() if session.opener not in (visitor, None)]
        if visitor is None:
            candidates = own_tabs if len(own_tabs) >= MAX_SESSIONS else []
        elif len(own_tabs) >= MAX_VISITOR_SESSIONS:
            candidates = own_tabs
        else:
            candidates = own_tabs + other_visitors if len(own_tabs) + len(other_visitors) >= MAX_SESSIONS else []
        if not candidates:
            return None
        idle = [key for key in candidates if not self._open[key].followed]
        if not idle:
            raise TooMany("There is no room for another tab: all that are open are running.", hint="Try again later.")
        return self._open.pop(idle[0])

    def close(self, key: str | None, visitor: str | None = None) -> None:
        """Forget a tab and stop what it runs. `visitor` as in `get`."""
        with self._lock:
            session = self._open.pop((key or "", visitor is None), None)
        if session:
            session.stop()

    def close_all(self) -> None:
        with self._lock:
            sessions = list(self._open.values())
            self._open.clear()
        for session in sessions:
            session.stop()

    def __len__(self) -> int:
        return len(self._open)


# The comparison as a run.


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The labels, last turns and forced answers of a tab's panes, the reference first.

    Two snapshots are equal until a turn or a measurement is new: both are compared by identity.
    """

    labels: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    forced: tuple[ForcedAnswer | None, ...] = ()

    @classmethod
    def of(cls, panes: Sequence[Pane]) -> Snapshot:
        """Of the panes whose last turn has the reference's prompt."""
        if not panes or not panes[0].turns:
            return cls()
        ask = panes[0].turns[-1].ask
        answered = [pane for pane in panes if pane.turns and _prompt(pane) == (ask.prompt, ask.system, ask.raw)]
        turns = tuple(pane.turns[-1] for pane in answered)
        return cls(tuple(pane.label for pane in answered), turns, tuple(turn.forced.result for turn in turns))

    def run(self) -> Run | None:
        """None where there is nothing to keep."""
        if not self.turns:
            return None
        rows = zip(self.turns, self.labels, self.forced, strict=True)
        answers = tuple(replace(turn.result, label=label, forced=forced) for turn, label, forced in rows)
        return Compared(answers, self.turns[0].ask.at_once, any(self.forced)).run()


@dataclass(frozen=True, slots=True)
class Saved:
    """The last snapshot stored: its run's id, or the error."""

    snapshot: Snapshot = Snapshot()
    id: str = ""
    error: PlaygroundError | None = None


def _prompt(pane: Pane) -> tuple[str, str, bool]:
    ask = pane.turns[-1].ask
    return ask.prompt, ask.system, ask.raw


# The verdict strip: the outcome of each variant's last answer against the reference's.


def value(session: Session, state: str = "none") -> str:
    """The strip's value as JSON: outcomes of the panes' last turns, or a sentence where there are none."""
    with session.lock:
        turns = [session.panes[slot].turns[-1] if session.panes[slot].turns else None for slot in session.shown_slots]
    if turns[0] is None or state == "running":
        return inert({"words": WORDS["running" if state == "running" else "empty"]})
    answered = [turn for turn in turns if turn]
    rows = [
        outcome.strip_row(verdict.as_row(number), _divergence(answered[0], answered[number]))
        for number, verdict in outcome.outcomes([turn.result for turn in answered])
    ]
    return inert({"outcomes": rows, "words": WORDS["none"], "run": session.run_id})


def _divergence(reference: Turn, turn: Turn) -> dict[str, object] | None:
    """Mean KLD and top-1 agreement on the reference's answer, in words and figures; None where it was not measured."""
    forced = turn.forced
    if forced.of != reference.key or forced.result is None:
        return None
    if forced.state == "measuring":
        return {"words": "Measuring the divergence", "kld": None, "agreement": None}
    return forced.result.short()


# Measuring after a run.


class Measuring:
    """Forces one tab's reference answer through its variants. Iterate over `changes()` once.

    lock        the session's
    panes       the shown panes by slot, the reference first
    on_request  whether the user requested it; else a run that was stopped is not measured
    """

    def __init__(
        self, engine: Engine, lock: threading.RLock, panes: Sequence[tuple[int, Pane]], on_request: bool = False
    ) -> None:
        self._lock = lock
        self._stopped = False
        self._turns: dict[int, Turn] = {}  # by slot, in the order of the engine's numbers
        self._decided: set[int] = set()  # slots that cannot be measured; their turns say why
        self._comparison: ForcedComparison | None = None
        (_, first), *others = panes
        if not first.turns:
            return
        reference = first.turns[-1]
        answers: list[Answer] = []
        for slot, pane in others:
            if not pane.turns:
                continue
            turn = pane.turns[-1]
            if turn.forced.of == reference.key and not (on_request and turn.forced.state == "open"):
                continue
            turn.force(reference, first.label, shared_tokens(reference.result, turn.result))
            reason = blocked(reference.result, turn.result)
            if turn.ask.prompt != reference.ask.prompt:
                reason = OTHER_PROMPT
            if reason:
                turn.end_forced("blocked", reason)
            elif not on_request and reference.result.finish and reference.result.finish.reason == "abort":
                turn.end_forced("open", RUN_STOPPED)
            else:
                self._turns[slot] = turn
                answers.append(turn.result)
                continue
            self._decided.add(slot)
        if answers:
            self._comparison = ForcedComparison(engine, reference.result, answers)

    def stop(self) -> None:
        """End the measurement; the panes keep what was measured. Safe at any time, more than once."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            self._end(STOPPED)
        if self._comparison:
            # The abort is an HTTP request to an engine that may be busy; a new run must not wait for it.
            threading.Thread(target=self._comparison.stop, name="stop-measuring", daemon=True).start()

    def _end(self, reason: str) -> None:
        for turn in self._turns.values():
            turn.end_forced("open", reason)

    def changes(self) -> Iterator[set[int]]:
        """Yield the slots that changed, at most ten times a second, until it ends. Closing it ends the measurement."""
        comparison, changed = self._comparison, self._decided | set(self._turns)
        if comparison is None:
            if changed:
                yield changed
            return
        condition, ended = threading.Condition(self._lock), threading.Event()
        slots = list(self._turns)

        def pump() -> None:
            reason = STOPPED
            try:
                for number, item in comparison.events():
                    with condition:
                        if self._stopped:
                            break
                        self._turns[slots[number]].add_forced(item)
                        changed.add(slots[number])
                        condition.notify()
            except Exception:
                log.exception("measuring failed")
                reason = FAILED
            finally:
                with condition:
                    self._end(reason)
                    ended.set()
                    condition.notify()

        threading.Thread(target=copy_context().run, args=(pump,), name="measuring", daemon=True).start()
        try:
            while not (ended.is_set() or self._stopped):
                with condition:
                    condition.wait_for(lambda: bool(changed) or ended.is_set() or self._stopped, HEARTBEAT_S)
                    batch = set(changed)
                    changed.clear()
                yield batch
                ended.wait(1 / MEASURES_PER_SECOND)
            yield set(slots)
        finally:
            self.stop()
