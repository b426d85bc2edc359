"""What came of the Evaluate form: jobs as they work, and the runs that they left, newest first.

Callable from any thread; one for all browser tabs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from playground.errors import PlaygroundError, StoreUnavailable
from playground.evaluate.report import named
from playground.store import database, runs
from playground.store.schema import Job, Run
from playground.web import owner
from playground.web.jobs import JobCards, Queue
from playground.web.values import inert

log = logging.getLogger(__name__)
KINDS = ("evaluation", "divergence")  # of runs
JOBS = ("evaluate", "divergence")
RUNS_SHOWN = 100


class Board:
    """The evaluations of this home, divergences alone among them, and the jobs that make them."""

    def __init__(self, queue: Queue) -> None:
        self._jobs = JobCards(queue, JOBS, asked, owner.measuring_job)
        self._lock = threading.Lock()

    def value(
        self, serial: int = 0, logs: Collection[str] = (), error: PlaygroundError | None = None, *, owner: bool = True
    ) -> str:
        """What the page shows now, with the logs of the jobs that are open.

        Runs are unlisted: who is not the owner opens one by its link, and learns no link here.
        """
        said = {"serial": serial, "error": [error.message, error.hint] if error else None, "owner": owner}
        with self._lock:
            try:
                return inert(self._state(logs, owner) | said)
            except (SQLAlchemyError, OSError, StoreUnavailable):
                log.exception("The store cannot be read")
                return inert(said | {"broken": ["The runs cannot be read.", "Details are in the log."]})

    def _state(self, logs: Collection[str], owner: bool) -> dict[str, Any]:
        rows = _latest() if database.exists() else []
        made = {row.id for row in rows}
        jobs = self._jobs.rows(logs, owner, lambda job: str((job.result or {}).get("run")) in made)
        if owner:
            return jobs | {"runs": [summary(row) for row in rows]}
        return jobs | {"jobs": [card | {"run": None} for card in jobs["jobs"]], "runs": []}


def _latest() -> list[Run]:
    """Of both kinds, the newest first."""
    found = [run for kind in KINDS for run in runs.latest(kind, limit=RUNS_SHOWN)]
    return sorted(found, key=lambda run: -run.created_at)[:RUNS_SHOWN]


def summary(run: Run) -> dict[str, Any]:
    """One line of the owner's list; its result is not read."""
    settings = run.settings
    return {
        "id": run.id,
        "title": run.title,
        "model": run.model,
        "created": run.created_at,
        "labels": [variant["label"] for variant in named(run.variants)],
        "tasks": settings.get("tasks") or [],
        "limit": settings.get("limit"),
        "tokens": settings.get("tokens") if run.kind == "divergence" else None,
    }


def asked(job: Job) -> dict[str, Any]:
    """What a job measures, in words; one that this version cannot read keeps its title."""
    spec = job.spec
    names, tasks = _strings(spec, "variants"), _strings(spec, "tasks")
    alone = job.kind == "divergence"
    if not names or not (tasks or alone):
        return {"title": job.title, "model": "", "words": ""}
    model = names[0]
    others = [name.removeprefix(f"{model}:") for name in names[1:]]
    if alone:
        more = [f"{spec['tokens']:,} tokens" if spec.get("tokens") else "all of the text"]
    else:
        more = [
            f"{spec['limit']:,} items each" if isinstance(spec.get("limit"), int) else "all items",
            "divergence" if spec.get("divergence") else "",
            "speed" if spec.get("speed") else "",
        ]
    return {
        "title": "Divergence" if alone else ", ".join(tasks),
        "model": f"{model} against {', '.join(others)}" if others else model,
        "words": " · ".join(filter(None, more)),
        "run": (job.result or {}).get("run"),
    }


def _strings(spec: Mapping[str, Any], key: str) -> list[str]:
    found = spec.get(key)
    return [str(one) for one in found] if isinstance(found, list) else []
