"""The server's state of one conversation: its panes, the comparison that runs, and the rows that pages read.

A comparison belongs to its session and not to a request: it goes on while a page reloads, and ends 15 s after nobody
reads any more. After it the reference's answer is forced through the session's other variants. The next run ends that
measurement, and what was measured by then stays. The panes are then stored as a run.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from playground.compare import encode, outcome
from playground.compare.answer import Answer, ForcedAnswer
from playground.compare.forced import ForcedComparison, blocked
from playground.compare.outcome import diverges_at, shared_tokens
from playground.compare.run import Comparison
from playground.compare.spec import AskSpec
from playground.compare.stored import Compared
from playground.compare.turns import Pane, Turn
from playground.core import Finish, Variant
from playground.engines import base
from playground.engines.base import Engine
from playground.errors import Cancelled, EngineError, PlaygroundError, TooMany, UnknownSession
from playground.models.address import Address
from playground.store import runs
from playground.store.schema import Run
from playground.web.stream import Clock, Readers, Rows

log = logging.getLogger(__name__)

MAX_PANES = 4
MIN_PANES = 2
TAB = -1  # the slot of rows that are about the whole session
TICK_S = 0.05
MAX_SESSIONS = 500  # of the owner, and of all visitors
MAX_VISITOR_SESSIONS = 100  # of one visitor; several people may come from one address
IDLE_S, VISITOR_IDLE_S = 12 * 3600.0, 3600.0  # after which a session that nobody reads may be closed
WORDS = {
    "empty": "The verdict appears here: gains in size, memory and speed, and where the answers diverge.",
    "running": "Running. The verdict appears once every pane is done.",
    "none": "No verdict: it needs an answer from the reference and from at least one variant.",
}
OTHER_PROMPT = "It answered a different prompt from the reference’s."
RUN_STOPPED = "The run was stopped, so the divergence was not measured."
STOPPED = "It was stopped."
FAILED = "The measurement ended unexpectedly. Details are in the log."

# Called with the number of runs that must end first and about how many seconds that takes, None where nothing is known.
# Returns whether to wait on.
Wait = Callable[[int, float | None], bool]
# Lets a run begin once there is room; yields why it may not.
Admission = Callable[[Wait], AbstractContextManager[PlaygroundError | None]]


def admitted(_: Wait) -> AbstractContextManager[PlaygroundError | None]:
    """Let a run begin at once, as the owner's."""
    return nullcontext()


