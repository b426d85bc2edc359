"""The comparison that a tab shows, as the run that it becomes when it is over: what is shown is what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from playground.compare import record2
from playground.compare.forced import ForcedResult
from playground.compare.turns import Pane, Turn
from playground.errors import PlaygroundError
from playground.store.schema import Run


@dataclass(frozen=True, slots=True)
class Answer:
    """The last turn of one pane. Two are the same when nothing was made or measured anew: compared by identity."""

    label: str
    turn: Turn
    forced: ForcedResult | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answer) and self.turn is other.turn and self.forced is other.forced

    __hash__ = None  # type: ignore[assignment]  # what it holds grows


@dataclass(frozen=True, slots=True)
class Shown:
    """The answers of a tab's panes, the reference first. It stays what it was when the tab goes on."""

    answers: tuple[Answer, ...] = ()

    @classmethod
    def of(cls, panes: Sequence[Pane]) -> Shown:
        """Panes that answered the reference's prompt; one that answered another, or nothing yet, is left out."""
        if not panes or not panes[0].turns:
            return cls()
        asked = panes[0].turns[-1].ask
        same = (pane for pane in panes if pane.turns and _prompt(pane) == (asked.prompt, asked.system, asked.raw))
        return cls(tuple(Answer(pane.label, pane.turns[-1], pane.turns[-1].forced.result) for pane in same))

    def run(self) -> Run | None:
        """None where there is nothing to keep."""
        if not self.answers:
            return None
        panes = [
            record2.Pane(
                *(one.turn.address, one.label, one.turn.result, one.turn.ask.sampling, one.turn.source), one.forced
            )
            for one in self.answers
        ]
        asked = self.answers[0].turn.ask
        return record2.comparison(panes, asked.at_once, any(one.forced for one in self.answers))


@dataclass(frozen=True, slots=True)
class Saved:
    """What was stored last: as which run, or why it could not be."""

    shown: Shown = Shown()
    id: str = ""
    error: PlaygroundError | None = None


def _prompt(pane: Pane) -> tuple[str, str, bool]:
    ask = pane.turns[-1].ask
    return ask.prompt, ask.system, ask.raw
