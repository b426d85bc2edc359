"""A task's data from a local folder instead of the hub: `PLAYGROUND_DATASETS/<task>/<split>.jsonl`.

One file per split that the task names, one document per line, with the fields of the data set on the hub:

    gsm8k/train.jsonl, test.jsonl         {"question": …, "answer": …}
    coqa/train.jsonl, validation.jsonl    {"story": …, "questions": {"input_text": […]}, "answers": {"input_text": […]},
                                           "additional_answers": {"0": {"input_text": […]}, …}}, as EleutherAI/coqa

The task stays lm-eval's own: a YAML file that includes the packaged one and names other data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from playground.errors import MissingData
from playground.settings import settings

_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
_FOR_EXAMPLES = ("training_split", "fewshot_split")
GUIDE = "docs/evaluate.md has the layout"


@dataclass(frozen=True, slots=True)
class LocalData:
    """Where the data of one task lies. `splits`: the task's own name of each split, and its file."""

    task: str
    splits: Mapping[str, Path]
    without: tuple[str, ...] = ()

    def write(self, packaged: Path, folder: Path) -> None:
        """A YAML file of the same task over this data. `without` are settings of splits that are not there."""
        content = {
            "include": str(packaged),
            "task": self.task,
            "tag": None,  # else the tags of the packaged one would hold this task alone
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {
                "data_files": {split: str(file) for split, file in self.splits.items()},
                "cache_dir": str(settings().cache / "datasets"),
            },
            **dict.fromkeys(self.without),
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.task}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def digest(self) -> str:
        """sha256 of the files: other data, other answers."""
        total = hashlib.sha256()
        for split, file in sorted(self.splits.items()):
            with file.open("rb") as opened:
                total.update(f"{split} {hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
        return total.hexdigest()


def find(task: str, config: Mapping[str, Any], few_shot: int) -> LocalData | None:
    """The local data of a task, None where its folder is not there. `config`: its YAML; `few_shot`: examples it shows.

    Raises MissingData when the folder lacks a split that is needed.
    """
    root = settings().datasets
    if root is None:
        return None
    folder = root.expanduser().absolute() / task
    if not folder.is_dir():
        return None
    named = {key: str(config[key]) for key in _SPLITS if config.get(key)}
    there = {split: file for split in named.values() if (file := folder / f"{split}.jsonl").is_file()}
    needed = dict(_needed(named, few_shot))
    for split, purpose in needed.items():
        if split not in there:
            raise MissingData(f"There is no {folder / split}.jsonl, {purpose}.", hint=f"Put it there; {GUIDE}.")
    without = tuple(key for key, split in named.items() if split not in there)
    return LocalData(task, there, without)


def question_split(config: Mapping[str, Any]) -> str:
    """The name of the split that a task's questions are in; "" where its YAML names none."""
    return str(config.get("test_split") or config.get("validation_split") or "")


def _needed(named: Mapping[str, str], few_shot: int) -> Iterator[tuple[str, str]]:
    """The splits that must be there, and what for."""
    if asked := question_split(named):
        yield asked, "which holds the questions"
    examples = next((named[key] for key in reversed(_FOR_EXAMPLES) if key in named), None)
    if examples and few_shot:
        yield examples, f"from which the {few_shot} examples before each question come"
