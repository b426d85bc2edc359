"""How many items a task has, as far as that is known without loading it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from playground.evaluate import tasks

FULL = {"gsm8k": 1319, "coqa": 500}  # items that lm-eval asks of each when there is no limit


def items(name: str) -> int | None:
    """How many items a task has; None where that is not known without loading it."""
    if name in FULL:
        return FULL[name]
    row = tasks.bundled().get(name)
    if row is None:
        return None
    if row.members:
        parts = [items(member) for member in row.members]
        return None if None in parts else sum(part for part in parts if part)
    return _documents(name.removeprefix("bundled_"))


@cache
def _documents(name: str) -> int | None:
    """Of a bundled task's data file: each line is a document, or a passage with several questions."""
    path = tasks.BUNDLED / "data" / f"{name}.jsonl"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        return sum(len(json.loads(line).get("turns") or (1,)) for line in file)


def asked(name: str, limit: int | None) -> int | None:
    """The items of a task that an evaluation with this limit asks; None where that is not known."""
    full = items(name)
    return full if limit is None else limit if full is None else min(limit, full)


def single(asked: Sequence[str]) -> list[str]:
    """Bundled groups as what they consist of; other groups stay one."""
    listed: list[str] = []
    for name in asked:
        row = tasks.bundled().get(name)
        listed += single(row.members) if row is not None and row.members else [name]
    return list(dict.fromkeys(listed))


def counted(names: Sequence[str], limit: int | None) -> list[tuple[str, int | None]]:
    """The tasks that were named, bundled groups resolved, and how many items each is asked."""
    return [(name, asked(name, limit)) for name in single(names)]