class Session:
    """One conversation. `lock` guards what the comparison's thread and the requests share.

    opener  the key of the visitor who opened it (`web.owner.Rules.visitor`); None: the owner
    room    raises where a visitor's run may not be stored
    """

    def __init__(self, id: str = "", opener: str | None = None, clock: Clock = time.monotonic) -> None:
        self.id, self.opener = id, opener
        self.lock = threading.RLock()
        self.rows, self.readers = Rows(), Readers(clock)
        self.panes = [Pane(slot, self.rows) for slot in range(MAX_PANES)]
        self.shown_slots = list(range(MIN_PANES))
        self.last: AskSpec | None = None
        self.model = ""
        self.choices: list[Variant] = []  # the model's variants, its reference first
        self.room: Callable[[], None] = lambda: None
        self._comparison: Comparison | None = None
        self._slots: list[int] = []
        self._running: list[Turn] = []
        self._measuring: Measuring | None = None
        self._abandoned = False  # nobody read what has ended or is ending
        self._workers = 0
        self._ticking = False
        self._notice: PlaygroundError | None = None
        self._saved = Saved()

    @property
    def origin(self) -> str:
        return self.choices[0].source if self.choices else ""

    @property
    def busy(self) -> bool:
        """Whether answers are being written."""
        return self._comparison is not None

    @property
    def working(self) -> bool:
        """Whether anything runs: answers, a measurement, or what stores them."""
        return self._workers > 0

    @property
    def run_id(self) -> str:
        """The id of the stored run of what the panes show now; "" where that is not stored (yet)."""
        with self.lock:
            return self._saved.id if self._saved.snapshot == self._snapshot() else ""

    @property
    def not_saved(self) -> PlaygroundError | None:
        """Why what the panes show could not be stored."""
        return self._saved.error

    # ---- what is shown
    def share_engine(self) -> None:
        """Run panes without a chosen engine on the reference's, where it can run them."""
        panes = [self.panes[slot] for slot in self.shown_slots]
        chosen = [Address.parse(pane.variant).engine for pane in panes]
        for pane, name in zip(panes, base.common([pane.facts for pane in panes], chosen), strict=True):
            if name != pane.engine:
                pane.run_on(name)

    def clear(self) -> None:
        """Stop, and empty every pane."""
        with self.lock:
            self.stop()
            self.last = None
            for pane in self.panes:
                pane.clear()
            self.notice(None)
            self.show_verdict()

    def drop_last(self, slot: int) -> None:
        """Remove a pane's last turn, which is about to be generated again."""
        with self.lock:
            pane, first = self.panes[slot], self.shown_slots[0]
            if not pane.turns:
                return
            pane.drop_last()
            for other in self.shown_slots if slot == first else [first]:
                if other != slot and self.panes[other].turns:
                    self.panes[other].turns[-1].forget_split(slot)
            for other in self.shown_slots if slot == first else ():
                if self.panes[other].turns:
                    self.panes[other].turns[-1].forget_forced()

    def token(self, key: str, index: int) -> dict[str, Any] | None:
        """The alternatives of one token of the turn `key`; None if there is none."""
        with self.lock:
            turn = self.turn(key)
            return turn.token(index) if turn else None

    def turn(self, key: str) -> Turn | None:
        return next((turn for pane in self.panes for turn in pane.turns if turn.key == key), None)

    def show_verdict(self, state: str = "none") -> None:
        """Write the strip under the panes; `state` "running" while answers are written."""
        self._tell("verdict", verdict(self, state))

    def notice(self, error: PlaygroundError | None) -> None:
        """Show what went wrong outside of the panes; None: nothing any more."""
        if error is not self._notice:
            self._notice = error
            self._tell("notice", error and {"code": error.code, "message": error.message, "hint": error.hint})

    def settle(self) -> None:
        """Where nothing runs, end the rows with `idle`."""
        with self.lock:
            if not self.working and not self.rows.ends_with("idle"):
                self._tell("idle")

    def _tell(self, kind: str, *values: Any) -> None:
        """A row about the session. Of each kind only the last one counts."""
        self.rows.append([TAB, kind, *values], kind, restart=True)

    # ---- running
    def begin(self, engine: Engine, asks: Mapping[int, AskSpec], admission: Admission = admitted) -> bool:
        """Start a turn in each of these slots. False while another run of this session is in progress."""
        with self.lock:
            if self.busy or not asks:
                return False
            if self._measuring:
                self._measuring.stop()
            requests = [self.panes[slot].request(ask) for slot, ask in asks.items()]
            self._running = [
                self.panes[slot].begin(ask, request.source)
                for (slot, ask), request in zip(asks.items(), requests, strict=True)
            ]
            # All asks share their settings: it is one prompt in all panes, or one pane alone.
            first = next(iter(asks.values()))
            self._comparison = Comparison(engine, requests, first.sampling, first.at_once)
            self._slots = list(asks)
            self.notice(None)
            self.show_verdict("running")
            self._start(partial(self._run, engine, self._comparison, self._running, admission))
            return True

    def measure(self, engine: Engine) -> bool:
        """Measure the divergence that was left open. False while a run is in progress."""
        with self.lock:
            if self.busy:
                return False
            self._start(partial(self._conclude, *self._next(engine, on_request=True)))
            return True

    def stop(self, slot: int | None = None) -> None:
        """End one pane, or everything. A measurement ends with either."""
        with self.lock:
            comparison, slots, measuring = self._comparison, self._slots, self._measuring
        if comparison and slot is None:
            comparison.stop()
        elif comparison and slot in slots:
            comparison.stop(slots.index(slot))
        if measuring:
            measuring.stop()

    def tick(self) -> None:
        """What happens by the clock while something runs: figures, marks, and the end of what nobody reads."""
        with self.lock:
            for turn in self._running:
                turn.flush()
            self._mark_splits()
            leave = self.readers.abandoned and not self._abandoned
            self._abandoned = self._abandoned or leave
        if leave:
            self.stop()

    def _start(self, work: Callable[[], None]) -> None:
        self._workers += 1
        self._abandoned = False
        self.rows.drop("idle")
        self.readers.renew()
        if not self._ticking:
            self._ticking = True
            threading.Thread(target=self._tick, name="session clock", daemon=True).start()
        # A ZeroGPU Space charges the visitor found in the context.
        threading.Thread(target=copy_context().run, args=(self._work, work), name="session", daemon=True).start()

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            log.exception("a run of the page failed")
        finally:
            with self.lock:
                if self._workers == 1:
                    self._tell("idle")  # while it still counts as working: a stream stops reading once nothing does
                self._workers -= 1

    def _tick(self) -> None:
        while True:
            with self.lock:
                if not self.working:
                    self._ticking = False
                    return
            self.tick()
            time.sleep(TICK_S)

    def _run(self, engine: Engine, comparison: Comparison, turns: Sequence[Turn], admission: Admission) -> None:
        """Receive one comparison to its end, then measure and store it."""
        try:
            with admission(partial(self._wait, comparison, turns)) as refused:
                if refused is None:
                    for event in comparison.events():
                        with self.lock:
                            turns[event.pane].add(event.item)
                else:
                    with self.lock:
                        for turn in turns:
                            turn.add(Finish("abort", 0, 0) if isinstance(refused, Cancelled) else refused)
        except Exception:
            log.exception("the comparison failed")
            with self.lock:
                _fail_unfinished(turns)
        with self.lock:
            self._mark_splits()
            self._comparison, self._slots, self._running = None, [], []
            following = self._next(engine)
        self._conclude(*following)

    def _wait(self, comparison: Comparison, turns: Sequence[Turn], runs_before: int, seconds: float | None) -> bool:
        """Tell the panes that others come first; return whether to wait on."""
        words = f"Waiting: {runs_before} run{'' if runs_before == 1 else 's'} before yours"
        with self.lock:
            for turn in turns:
                turn.wait(words + (f", about {seconds:.0f} s" if seconds else ""))
        return not comparison.stopped

    def _mark_splits(self) -> None:
        """Mark the first differing token in both panes as soon as it arrives."""
        first, *others = self.shown_slots
        if not self.panes[first].turns:
            return
        reference = self.panes[first].turns[-1]
        for slot in others:
            pane = self.panes[slot]
            if not pane.turns or not {slot, first} & set(self._slots) or pane.turns[-1].has_split(first):
                continue
            turn = pane.turns[-1]
            if split := diverges_at(reference.result, turn.result):
                labels = pane.label, self.panes[first].label
                turn.mark_split(first, encode.part(split, *labels, reference=False))
                reference.mark_split(slot, encode.part(split, *labels, reference=True))

    # ---- after a run
    def _snapshot(self) -> Snapshot:
        return Snapshot.of([self.panes[slot] for slot in self.shown_slots])

    def _next(self, engine: Engine, on_request: bool = False) -> tuple[Measuring, Snapshot]:
        """Prepare to force the reference's last answer through the variants, and keep what is to be stored."""
        if self._measuring:
            self._measuring.stop()
        panes = [self.panes[slot] for slot in self.shown_slots]
        self._measuring = Measuring(engine, self.lock, panes, on_request)
        if self._abandoned:
            self._measuring.stop()
        self.show_verdict()
        return self._measuring, self._snapshot()

    def _conclude(self, measuring: Measuring, snapshot: Snapshot) -> None:
        """Measure, then store the panes as a run, unless they already are one."""
        measuring.run()
        with self.lock:
            stored = snapshot == self._saved.snapshot and bool(self._saved.id)
        if not stored:

            def build() -> Run | None:
                self.room()
                return snapshot.run()

            kept = runs.keep(build)
            with self.lock:
                self._saved = Saved(snapshot, kept.id, kept.error)
                self.notice(kept.error)
        with self.lock:
            if not self.busy:
                self.show_verdict()
                if run_id := self.run_id:
                    self._tell("run", run_id)
            if self._workers == 1:  # nobody else has something to store
                for pane in self.panes:
                    for turn in pane.turns[:-1]:
                        turn.archive()


