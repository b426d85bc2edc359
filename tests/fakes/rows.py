"""What a page draws from the rows of a stream, and the clock of a test."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from playground.compare.session import Session

MEASUREMENT = ("measure", "forced", "measured")


def drawn(rows: Iterable[list[Any]], slot: int) -> list[list[Any]]:
    """The rows of a slot, without it, after what a `reset` or a `forget` has taken away."""
    shown: list[list[Any]] = []
    for row in rows:
        if row[0] != slot:
            continue
        match row[1:]:
            case ["reset"]:
                shown = []
            case ["forget", "part"]:
                shown.pop(max(n for n, one in enumerate(shown) if one[0] == "part"))
            case ["forget", what]:
                start = max(n for n, one in enumerate(shown) if one[0] == "user")
                kept = [one for one in shown[start:] if one[0] not in MEASUREMENT] if what == "forced" else []
                shown = shown[:start] + kept
            case other:
                shown.append(other)
    return shown


def rows(session: Session) -> list[list[Any]]:
    """All rows of a session that count."""
    return [json.loads(row.text) for row in session.rows.after(0)]


def lines(session: Session, slot: int, kind: str = "") -> list[list[Any]]:
    return [row for row in drawn(rows(session), slot) if kind in ("", row[0])]


def last(session: Session, slot: int, *kinds: str) -> list[Any]:
    return [row for row in lines(session, slot) if row[0] in kinds][-1]


def text(session: Session, slot: int) -> str:
    return "".join(row[2] for row in lines(session, slot, "tok"))


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def settled(session: Session) -> None:
    """Wait until nothing runs."""
    until(lambda: not session.working)


@dataclass
class Clock:
    """A clock that only moves when it is told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now
