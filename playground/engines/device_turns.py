"""Who may use the device now. A clock is only honest while nobody else computes, so generations take turns here.

Generations of the stepped host share the device: one thread steps them and each has its own clock. One of an engine
that runs freely has the device alone. First come, first served, so that nobody waits forever. "All at once" is a group
whose members may overlap each other and nobody else; whoever did overlap is marked.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Ticket:
    """One place in the queue. Leave it, whether it came to its turn or not.

    contended  another computed meanwhile whose work this one's clock cannot tell from its own; final once it has left
    """

    turns: DeviceTurns
    shared: bool
    group: str = ""
    entered: bool = field(default=False)
    contended: bool = field(default=False)

    def enter(self, timeout_s: float) -> bool:
        """Wait for the turn; False when it has not come in time. True again and again once it has."""
        return self.turns._enter(self, timeout_s)

    def leave(self) -> None:
        self.turns._leave(self)

    def beside(self, other: Ticket) -> bool:
        """Whether both may compute at the same time."""
        if self.group or other.group:
            return self.group == other.group
        return self.shared and other.shared

    def disturbs(self, other: Ticket) -> bool:
        """Whether the clocks of both suffer when they compute at the same time: the stepped host's do not."""
        return not (self.shared and other.shared)


class DeviceTurns:
    """The queue of one device. Callable from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[Ticket] = []  # in order of arrival; those that entered stay until they leave

    def ticket(self, shared: bool, group: str = "") -> Ticket:
        """Join the queue. `shared`: a stepped generation; `group`: runs together with the others of that name."""
        ticket = Ticket(self, shared, group)
        with self._changed:
            self._queue.append(ticket)
        return ticket

    def _may_enter(self, ticket: Ticket) -> bool:
        ahead = self._queue[: self._queue.index(ticket)]
        inside = [other for other in self._queue if other.entered]
        return all(ticket.beside(other) for other in {*ahead, *inside})

    def _enter(self, ticket: Ticket, timeout_s: float) -> bool:
        with self._changed:
            if not ticket.entered:
                ticket.entered = self._changed.wait_for(lambda: self._may_enter(ticket), timeout_s)
                if ticket.entered:
                    self._mark(ticket)
            return ticket.entered

    def _mark(self, ticket: Ticket) -> None:
        """Remember in everyone inside whom `ticket`, which has just entered, disturbs; and that they disturb it."""
        for other in self._queue:
            if other.entered and other is not ticket and ticket.disturbs(other):
                ticket.contended = other.contended = True

    def _leave(self, ticket: Ticket) -> None:
        with self._changed:
            if ticket in self._queue:
                self._queue.remove(ticket)
                self._changed.notify_all()
