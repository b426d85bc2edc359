"""Prepare the tasks of an evaluation before any model is loaded: resolve names, check permission, load the data.

A task's data comes from the hub, or from a local folder: `PLAYGROUND_DATASETS/<task>/<split>.jsonl`, one file per split
that the task names, one document per line, with the fields of the data set on the hub:

    gsm8k/train.jsonl, test.jsonl         {"question": …, "answer": …}
    coqa/train.jsonl, validation.jsonl    {"story": …, "questions": {"input_text": […]}, "answers": {"input_text": […]},
                                           "additional_answers": {"0": {"input_text": […]}, …}}, as EleutherAI/coqa

The task stays lm-eval's: a YAML file is written that includes the packaged one and overrides its data files.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from playground.core import Progress
from playground.errors import EvaluationError, MissingData, PlaygroundError
from playground.evaluate import items, tasks
from playground.evaluate.items import Metric
from playground.evaluate.spec import Conditions
from playground.settings import settings

BUILT_IN = ("json", "csv", "parquet", "text", "arrow", "pandas", "webdataset")  # readers of `datasets`, not data
SEEDS = (0, 1234, 1234, 1234)  # lm-eval's defaults: random, numpy, torch, few-shot examples
OnProgress = Callable[[Progress], None]
_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
_FOR_EXAMPLES = ("training_split", "fewshot_split")
GUIDE = "docs/evaluate.md has the layout"
TIMEOUT_S = 5.0
ENDPOINT = "https://huggingface.co"
_TRUE = ("1", "ON", "YES", "TRUE")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Tasks that resolved and whose data loaded.

    rows     the requested tasks and groups and all their members, by name
    metrics  the metric of each task, by name; groups have none
    kinds    lm-eval's output types that occur
    digests  sha256 of local data, by task: a part of the conditions
    """

    conditions: Conditions
    rows: Mapping[str, tasks.Row]
    metrics: Mapping[str, Metric]
    kinds: frozenset[str]
    digests: Mapping[str, str]
    _manager: Any = field(repr=False)

    def load(self) -> dict[str, Any]:
        """Return new lm-eval task objects, prepared as its `simple_evaluate` does.

        Load them again for every variant: some tasks shuffle choices with the global random state, seeded here.
        """
        return _load(self._manager, self.conditions)


def prepare(conditions: Conditions, folder: Path, on_progress: OnProgress) -> Prepared:
    """Resolve the tasks and load their data once. YAML files of tasks with local data are written to `folder`.

    Raises UnknownTask, UnsafeTask, MissingData, EvaluationError.
    """
    rows = tasks.resolve(conditions.tasks, allow_code=conditions.allow_code, on_progress=on_progress)
    on_progress(Progress("reading the tasks"))
    if settings().offline:
        stay_offline()
    task_folders = _task_folders(rows)
    index = _manager(rows, task_folders).task_index
    configs = {name: index[name].cfg or {} for name, row in rows.items() if not row.group and name in index}
    local = {
        name: data
        for name, config in configs.items()
        if (data := find(name, config, _examples(conditions, config))) is not None
    }
    for name, data in local.items():
        packaged = rows[name].yaml
        assert packaged is not None  # noqa: S101  only a tag has none
        data.write(packaged, folder)
    on_hub = [name for name, config in configs.items() if name not in local and _needs_hub(config)]
    if on_hub and not reachable():
        stay_offline()
    manager = _manager(rows, [*task_folders, folder] if local else task_folders)
    try:
        loaded = _load(manager, conditions)
        metrics = {name: items.metric(name, task) for name, task in loaded["tasks"].items()}
    except PlaygroundError:
        raise
    except Exception as error:  # `datasets`, the network and the task's code can raise anything
        raise _to_error(error, on_hub, configs, local) from error
    kinds = frozenset(str(task.OUTPUT_TYPE) for task in loaded["tasks"].values())
    digests = {name: data.digest() for name, data in local.items()}
    return Prepared(conditions, rows, metrics, kinds, digests, manager)


def _task_folders(rows: Mapping[str, tasks.Row]) -> list[Path]:
    """Return the folders of these tasks, without nested ones. Indexing only them takes milliseconds; all, 10 s."""
    folders = {row.yaml.parent for row in rows.values() if row.yaml is not None}
    return sorted(folder for folder in folders if folders.isdisjoint(folder.parents))


