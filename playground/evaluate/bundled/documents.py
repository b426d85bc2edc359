"""Documents of the bundled tasks; each YAML names its function as `custom_dataset: !function documents.…`.

A data file named in YAML would need an absolute path; a function finds its file wherever the package is installed, and
writes nothing into the cache of `datasets`. lm-eval loads this file by its path, so it imports nothing of playground.

Every document has an `id`. Documents about one passage, or from one template, have the same `cluster`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


def reading(**_: Any) -> Any:
    """Return one document for each question, as EleutherAI/coqa: the conversation so far, its last question open."""
    passages = _rows("reading")
    most = max(len(turn["answers"]) for passage in passages for turn in passage["turns"])
    return _splits(test=(turn for passage in passages for turn in _turns(passage, most)))


def math(**_: Any) -> Any:
    """Return word problems (test) and worked examples from other templates (train) for the prompt."""
    test, train = ([{**row, "cluster": row["template"]} for row in _rows(name)] for name in ("math", "math_few_shot"))
    return _splits(test=test, train=train)


def facts(**_: Any) -> Any:
    """Return questions with four choices; `answer` is the index of the correct one."""
    return _splits(test=_rows("facts"))


def cloze(**_: Any) -> Any:
    """Return passages whose last word is to be predicted."""
    return _splits(test=_rows("cloze"))


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def _splits(**splits: Iterable[dict[str, Any]]) -> Any:
    from datasets import Dataset, DatasetDict

    return DatasetDict({name: Dataset.from_list(list(rows)) for name, rows in splits.items()})


def _turns(passage: dict[str, Any], most: int) -> Iterator[dict[str, Any]]:
    """Yield a document for each question, with `most` accepted answers; missing ones repeat the first.

    `datasets` needs the same keys in every document, and coqa's code drops duplicate answers.
    """
    for count in range(1, len(passage["turns"]) + 1):
        so_far = passage["turns"][:count]
        answers = [[*turn["answers"], *turn["answers"][:1] * most][:most] for turn in so_far]
        first, *others = ({"input_text": list(column)} for column in zip(*answers, strict=True))
        yield {
            "id": f"{passage['id']}-{count}",
            "cluster": passage["id"],
            "story": passage["story"],
            "questions": {"input_text": [turn["question"] for turn in so_far]},
            "answers": first,
            "additional_answers": {str(at): other for at, other in enumerate(others)},
        }
