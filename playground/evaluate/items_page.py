"""The items of a run, page by page: a file is read once to know where its lines are, then only the lines of a page.

Two sides are joined on the document's hash. Nothing is kept of a text but the page that was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from playground.errors import EvaluationError
from playground.evaluate.items import Item, parse
from playground.store import folders

Show = Literal["all", "flips", "lost", "won"]
SHOWS: tuple[Show, ...] = get_args(Show)
PAGE = 8
MAX_TEXT = 12_000  # characters of a prompt or an answer; a few-shot prompt can have more
INDEXES = 64  # files that stay indexed


@dataclass(frozen=True, slots=True)
class Index:
    """Where the lines of one file are: byte offset by document hash, and each score. In the file's order."""

    offsets: Mapping[str, int]
    scores: Mapping[str, float]


def available(run_id: str) -> bool:
    """Whether the items are still there."""
    return (folders.run(run_id) / "items").is_dir()


def page(
    run_id: str, tasks: Mapping[str, bool], task: str, count: int, variant: int, show: str, offset: int
) -> dict[str, Any]:
    """Some items of one task, the reference beside the variant at `variant` of `count`.

    tasks   whether a higher score is better, by task: those of the run, and no other is ever a path
    show    "lost" and "won": those whose score fell or rose against the reference; "flips": both

    Raises EvaluationError when the files are gone or broken.
    """
    if task not in tasks:
        raise EvaluationError(f"This run has no task {task[:80]!r}.", hint="Choose one of its table.")
    chosen: Show = next((one for one in SHOWS if one == show), "all")
    other = variant if 0 < variant < count else min(1, count - 1)
    places = [_place(run_id, task, index) for index in dict.fromkeys((0, other))]
    indexes = [_read(place) for place in places]
    sign = 1 if tasks[task] else -1
    sets = _sets(indexes, sign)
    keys = sets[chosen]
    start = max(0, min(offset, len(keys) - 1)) // PAGE * PAGE
    return {
        "task": task,
        "variant": other,
        "show": chosen,
        "counts": {name: len(found) for name, found in sets.items()},
        "offset": start,
        "size": PAGE,
        "items": list(_items(places, indexes, keys[start : start + PAGE], start, sign)),
    }


def _place(run_id: str, task: str, index: int) -> Path:
    root = folders.run(run_id) / "items"
    path = folders.items(run_id, task) / f"{index}.jsonl"
    if not path.resolve().is_relative_to(root.resolve()):
        raise EvaluationError(f"{task[:80]!r} is not the name of a task.")
    return path


def _read(path: Path) -> Index:
    try:
        found = path.stat()
        return _index(path, found.st_mtime_ns, found.st_size)
    except OSError as error:
        raise EvaluationError(
            "The items of this run are gone from the disk.", hint="Its numbers stay; evaluate again to browse items."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            "The items of this run cannot be read.", hint="Evaluate again to browse items."
        ) from error


@lru_cache(maxsize=INDEXES)
def _index(path: Path, _changed: int, _size: int) -> Index:
    offsets: dict[str, int] = {}
    scores: dict[str, float] = {}
    at = 0
    with path.open("rb") as file:
        for line in file:
            found = json.loads(line)
            key = str(found["doc_hash"])
            offsets[key], scores[key] = at, float(found["score"])
            at += len(line)
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
    places: list[Path], indexes: list[Index], keys: list[str], start: int, sign: int
) -> Iterator[dict[str, Any]]:
    for number, key in enumerate(keys, start):
        pair = [_line(place, index.offsets[key]) for place, index in zip(places, indexes, strict=True)]
        first, last = pair[0], pair[-1]
        moved = sign * (last.score - first.score)
        yield {
            "number": number,
            "doc": first.doc_id,
            "prompt": _cut(first.prompt),
            "other_prompt": _cut(last.prompt) if last.prompt_hash != first.prompt_hash else None,
            "gold": _cut(first.gold),
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
        "answer": _cut(item.answer),
        "extracted": _cut(item.extracted),
        "score": item.score,
        "truncated": item.truncated,
        "loglikelihoods": None if item.loglikelihoods is None else [round(one, 3) for one in item.loglikelihoods],
    }


def _cut(text: str) -> str:
    """The end of a long text: that is where the question stands."""
    return text if len(text) <= MAX_TEXT else f"… {text[-MAX_TEXT:]}"
