"""The jobs of one page, as they work: from the store, so that a restart loses nothing.

Callable from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from playground.errors import UnknownJob
from playground.jobs.kinds import Spec
from playground.store.schema import Job
from playground.web.job_view import View, shown

ENDED_SHOWN = 6  # jobs that are over without a result; older ones are in `playground jobs list`
LOG_LINES = 80
Jobs = list[Job]
Events = list[dict[str, Any]]


class Queue(Protocol):
    """What the pages need of `jobs.queue.JobQueue`."""

    def submit(self, spec: Spec, device: str = "cpu") -> str: ...

    def again(self, job_id: str) -> str: ...

    def list(self) -> Jobs: ...

    def get(self, job_id: str) -> Job: ...

    def cancel(self, job_id: str) -> None: ...

    def events(self, job_id: str, position: int = 0) -> tuple[Events, int]: ...

    def log(self, job_id: str, lines: int = 20) -> str: ...

    def close(self) -> None: ...


class JobCards:
    """Jobs of some kinds.

    words   what a job is asked to do: "title", "model", "words", and what else the page wants of it
    public  what of a job's card others than the owner may see
    """

    def __init__(
        self,
        queue: Queue,
        kinds: Collection[str],
        words: Callable[[Job], Mapping[str, Any]],
        public: Callable[[Job, dict[str, Any]], dict[str, Any]] = lambda _, card: card,
    ) -> None:
        self._queue, self._kinds, self._words, self._public = queue, frozenset(kinds), words, public
        self._views: dict[str, View] = {}

    def rows(self, logs: Collection[str], owner: bool, replaced: Callable[[Job], bool]) -> dict[str, Any]:
        """Those that work, in their order, then the newest of those that are over; "older": how many more there are.

        logs      of which jobs the log is wanted; nobody but the owner gets one
        replaced  whether the result of a job that is done is shown, which then stands in the job's place
        """
        found = [job for job in self._queue.list() if job.kind in self._kinds]
        active = [job for job in found if not job.over]
        ended = [job for job in found if job.over and not (job.state == "done" and replaced(job))]
        listed = [*active[::-1], *ended[:ENDED_SHOWN]]  # the oldest of the active runs first
        self._views = {job.id: self._views.get(job.id) or View() for job in listed}
        for job in listed:
            view = self._views[job.id]
            view.take(*self._queue.events(job.id, view.position))
        return {
            "jobs": [self._card(job, ahead(job, active), logs, owner) for job in listed],
            "older": max(0, len(ended) - ENDED_SHOWN),
            "active": bool(active),
        }

    def _card(self, job: Job, before: int, logs: Collection[str], owner: bool) -> dict[str, Any]:
        card = shown(job, self._views[job.id], before, self._words(job), self._log(job.id, logs, owner))
        return card if owner else self._public(job, card)

    def _log(self, job_id: str, logs: Collection[str], owner: bool) -> str | None:
        if not owner:
            return ""
        if job_id not in logs:
            return None
        try:
            return self._queue.log(job_id, LOG_LINES)
        except UnknownJob:
            return None


def ahead(job: Job, active: Jobs) -> int:
    """Of the same device, those that came before; `active` is newest first."""
    if job.state != "queued":
        return 0
    same = [other.id for other in active[::-1] if other.device == job.device]
    return same.index(job.id)
