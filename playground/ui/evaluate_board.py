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
from playground.export.evaluation import named
from playground.store import database, runs
from playground.store.schema import Job, Run
from playground.ui import outsiders
from playground.ui.encode import inert
from playground.ui.job_cards import JobCards, Queue

log = logging.getLogger(__name__)
KIND = "evaluation"
RUNS_SHOWN = 100


class Board:
    """The evaluate jobs and the evaluations of this home."""

    def __init__(self, queue: Queue) -> None:
        self._jobs = JobCards(queue, "evaluate", asked, outsiders.evaluate_job)
        self._lock = threading.Lock()

    def value(
        self, serial: int = 0, logs: Collection[str] = (), error: PlaygroundError | None = None, *, owner: bool = True
    ) -> str:
        """What the page shows now, with the logs of the jobs that are open."""
        said = {"serial": serial, "error": [error.message, error.hint] if error else None, "owner": owner}
        with self._lock:
            try:
                return inert(self._state(logs, owner) | said)
            except (SQLAlchemyError, OSError, StoreUnavailable):
                log.exception("The store cannot be read")
                return inert(said | {"broken": ["The runs cannot be read.", "Details are in the log."]})

    def _state(self, logs: Collection[str], owner: bool) -> dict[str, Any]:
        rows = runs.latest(KIND, limit=RUNS_SHOWN) if database.exists() else []
        made = {row.id for row in rows}
        return self._jobs.rows(logs, owner, lambda job: str((job.result or {}).get("run")) in made) | {
            "runs": [summary(row, owner) for row in rows]
        }


def summary(run: Run, owner: bool) -> dict[str, Any]:
    """One line of the list; its result is not read."""
    row: dict[str, Any] = {"model": run.model, "title": run.title, "settings": run.settings, "variants": run.variants}
    if not owner:
        row = outsiders.run(row)
    settings = row["settings"]
    return {
        "id": run.id,
        "title": row["title"],
        "model": row["model"],
        "created": run.created_at,
        "labels": [variant["label"] for variant in named(row["variants"])],
        "tasks": settings.get("tasks") or [],
        "limit": settings.get("limit"),
        "divergence": bool(settings.get("divergence")),
    }


def asked(job: Job) -> dict[str, Any]:
    """What a job measures, in words; one that this version cannot read keeps its title."""
    spec = job.spec
    names, tasks = _strings(spec, "variants"), _strings(spec, "tasks")
    if not names or not tasks:
        return {"title": job.title, "model": "", "words": ""}
    model = names[0]
    others = [name.removeprefix(f"{model}:") for name in names[1:]]
    more = [
        f"{spec['limit']:,} items each" if isinstance(spec.get("limit"), int) else "all items",
        "divergence" if spec.get("divergence") else "",
        "speed" if spec.get("speed") else "",
    ]
    return {
        "title": ", ".join(tasks),
        "model": f"{model} against {', '.join(others)}" if others else model,
        "words": " · ".join(filter(None, more)),
        "run": (job.result or {}).get("run"),
    }


def _strings(spec: Mapping[str, Any], key: str) -> list[str]:
    found = spec.get(key)
    return [str(one) for one in found] if isinstance(found, list) else []