def _manager(rows: Mapping[str, tasks.Row], task_folders: Sequence[Path]) -> Any:
    """Return lm-eval's TaskManager for these folders. Tags are completed: it keeps only the last folder's tasks."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False, include_path=[str(folder) for folder in task_folders])
    for row in rows.values():
        if row.yaml is None and row.name in manager.task_index:
            manager.task_index[row.name].tags = set(row.members)
    return manager


def _examples(conditions: Conditions, config: Mapping[str, Any]) -> int:
    """Return the number of few-shot examples. A task that sets 0 keeps it, as in lm-eval."""
    configured = config.get("num_fewshot")
    return int(configured or 0) if configured == 0 or conditions.few_shot is None else conditions.few_shot


def _needs_hub(config: Mapping[str, Any]) -> bool:
    return "custom_dataset" not in config and config.get("dataset_path", "") not in BUILT_IN


def _load(manager: Any, conditions: Conditions) -> dict[str, Any]:
    import numpy as np
    from lm_eval.utils import set_torch_seed

    seeds = (conditions.seed,) * 4 if conditions.seed is not None else SEEDS
    random.seed(seeds[0])
    np.random.seed(seeds[1])
    set_torch_seed(seeds[2])
    loaded: dict[str, Any] = manager.load(list(conditions.tasks))
    arguments = conditions.generation_arguments()
    for task in loaded["tasks"].values():
        if arguments and task.get_config("output_type") == "generate_until":
            task.set_config(key="generation_kwargs", value=arguments, update=True)
        config = {"num_fewshot": task.get_config("num_fewshot")}
        task.set_config(key="num_fewshot", value=_examples(conditions, config))
        task.set_fewshot_seed(seed=seeds[3])
    return loaded


def _to_error(
    error: Exception, on_hub: list[str], configs: Mapping[str, Any], local: Mapping[str, Any]
) -> PlaygroundError:
    """Return the error for an exception of a task's data or code, with a hint where the data comes from."""
    message = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    if "Duplicate task" in message:
        return EvaluationError(f"{message}.", hint="Name each task once, alone or in its group.")
    if on_hub:
        name = next((task for task in on_hub if str(configs[task].get("dataset_path")) in str(error)), on_hub[0])
        config = configs[name]
        splits = [f"{split}.jsonl" for key in ("test_split", "validation_split") if (split := config.get(key))][:1]
        return MissingData(
            f"The data of {name} ({config.get('dataset_path')}) cannot be had: {message}",
            hint=f"Connect to the hub once, or set PLAYGROUND_DATASETS to a folder with "
            f"{name}/{(splits or ['test.jsonl'])[0]} ({GUIDE}); the bundled tasks need neither.",
        )
    if local:
        return MissingData(
            f"The local data of {', '.join(local)} cannot be used: {message}", hint=f"Correct it; {GUIDE}."
        )
    return EvaluationError(f"{', '.join(configs)} cannot be prepared: {message}", hint="Choose another task.")


# Data from a local folder.


@dataclass(frozen=True, slots=True)
class LocalData:
    """Local data of one task. `splits`: file by split name; `without`: YAML keys of splits that are missing."""

    task: str
    splits: Mapping[str, Path]
    without: tuple[str, ...] = ()

    def write(self, packaged: Path, folder: Path) -> None:
        """Write a YAML file to `folder` that includes the packaged task and reads this data."""
        content = {
            "include": str(packaged),
            "task": self.task,
            "tag": None,  # otherwise the packaged task's tags would contain only this task
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
        """Return the sha256 of all files and their split names, as hex."""
        total = hashlib.sha256()
        for split, file in sorted(self.splits.items()):
            with file.open("rb") as opened:
                total.update(f"{split} {hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
        return total.hexdigest()


def find(task: str, config: Mapping[str, Any], few_shot: int) -> LocalData | None:
    """Return the local data of a task, or None without a folder for it.

    config    the task's YAML
    few_shot  number of examples; without any their split may be missing

    Raises MissingData if a needed split is missing.
    """
    root = settings().datasets
    if root is None:
        return None
    folder = root.expanduser().absolute() / task
    if not folder.is_dir():
        return None
    split_names = {key: str(config[key]) for key in _SPLITS if config.get(key)}
    files = {split: file for split in split_names.values() if (file := folder / f"{split}.jsonl").is_file()}
    needed = dict(_required_splits(split_names, few_shot))
    for split, purpose in needed.items():
        if split not in files:
            raise MissingData(f"There is no {folder / split}.jsonl, {purpose}.", hint=f"Put it there; {GUIDE}.")
    without = tuple(key for key, split in split_names.items() if split not in files)
    return LocalData(task, files, without)


def question_split(config: Mapping[str, Any]) -> str:
    """Return the name of the split with a task's questions; "" if its YAML names none."""
    return str(config.get("test_split") or config.get("validation_split") or "")


def _required_splits(split_names: Mapping[str, str], few_shot: int) -> Iterator[tuple[str, str]]:
    """Yield (split, purpose) for each split that must exist."""
    if split := question_split(split_names):
        yield split, "which holds the questions"
    examples = next((split_names[key] for key in reversed(_FOR_EXAMPLES) if key in split_names), None)
    if examples and few_shot:
        yield examples, f"from which the {few_shot} examples before each question come"


# Checked first, because the hub's libraries retry for half a minute.


def reachable() -> bool:
    """Return whether the hub answers one HEAD request. False without a request if an offline setting is on."""
    if settings().offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        return False
    try:
        httpx.head(os.environ.get("HF_ENDPOINT", ENDPOINT), timeout=TIMEOUT_S)
    except httpx.HTTPError:
        return False
    return True


def stay_offline() -> None:
    """Make the hub's libraries use only their cache, in this process and its children.

    Also sets the constants of libraries that are already imported.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    for module, name in (("huggingface_hub.constants", "HF_HUB_OFFLINE"), ("datasets.config", "HF_HUB_OFFLINE")):
        if module in sys.modules:
            setattr(sys.modules[module], name, True)
