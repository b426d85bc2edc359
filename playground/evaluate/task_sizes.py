"""How much there is to read and to write for one item of a task, before it is asked: for an estimate of its time.

What was asked here before says it best; then data that lies on this disk. Of a task whose data is on the hub and that
never ran here nothing is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from playground.evaluate import prepare, tasks
from playground.evaluate.items import Item
from playground.evaluate.spec import Conditions
from playground.settings import settings

BUDGET = 256  # tokens of an answer where a task names none: lm-eval's own default
SHORT = 0.4  # of the budget: the longest answer of a batch, at best, where no answer was seen yet
READ = 400  # documents that a mean is taken over
NO_TEXT = ("id", "choices", "template", "topic")  # fields of the bundled tasks that no prompt shows

Range = tuple[float, float]
CHARACTERS: Range = (3.3, 4.8)  # of a token: figures and code, and plain English


@dataclass(frozen=True, slots=True)
class Size:
    """One item, on average.

    prompt   characters, examples included; of several choices each with the prompt before it, all together
    answer   tokens of the longest answer of a batch: at least, at most; (0, 0) where none is written
    seen     whether the task was asked here before, under the same number of examples
    """

    prompt: float
    answer: Range
    seen: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"answer": list(self.answer)}


def of_items(items: Iterable[Item], answer_tokens: int) -> Size:
    """What was asked: kept in the run. `answer_tokens`: the budget."""
    found = list(items)
    prompt = fmean(len(item.prompt) * len(item.loglikelihoods or (0,)) for item in found)
    if found[0].loglikelihoods is not None:
        return Size(prompt, (0.0, 0.0), seen=True)
    longest = max(len(item.answer) for item in found) / CHARACTERS[0]
    mean = fmean(len(item.answer) for item in found) / CHARACTERS[1]
    return Size(prompt, (min(mean, answer_tokens), min(longest, answer_tokens)), seen=True)


def budget(name: str, conditions: Conditions) -> int:
    """Tokens that an answer may have."""
    own = _config(name).get("generation_kwargs") or {}
    asked = conditions.generation.get("max_gen_toks") or own.get("max_gen_toks") or BUDGET
    return int(asked) if isinstance(asked, int | float) else BUDGET


def size(name: str, conditions: Conditions, seen: Mapping[str, Any] | None = None) -> Size | None:
    """Of a task that is not a group; None where nobody knows. `seen`: what an earlier run kept of it."""
    if seen is not None:
        low, high = seen["answer"]
        most = budget(name, conditions)
        return Size(float(seen["prompt"]), (min(low, most), min(high, most)), seen=True)
    config = _config(name)
    documents = _documents(name, config)
    if not documents:
        return None
    few = conditions.few_shot if conditions.few_shot is not None else int(config.get("num_fewshot") or 0)
    examples = 0 if config.get("num_fewshot") == 0 else few
    prompt = fmean(one.characters * one.requests for one in documents) * (1 + examples)
    if config.get("output_type") != "generate_until":
        return Size(prompt, (0.0, 0.0))
    most = budget(name, conditions)
    return Size(prompt, (SHORT * most, float(most)))


@dataclass(frozen=True, slots=True)
class _Document:
    """Characters of what is asked of it, and in how many requests: one for each choice."""

    characters: int
    requests: int = 1


@lru_cache(maxsize=64)
def _config(name: str) -> Mapping[str, Any]:
    """The task's YAML, where it is known without lm-eval's index; {} elsewhere."""
    path = tasks.own_yaml(name)
    return tasks.config(path) if path is not None else {}


def _documents(name: str, config: Mapping[str, Any]) -> tuple[_Document, ...]:
    """The first of its data, where that lies on this disk."""
    if name in tasks.bundled():
        return _read(tasks.BUNDLED / "data" / f"{name.removeprefix('bundled_')}.jsonl", 0.0)
    root = settings().datasets
    if root is None or not config:
        return ()
    split = prepare.question_split(config)
    return _read(path, path.stat().st_mtime) if split and (path := root / name / f"{split}.jsonl").is_file() else ()


@lru_cache(maxsize=32)
def _read(path: Path, _changed: float) -> tuple[_Document, ...]:
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8") as file:
        return tuple(found for line in islice(file, READ) for found in _items(json.loads(line)))


def _items(row: Any) -> Iterator[_Document]:
    """One of a document; of a passage with questions one for each, with those before it."""
    if not isinstance(row, dict):
        return
    if turns := row.get("turns"):
        so_far = len(str(row.get("story", "")))
        for turn in turns:
            so_far += len(turn["question"]) + len(turn["answers"][0]) + len("\nQ: \n\nA: ")
            yield _Document(so_far)
        return
    choices = [str(one) for one in row.get("choices") or ()]
    rest = sum(len(text) for text in _strings([value for key, value in row.items() if key not in NO_TEXT]))
    longest = max(map(len, choices), default=0)
    yield _Document(rest + longest, max(1, len(choices)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
