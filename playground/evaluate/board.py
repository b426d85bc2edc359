"""Evaluations on the page: running jobs, stored runs, and the page of one run.

A run's page is a function of the run's row. Items are sent page by page: an items file is read once for the offsets of
its lines, then only the lines of a page are read. Two variants are joined on the document's hash.

Thread-safe; all browser tabs share one board.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from sqlalchemy.exc import SQLAlchemyError

from playground import formatting
from playground.core import NOISE_FLOOR
from playground.errors import EvaluationError, StoreUnavailable
from playground.evaluate import divergence_report, report
from playground.evaluate.items import OTHER_CHOICE, TOP_CHOICE, Item, parse
from playground.evaluate.report import conditions, warnings, with_labels
from playground.evaluate.verdict import is_share, sentences
from playground.report import paths
from playground.report.paths import without_machine_paths, without_paths
from playground.store import database, folders, runs
from playground.store.schema import Job, Run
from playground.web.jobs import JobCards, Queue
from playground.web.owner import _texts
from playground.web.values import inert

log = logging.getLogger(__name__)
KINDS = ("evaluation", "divergence")  # of runs
JOBS = ("evaluate", "divergence")
RUNS_SHOWN = 100
OLDER_WORDS = {"what greedy decoding says": TOP_CHOICE, "not what greedy decoding says": OTHER_CHOICE}
Show = Literal["all", "flips", "lost", "won"]
SHOWS: tuple[Show, ...] = get_args(Show)
PAGE = 8
MAX_TEXT = 12_000  # characters of a prompt or an answer that are sent
INDEXES = 64  # items files whose index is cached


class Board:
    """Evaluation and divergence runs of this home, and their jobs."""

    def __init__(self, queue: Queue) -> None:
        self._jobs = JobCards(queue, JOBS, describe_job, measuring_job)
        self._lock = threading.Lock()

    def value(self, logs: Collection[str] = (), *, owner: bool = True) -> dict[str, Any]:
        """Return jobs and runs, with the logs of the jobs in `logs`. Raises StoreUnavailable.

        Runs are unlisted: a visitor opens one by its link, so what a visitor gets contains no run.
        """
        with self._lock:
            try:
                return self._state(logs, owner) | {"owner": owner}
            except (SQLAlchemyError, OSError) as error:
                log.exception("The store cannot be read")
                raise StoreUnavailable("The runs cannot be read.", hint="Details are in the log.") from error

    def _state(self, logs: Collection[str], owner: bool) -> dict[str, Any]:
        rows = _latest() if database.exists() else []
        stored_ids = {row.id for row in rows}
        jobs = self._jobs.rows(logs, owner, lambda job: str((job.result or {}).get("run")) in stored_ids)
        if owner:
            return jobs | {"runs": [summary(row) for row in rows]}
        return jobs | {"jobs": [card | {"run": None} for card in jobs["jobs"]], "runs": []}


def _latest() -> list[Run]:
    """Return the runs of both kinds, the newest first."""
    latest = [run for kind in KINDS for run in runs.latest(kind, limit=RUNS_SHOWN)]
    return sorted(latest, key=lambda run: -run.created_at)[:RUNS_SHOWN]


def summary(run: Run) -> dict[str, Any]:
    """Return one line of the owner's list, without reading the run's result."""
    settings = run.settings
    return {
        "id": run.id,
        "title": run.title,
        "model": run.model,
        "created": run.created_at,
        "labels": [variant["label"] for variant in with_labels(run.variants)],
        "tasks": settings.get("tasks") or [],
        "limit": settings.get("limit"),
        "tokens": settings.get("tokens") if run.kind == "divergence" else None,
    }


def describe_job(job: Job) -> dict[str, Any]:
    """Return what a job measures, in words; only the title if this version cannot read its spec."""
    spec = job.spec
    names, tasks = _strings(spec, "variants"), _strings(spec, "tasks")
    divergence_only = job.kind == "divergence"
    if not names or not (tasks or divergence_only):
        return {"title": job.title, "model": "", "words": ""}
    model = names[0]
    others = [name.removeprefix(f"{model}:") for name in names[1:]]
    if divergence_only:
        details = [f"{spec['tokens']:,} tokens" if spec.get("tokens") else "all of the text"]
    else:
        details = [
            f"{spec['limit']:,} items each" if isinstance(spec.get("limit"), int) else "all items",
            "divergence" if spec.get("divergence") else "",
            "speed" if spec.get("speed") else "",
        ]
    return {
        "title": "Divergence" if divergence_only else ", ".join(tasks),
        "model": f"{model} against {', '.join(others)}" if others else model,
        "words": " · ".join(filter(None, details)),
        "run": (job.result or {}).get("run"),
    }


def _strings(spec: Mapping[str, Any], key: str) -> list[str]:
    names = spec.get(key)
    return [str(name) for name in names] if isinstance(names, list) else []


# The items of a run.


@dataclass(frozen=True, slots=True)
class Index:
    """Byte offset and score of each line of an items file, by document hash, in the file's order."""

    offsets: Mapping[str, int]
    scores: Mapping[str, float]


