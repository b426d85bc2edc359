"""The tasks of an evaluation, made ready before any model is loaded: names, permission, data, scores.

A task's data comes from the hub, or from a local folder: `PLAYGROUND_DATASETS/<task>/<split>.jsonl`, one file per split
that the task names, one document per line, with the fields of the data set on the hub:

    gsm8k/train.jsonl, test.jsonl         {"question": …, "answer": …}
    coqa/train.jsonl, validation.jsonl    {"story": …, "questions": {"input_text": […]}, "answers": {"input_text": […]},
                                           "additional_answers": {"0": {"input_text": […]}, …}}, as EleutherAI/coqa

The task stays lm-eval's own: a YAML file that includes the packaged one and names other data.
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
SEEDS = (0, 1234, 1234, 1234)  # lm-eval's own: random, numpy, torch, choice of examples
OnProgress = Callable[[Progress], None]
_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
_FOR_EXAMPLES = ("training_split", "fewshot_split")
GUIDE = "docs/evaluate.md has the layout"
TIMEOUT_S = 5.0
ENDPOINT = "https://huggingface.co"
_TRUE = ("1", "ON", "YES", "TRUE")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Tasks whose names and data are known to be good.

    rows     what was asked for and all below it, by name
    metrics  the score of each task, by name: groups are gone
    kinds    lm-eval's output types among them
    digests  of local data, by task: part of what an answer depends on
    """

    conditions: Conditions
    rows: Mapping[str, tasks.Row]
    metrics: Mapping[str, Metric]
    kinds: frozenset[str]
    digests: Mapping[str, str]
    _manager: Any = field(repr=False)

    def load(self) -> dict[str, Any]:
        """lm-eval's tasks and groups, fresh, as its own `simple_evaluate` prepares them.

        Anew for every variant: some tasks shuffle their choices by the global random state, which is seeded here.
        """
        return _load(self._manager, self.conditions)


def prepare(conditions: Conditions, folder: Path, on_progress: OnProgress) -> Prepared:
    """Look up the tasks and load their data once. `folder` gets the YAML files of those whose data is local.

    Raises UnknownTask, UnsafeTask, MissingData, EvaluationError: all of it before anything is generated.
    """
    rows = tasks.resolve(conditions.tasks, allow_code=conditions.allow_code, on_progress=on_progress)
    on_progress(Progress("reading the tasks"))
    if settings().offline:
        stay_offline()
    places = _places(rows)
    index = _manager(rows, places).task_index
    configs = {name: index[name].cfg or {} for name, row in rows.items() if not row.group and name in index}
    local = {
        name: found
        for name, config in configs.items()
        if (found := find(name, config, _examples(conditions, config))) is not None
    }
    for name, data in local.items():
        packaged = rows[name].yaml
        assert packaged is not None  # noqa: S101  only a tag has none
        data.write(packaged, folder)
    on_hub = [name for name, config in configs.items() if name not in local and _asks_the_hub(config)]
    if on_hub and not reachable():
        stay_offline()
    manager = _manager(rows, [*places, folder] if local else places)
    try:
        loaded = _load(manager, conditions)
        metrics = {name: items.metric(name, task) for name, task in loaded["tasks"].items()}
    except PlaygroundError:
        raise
    except Exception as error:  # whatever `datasets`, the network and the task's own code raise
        raise _typed(error, on_hub, configs, local) from error
    kinds = frozenset(str(task.OUTPUT_TYPE) for task in loaded["tasks"].values())
    digests = {name: data.digest() for name, data in local.items()}
    return Prepared(conditions, rows, metrics, kinds, digests, manager)


def _places(rows: Mapping[str, tasks.Row]) -> list[Path]:
    """The folders that hold these tasks: reading them takes milliseconds, all of lm-eval's ten seconds."""
    folders = {row.yaml.parent for row in rows.values() if row.yaml is not None}
    return sorted(one for one in folders if folders.isdisjoint(one.parents))


def _manager(rows: Mapping[str, tasks.Row], places: Sequence[Path]) -> Any:
    """lm-eval's own index of these folders. A tag over several of them would hold only the last one's tasks."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False, include_path=[str(place) for place in places])
    for row in rows.values():
        if row.yaml is None and row.name in manager.task_index:
            manager.task_index[row.name].tags = set(row.members)
    return manager


def _examples(conditions: Conditions, config: Mapping[str, Any]) -> int:
    """Examples before each question. A task that fixes 0 keeps it, as in lm-eval."""
    own = config.get("num_fewshot")
    return int(own or 0) if own == 0 or conditions.few_shot is None else conditions.few_shot


def _asks_the_hub(config: Mapping[str, Any]) -> bool:
    return "custom_dataset" not in config and config.get("dataset_path", "") not in BUILT_IN


def _load(manager: Any, conditions: Conditions) -> dict[str, Any]:
    import numpy as np
    from lm_eval.utils import set_torch_seed

    own = (conditions.seed,) * 4 if conditions.seed is not None else SEEDS
    random.seed(own[0])
    np.random.seed(own[1])
    set_torch_seed(own[2])
    loaded: dict[str, Any] = manager.load(list(conditions.tasks))
    arguments = conditions.generation_arguments()
    for task in loaded["tasks"].values():
        if arguments and task.get_config("output_type") == "generate_until":
            task.set_config(key="generation_kwargs", value=arguments, update=True)
        config = {"num_fewshot": task.get_config("num_fewshot")}
        task.set_config(key="num_fewshot", value=_examples(conditions, config))
        task.set_fewshot_seed(seed=own[3])
    return loaded


def _typed(
    error: Exception, on_hub: list[str], configs: Mapping[str, Any], local: Mapping[str, Any]
) -> PlaygroundError:
    """One sentence for what a task's data or code said, and what to do."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    if "Duplicate task" in said:
        return EvaluationError(f"{said}.", hint="Name each task once, alone or in its group.")
    if on_hub:
        name = next((one for one in on_hub if str(configs[one].get("dataset_path")) in str(error)), on_hub[0])
        config = configs[name]
        splits = [f"{split}.jsonl" for key in ("test_split", "validation_split") if (split := config.get(key))][:1]
        return MissingData(
            f"The data of {name} ({config.get('dataset_path')}) cannot be had: {said}",
            hint=f"Connect to the hub once, or set PLAYGROUND_DATASETS to a folder with "
            f"{name}/{(splits or ['test.jsonl'])[0]} ({GUIDE}); the bundled tasks need neither.",
        )
    if local:
        return MissingData(f"The local data of {', '.join(local)} cannot be used: {said}", hint=f"Correct it; {GUIDE}.")
    return EvaluationError(f"{', '.join(configs)} cannot be prepared: {said}", hint="Choose another task.")


# Data from a local folder.


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


# Whether the hub answers: asked before a library tries it again and again for half a minute.


def reachable() -> bool:
    """One question to the hub, answered or not. False at once where somebody has set offline."""
    if settings().offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        return False
    try:
        httpx.head(os.environ.get("HF_ENDPOINT", ENDPOINT), timeout=TIMEOUT_S)
    except httpx.HTTPError:
        return False
    return True


def stay_offline() -> None:
    """The hub's libraries use what is cached in this process and its children, also those that are imported already."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    for module, name in (("huggingface_hub.constants", "HF_HUB_OFFLINE"), ("datasets.config", "HF_HUB_OFFLINE")):
        if module in sys.modules:
            setattr(sys.modules[module], name, True)
