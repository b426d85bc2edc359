"""The bundled tasks' documents, as each YAML asks for them with `custom_dataset: !function documents.…`.

A data file named in YAML would have to have an absolute path, a function finds its own wherever the package lies; and
nothing is written into the cache of `datasets`. lm-eval loads this file by its path, so it imports nothing of ours.

Every document has an `id`. What several of them share, a passage or a template, is their `cluster`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


def reading(**_: Any) -> Any:
    """One document a question, in the layout of EleutherAI/coqa: the conversation so far, its last question open."""
    passages = _rows("reading")
    most = max(len(turn["answers"]) for passage in passages for turn in passage["turns"])
    return _splits(test=(turn for passage in passages for turn in _turns(passage, most)))


def math(**_: Any) -> Any:
    """Word problems, and worked examples from templates of their own for the prompt."""
    test, train = ([{**row, "cluster": row["template"]} for row in _rows(name)] for name in ("math", "math_few_shot"))
    return _splits(test=test, train=train)


def facts(**_: Any) -> Any:
    """Questions with four choices; `answer` is the position of the right one."""
    return _splits(test=_rows("facts"))


def cloze(**_: Any) -> Any:
    """Passages whose last word is to be guessed."""
    return _splits(test=_rows("cloze"))


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def _splits(**splits: Iterable[dict[str, Any]]) -> Any:
    from datasets import Dataset, DatasetDict

    return DatasetDict({name: Dataset.from_list(list(rows)) for name, rows in splits.items()})


def _turns(passage: dict[str, Any], most: int) -> Iterator[dict[str, Any]]:
    """`most` accepted answers for every question, the first repeated where there are fewer: coqa's code drops doubles,
    and `datasets` wants the same keys everywhere."""
    for asked in range(1, len(passage["turns"]) + 1):
        so_far = passage["turns"][:asked]
        answers = [[*turn["answers"], *turn["answers"][:1] * most][:most] for turn in so_far]
        first, *others = ({"input_text": list(column)} for column in zip(*answers, strict=True))
        yield {
            "id": f"{passage['id']}-{asked}",
            "cluster": passage["id"],
            "story": passage["story"],
            "questions": {"input_text": [turn["question"] for turn in so_far]},
            "answers": first,
            "additional_answers": {str(at): other for at, other in enumerate(others)},
        }