def available(run_id: str) -> bool:
    """Return whether the run's items folder exists."""
    return (folders.run(run_id) / "items").is_dir()


def page(
    run_id: str, tasks: Mapping[str, bool], task: str, count: int, variant: int, show: str, offset: int
) -> dict[str, Any]:
    """Return a page of items of one task, the reference's beside those of variant number `variant` of `count`.

    tasks   whether a higher score is better, by task of the run; only these names become paths
    show    "lost" and "won": items whose score fell or rose against the reference; "flips": both
    offset  of the first item; rounded down to a page of PAGE

    Raises EvaluationError if the task is not the run's, or its files are missing or broken.
    """
    if task not in tasks:
        raise EvaluationError(f"This run has no task {task[:80]!r}.", hint="Choose a task of its table.")
    chosen: Show = next((choice for choice in SHOWS if choice == show), "all")
    other = variant if 0 < variant < count else min(1, count - 1)
    item_files = [_items_file(run_id, task, index) for index in dict.fromkeys((0, other))]
    indexes = [_read(item_file) for item_file in item_files]
    sign = 1 if tasks[task] else -1
    sets = _sets(indexes, sign)
    keys = sets[chosen]
    start = max(0, min(offset, len(keys) - 1)) // PAGE * PAGE
    return {
        "task": task,
        "variant": other,
        "show": chosen,
        "counts": {name: len(hashes) for name, hashes in sets.items()},
        "offset": start,
        "size": PAGE,
        "items": list(_items(item_files, indexes, keys[start : start + PAGE], start, sign)),
    }


def _items_file(run_id: str, task: str, index: int) -> Path:
    root = folders.run(run_id) / "items"
    path = folders.items(run_id, task) / f"{index}.jsonl"
    if not path.resolve().is_relative_to(root.resolve()):
        raise EvaluationError(f"{task[:80]!r} is not the name of a task.")
    return path


