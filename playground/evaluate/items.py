"""What an evaluation keeps of every item, and the facts that its verdicts rest on. Standard library only."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from playground.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class Item:
    """One item of one task, answered by one variant; also one line of an items file.

    doc_id          position in the task's data set
    doc_hash        of the document; two sides are joined on it
    prompt_hash     of everything the model was given, template and examples included
    cluster         what items that hang together share: the conversation, the passage. "" where each stands alone
    answer          as it came; of multiple choice, the choice that was taken
    extracted       what the task's filter made of it, and what was scored
    score           0 or 1, or between them where the task is graded; of any size for perplexities
    truncated       the token budget ended the answer
    loglikelihoods  nats, one a choice, of tasks that are scored by them; None of tasks that generate
    cut_prompt      (tokens of the prompt, of these the last that the model got) where its context was too short for all
    """

    doc_id: int
    doc_hash: str
    prompt_hash: str
    cluster: str
    prompt: str
    gold: str
    answer: str
    extracted: str
    score: float
    truncated: bool
    loglikelihoods: tuple[float, ...] | None = None
    cut_prompt: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One variant and all its tasks. `facts` is its entry in the run's variants, `tasks` its items by task name."""

    variant: str
    content_hash: str
    facts: Mapping[str, Any]
    tasks: Mapping[str, Sequence[Item]]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that makes a number doubtful, in a sentence for the reader.

    code      for programs and for grouping: "same-weights"
    variants  whose rows it concerns
    task      None: all tasks of these variants
    withholds whether these rows get no verdict
    """

    code: str
    text: str
    variants: tuple[str, ...]
    task: str | None = None
    withholds: bool = False

    def concerns(self, variant: str, task: str) -> bool:
        return variant in self.variants and self.task in (None, task)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"variants": list(self.variants)}


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What a reader must know of a task to read its score.

    metric  its name in lm-eval: "exact_match"
    chance  the score of guessing, 0 to 1; None where guessing has none
    n       items that were asked
    n_full  items that the task has
    bundled written for this project, so never to be called the benchmark
    graded  scores lie between 0 and 1 (F1 and the like), not only on them
    sample  a limit was set: the score is of a sample
    """

    name: str
    title: str
    metric: str
    chance: float | None
    higher_is_better: bool
    few_shot: int
    n: int
    n_full: int
    bundled: bool
    graded: bool
    sample: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def joined(reference: Iterable[Item], other: Iterable[Item]) -> list[tuple[Item, Item]]:
    """The items that both sides answered, in the reference's order.

    Joined on the document. One that a data set holds several times (MMLU does) is joined copy by copy.
    """
    copies: dict[str, deque[Item]] = {}
    for item in other:
        copies.setdefault(item.doc_hash, deque()).append(item)
    return [(item, copies[item.doc_hash].popleft()) for item in reference if copies.get(item.doc_hash)]


def clusters(items: Iterable[Item]) -> list[str] | None:
    """Names for the statistics: the items' own, and a name of its own for each that stands alone; None where all do."""
    names = [(item.cluster, f"item {position}") for position, item in enumerate(items)]
    return [cluster or alone for cluster, alone in names] if any(cluster for cluster, _ in names) else None


_FIELDS = {field.name for field in fields(Item)}
_LATER = {"cut_prompt"}  # not in the files of older versions


def line(item: Item) -> str:
    """One line of an items file, without its end."""
    return json.dumps(asdict(item), ensure_ascii=False)


def parse(text: str) -> Item:
    """What `line` wrote; floats come back bit by bit. Raises ValueError."""
    found = json.loads(text)
    if not isinstance(found, dict) or found.keys() | _LATER != _FIELDS:
        raise ValueError("not the fields of an item")
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return Item(**values)


def write(path: Path, items: Iterable[Item]) -> None:
    """An items file: JSON lines, UTF-8."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(line(item) + "\n" for item in items)


def read(path: Path) -> list[Item]:
    """The items of a file that `write` made. Raises EvaluationError when a line is not one."""
    found = []
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, text in enumerate(file, 1):
            try:
                found.append(parse(text))
            except ValueError as error:
                raise EvaluationError(
                    f"Line {number} of {path.parent.name}/{path.name} is not an item: {error}.",
                    hint="The file was changed or cut off after the run; measure again.",
                ) from error
    return found
