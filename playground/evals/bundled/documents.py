"""The bundled tasks' documents, as each YAML asks for them with `custom_dataset: !function documents.…`.

A data file named in YAML would have to have an absolute path, a function finds its own wherever the package lies; and
nothing is written into the cache of `datasets`. lm-eval loads this file by its path, so it imports nothing of ours.

Every document has an `id` and a `cluster`: the passage or the template that it shares with others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


def reading(**_: Any) -> Any:
    """One document a question, in the layout of EleutherAI/coqa: the conversation so far, its last question open."""
    return _splits(test=(turn for passage in _rows("reading") for turn in _turns(passage)))


def math(**_: Any) -> Any:
    """Word problems, and worked examples from templates of their own for the prompt."""
    test, train = ([{**row, "cluster": row["template"]} for row in _rows(name)] for name in ("math", "math_few_shot"))
    return _splits(test=test, train=train)


def facts(**_: Any) -> Any:
    """Questions with four choices; `answer` is the position of the right one."""
    return _splits(test=({**row, "cluster": row["id"]} for row in _rows("facts")))


def cloze(**_: Any) -> Any:
    """Passages whose last word is to be guessed."""
    return _splits(test=({**row, "cluster": row["id"]} for row in _rows("cloze")))


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def _splits(**splits: Iterable[dict[str, Any]]) -> Any:
    from datasets import Dataset, DatasetDict

    return DatasetDict({name: Dataset.from_list(list(rows)) for name, rows in splits.items()})


def _turns(passage: dict[str, Any]) -> Iterable[dict[str, Any]]:
    turns = passage["turns"]
    most = max(len(turn["answers"]) for row in _rows("reading") for turn in row["turns"])
    for asked in range(1, len(turns) + 1):
        so_far = turns[:asked]
        # Every document needs the same keys; coqa's own code drops an answer that is there twice.
        others = {
            str(at): {"input_text": [turn["answers"][at if at < len(turn["answers"]) else 0] for turn in so_far]}
            for at in range(1, most)
        }
        yield {
            "id": f"{passage['id']}-{asked}",
            "cluster": passage["id"],
            "story": passage["story"],
            "questions": {"input_text": [turn["question"] for turn in so_far]},
            "answers": {"input_text": [turn["answers"][0] for turn in so_far]},
            "additional_answers": others,
        }