def _read(path: Path) -> Index:
    try:
        stat = path.stat()
        return _index(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise EvaluationError(
            "The items of this run are no longer on the disk.", hint="Its numbers stay; evaluate again to browse items."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            "The items of this run cannot be read.", hint="Evaluate again to browse items."
        ) from error


@lru_cache(maxsize=INDEXES)
def _index(path: Path, _changed: int, _size: int) -> Index:
    offsets: dict[str, int] = {}
    scores: dict[str, float] = {}
    offset = 0
    with path.open("rb") as file:
        for line in file:
            item = json.loads(line)
            key = str(item["doc_hash"])
            offsets[key], scores[key] = offset, float(item["score"])
            offset += len(line)
    return Index(offsets, scores)


def _sets(indexes: list[Index], sign: int) -> dict[Show, list[str]]:
    reference, other = indexes[0], indexes[-1]
    joined = [key for key in reference.offsets if key in other.offsets]
    moved = {key: sign * (other.scores[key] - reference.scores[key]) for key in joined}
    return {
        "all": joined,
        "flips": [key for key in joined if moved[key]],
        "lost": [key for key in joined if moved[key] < 0],
        "won": [key for key in joined if moved[key] > 0],
    }


def _items(
    item_files: list[Path], indexes: list[Index], keys: list[str], start: int, sign: int
) -> Iterator[dict[str, Any]]:
    for number, key in enumerate(keys, start):
        pair = [_line(item_file, index.offsets[key]) for item_file, index in zip(item_files, indexes, strict=True)]
        first, last = pair[0], pair[-1]
        moved = sign * (last.score - first.score)
        yield {
            "number": number,
            "doc": first.doc_id,
            "prompt": _shorten(first.prompt),
            "other_prompt": _shorten(last.prompt) if last.prompt_hash != first.prompt_hash else None,
            "gold": _shorten(first.gold),
            "moved": "lost" if moved < 0 else "won" if moved > 0 else "same",
            "sides": [_side(item) for item in pair],
        }


def _line(path: Path, offset: int) -> Item:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return parse(file.readline().decode("utf-8"))
    except (OSError, ValueError, TypeError) as error:
        raise EvaluationError(
            "The items of this run cannot be read.", hint="Evaluate again to browse items."
        ) from error


def _side(item: Item) -> dict[str, Any]:
    return {
        "answer": _shorten(OLDER_WORDS.get(item.answer, item.answer)),
        "extracted": _shorten(OLDER_WORDS.get(item.extracted, item.extracted)),
        "score": item.score,
        "truncated": item.truncated,
        "loglikelihoods": None if item.loglikelihoods is None else [round(value, 3) for value in item.loglikelihoods],
    }


def _shorten(text: str) -> str:
    """Return the end of a long text, where the question is."""
    return text if len(text) <= MAX_TEXT else f"… {text[-MAX_TEXT:]}"


def items_of(run: Run, task: str, variant: int, show: str, offset: int) -> dict[str, Any]:
    """Return a page of items of a run, as `page` does."""
    better = {each["name"]: bool(each["higher_is_better"]) for each in run.result.get("tasks") or ()}
    return page(run.id, better, task, len(run.variants), variant, show, offset)


# The page of a run.


def view(run: Run, *, owner: bool) -> dict[str, Any]:
    """Return what the page of a run draws; paths of this machine only for the owner."""
    row = run.as_row()
    if not owner:
        row = paths.run(row)
    stored, row = row, _as_evaluation(row)
    result, variants = row["result"], with_labels(row["variants"])
    tasks = result.get("tasks") or []
    divergence = [entry for entry in result.get("divergence") or () if entry["variant"] != NOISE_FLOOR]
    floor = next((entry for entry in result.get("divergence") or () if entry["variant"] == NOISE_FLOOR), None)
    return {
        "id": run.id,
        "title": row["title"],
        "model": row["model"],
        "created": run.created_at,
        "variants": variants,
        "tasks": [task | {"share": _share(task, result.get("rows") or ())} for task in tasks],
        "rows": result.get("rows") or [],
        "divergence": divergence,
        "floor": floor,
        "warnings": warnings(result.get("warnings") or (), variants),
        "verdict": sentences(variants, tasks, result.get("rows") or (), result.get("divergence") or ()),
        "conditions": conditions(row["settings"], tasks, variants),
        "text": result.get("text"),
        "estimate": result.get("estimate"),
        "device": device(row["device"], row["versions"]),
        "seconds": result.get("seconds") or {},
        "items": available(run.id),
        "files": {"csv": _csv(run), "json": inert(stored)},
    }


def _csv(run: Run) -> str:
    """Return the content of the run's `/run/ID.csv`."""
    kind = divergence_report if run.kind == "divergence" else report
    return formatting.as_csv(kind.COLUMNS, kind.rows(without_machine_paths(run)))


def _as_evaluation(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a divergence run in the form of an evaluation without tasks; an evaluation unchanged."""
    if row["kind"] != "divergence":
        return dict(row)
    settings, result = row["settings"], row["result"]
    divergence = {"text": settings["text"], "tokens": result["text"]["tokens"], "max_length": settings["max_length"]}
    return dict(row) | {
        "settings": {"divergence": divergence},
        "result": dict(result) | {"rows": [], "tasks": [], "divergence": result["rows"]},
    }


def _share(task: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether all scores of a task are shares, which are shown in percent."""
    return all(is_share(row, task) for row in rows if row["task"] == task["name"])


def device(facts: Mapping[str, Any], versions: Mapping[str, Any]) -> list[str]:
    """Return device name, cores and package versions as parts of a line."""
    name = facts.get("name") or facts.get("device") or ""
    cores = f"{facts['cores']} cores" if facts.get("cores") else ""
    return [part for part in (str(name), cores, *(f"{name} {version}" for name, version in versions.items())) if part]


def measuring_job(job: Job, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card or row of an evaluate or divergence job for visitors, without paths, errors included."""
    return dict(without_paths(dict(row), [*(job.spec.get("variants") or ()), *_texts(job.spec)]))