def _fail_unfinished(turns: Iterable[Turn]) -> None:
    for turn in turns:
        if not turn.result.done:
            turn.add(EngineError("The run ended unexpectedly.", hint="Details are in the log; run it again."))


class Sessions:
    """Every session by its id, the least recently used first.

    A session belongs to its opener: for everybody else it does not exist. At the limit an idle session is closed: one
    of the same opener first, then one of another visitor. A visitor never closes the owner's, and a running one is
    never closed.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._used_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def find(self, id: str, visitor: str | None = None) -> Session:
        """Return a session. Raises UnknownSession unless `visitor` (None: the owner) has opened it."""
        with self._lock:
            session = self._open.get(id)
            if session is None or session.opener != visitor:
                raise UnknownSession("This session is over.", hint="Reload the page to begin a new one.")
            self._open.move_to_end(id)
            self._used_at[id] = self._clock()
            return session

    def open(self, visitor: str | None = None) -> Session:
        """Return a new session. Raises TooMany where the limit is reached and none is idle."""
        with self._lock:
            self._forget_idle()
            closed = self._make_room(visitor)
            session = Session(secrets.token_hex(16), visitor, self._clock)
            self._open[session.id] = session
            self._used_at[session.id] = self._clock()
        if closed:
            closed.stop()
        return session

    def _forget_idle(self) -> None:
        now = self._clock()
        for id, session in list(self._open.items()):
            limit = IDLE_S if session.opener is None else VISITOR_IDLE_S
            if now - self._used_at[id] > limit and not session.working and not len(session.readers):
                self._close(id)

    def _close(self, id: str) -> Session:
        del self._used_at[id]
        return self._open.pop(id)

    def _make_room(self, visitor: str | None) -> Session | None:
        """Remove and return an idle session if there are too many. Raises TooMany if none that may go is idle."""
        own = [key for key, session in self._open.items() if session.opener == visitor]
        other_visitors = [key for key, session in self._open.items() if session.opener not in (visitor, None)]
        if visitor is None:
            candidates = own if len(own) >= MAX_SESSIONS else []
        elif len(own) >= MAX_VISITOR_SESSIONS:
            candidates = own
        else:
            candidates = own + other_visitors if len(own) + len(other_visitors) >= MAX_SESSIONS else []
        if not candidates:
            return None
        idle = [key for key in candidates if not self._open[key].working]
        if not idle:
            raise TooMany("There is no room for another page: all that are open are running.", hint="Try again later.")
        return self._close(idle[0])

    def close_all(self) -> None:
        with self._lock:
            sessions = list(self._open.values())
            self._open.clear()
            self._used_at.clear()
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


def verdict(session: Session, state: str = "none") -> dict[str, Any]:
    """The strip: outcomes of the panes' last turns, or a sentence where there are none."""
    with session.lock:
        turns = [session.panes[slot].turns[-1] if session.panes[slot].turns else None for slot in session.shown_slots]
    if turns[0] is None or state == "running":
        return {"outcomes": [], "words": WORDS["running" if state == "running" else "empty"], "run": ""}
    answered = [turn for turn in turns if turn]
    rows = [
        outcome.strip_row(found.as_row(number), _divergence(answered[0], answered[number]))
        for number, found in outcome.outcomes([turn.result for turn in answered])
    ]
    return {"outcomes": rows, "words": WORDS["none"], "run": session.run_id}


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
    """Forces a session's reference answer through its variants. Call `run` once.

    lock        the session's
    panes       the shown panes, the reference first
    on_request  whether the user requested it; else a run that was stopped is not measured
    """

    def __init__(self, engine: Engine, lock: threading.RLock, panes: Sequence[Pane], on_request: bool = False) -> None:
        self._lock = lock
        self._stopped = False
        self._turns: list[Turn] = []  # by the engine's numbers
        self._comparison: ForcedComparison | None = None
        first, *others = panes
        if not first.turns:
            return
        reference = first.turns[-1]
        answers: list[Answer] = []
        for pane in others:
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
                self._turns.append(turn)
                answers.append(turn.result)
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
        for turn in self._turns:
            turn.end_forced("open", reason)

    def run(self) -> None:
        """Measure to the end, or until it is stopped."""
        reason = STOPPED
        try:
            for number, item in self._comparison.events() if self._comparison and not self._stopped else ():
                with self._lock:
                    if self._stopped:
                        break
                    self._turns[number].add_forced(item)
        except Exception:
            log.exception("measuring failed")
            reason = FAILED
        with self._lock:
            self._end(reason)
        self.stop()
