"""Names of tasks: lm-eval's 14,000 and the bundled ones. Reads YAML and an index; does not import lm-eval.

Only a name that is neither bundled nor a preset needs lm-eval's whole index, which is built once (`task_index`).
"""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from playground import process
from playground.core import Progress
from playground.errors import EvaluationError, UnknownTask, UnsafeTask
from playground.evaluate.task_index import names as member_names
from playground.settings import settings

BUNDLED = Path(__file__).parent / "bundled"
PRESETS = {"coqa": ("CoQA", "coqa/default.yaml"), "gsm8k": ("GSM8K", "gsm8k/gsm8k.yaml")}
MAX_SUGGESTIONS = 5  # suggestions for an unknown name
OnProgress = Callable[[Progress], None]
ITEM_COUNTS = {"gsm8k": 1319, "coqa": 500}  # items of each without a limit


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """One line of the searchable list. `unsafe`: the task runs code that the model wrote."""

    name: str
    title: str
    group: bool
    bundled: bool
    unsafe: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A task, group or tag of the index.

    yaml     its file; None for a tag
    members  names of the tasks of a group or tag
    """

    name: str
    title: str
    yaml: Path | None
    members: tuple[str, ...] = ()
    group: bool = False
    unsafe: bool = False
    bundled: bool = False

    def choice(self) -> TaskChoice:
        return TaskChoice(self.name, self.title, self.group, self.bundled, self.unsafe)


def all_tasks(on_progress: OnProgress = lambda _: None) -> list[TaskChoice]:
    """Return every task: the presets, the bundled ones, then lm-eval's by name. The first call takes some seconds.

    Raises EvaluationError if lm-eval is not installed.
    """
    first = [*_presets().values(), *bundled().values()]
    names = {row.name for row in first}
    rest = (row for name, row in sorted(_indexed(on_progress).items()) if name not in names)
    return [row.choice() for row in (*first, *rest)]


def search(text: str, on_progress: OnProgress = lambda _: None) -> list[TaskChoice]:
    """Return the tasks whose name or title contains every word of `text`, names that start with it first."""
    words = text.lower().split()
    matches = [
        task for task in all_tasks(on_progress) if all(word in f"{task.name} {task.title}".lower() for word in words)
    ]
    return sorted(matches, key=lambda task: not task.name.lower().startswith(text.lower().strip()))


def resolve(
    names: Sequence[str], *, allow_code: bool = False, on_progress: OnProgress = lambda _: None
) -> dict[str, Row]:
    """Return the named tasks and groups and all members of groups, by name.

    Raises UnknownTask with similar names, UnsafeTask if a task runs the model's code and `allow_code` is off.
    """
    rows = {name: _row(name, on_progress) for name in dict.fromkeys(names)}
    pending = [member for row in rows.values() for member in row.members]
    while pending:
        name = pending.pop()
        if name not in rows and (row := _find(name, on_progress)) is not None:  # None: its group defines it in place
            rows[name] = row
            pending += row.members
    if not allow_code and (unsafe := [row.name for row in rows.values() if row.unsafe]):
        raise UnsafeTask(
            f"{', '.join(unsafe[:MAX_SUGGESTIONS])} {'runs' if len(unsafe) == 1 else 'run'} code that the model wrote, "
            "on this machine.",
            hint="Allow it with --allow-code, in a container that may be lost, or leave the task out.",
        )
    return rows


def _find(name: str, on_progress: OnProgress) -> Row | None:
    return bundled().get(name) or _presets().get(name) or _indexed(on_progress).get(name)


def _row(name: str, on_progress: OnProgress) -> Row:
    if row := _find(name, on_progress):
        return row
    near = difflib.get_close_matches(name, [*PRESETS, *bundled(), *_indexed(on_progress)], n=MAX_SUGGESTIONS)
    guess = f"Did you mean {', '.join(near)}? " if near else ""
    raise UnknownTask(
        f"There is no task {name[:80]!r}.", hint=f"{guess}Search: python -m playground eval --search WORD"
    )


def _presets() -> dict[str, Row]:
    """Return the presets whose YAML exists at the expected path; others are looked up in the index."""
    root = package()
    return {
        name: Row(name, title, root / place) for name, (title, place) in PRESETS.items() if (root / place).is_file()
    }


def yaml_path(name: str) -> Path | None:
    """Return the YAML file of a bundled task or a preset; None for tasks that need the index."""
    row = bundled().get(name) or _presets().get(name)
    return row.yaml if row else None


def config(path: Path) -> dict[str, Any]:
    """Return a task's YAML as a dict, functions as their names. Raises OSError, yaml.YAMLError."""
    content = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506  a safe loader that leaves functions alone
    return content if isinstance(content, dict) else {}


@lru_cache(maxsize=1)
def bundled() -> dict[str, Row]:
    """Return the bundled tasks by name, groups first."""
    rows = [row for path in sorted(BUNDLED.rglob("*.yaml")) if (row := _read(path)) is not None]
    return {row.name: row for row in sorted(rows, key=lambda row: not row.group)}


def _read(path: Path) -> Row | None:
    """Return a YAML file as a row; None for a template that others include."""
    content = config(path)
    name = content.get("group") or content.get("task")
    if not isinstance(name, str):
        return None
    title = content.get("task_alias") or content.get("group_alias") or name
    members = tuple(member_names(content.get("task"))) if "group" in content else ()
    return Row(name, str(title), path, members, "group" in content, bool(content.get("unsafe_code")), bundled=True)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Reads `!function module.name` as text and imports nothing."""


_Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


@lru_cache(maxsize=1)
def package() -> Path:
    """Return the folder of lm-eval's tasks without importing it. Raises EvaluationError if it is not installed."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise EvaluationError("lm-eval is not installed.", hint="Run `make setup`.")
    return Path(spec.submodule_search_locations[0]) / "tasks"


def _indexed(on_progress: OnProgress) -> Mapping[str, Row]:
    """Return lm-eval's index; a child process builds it once for each version of lm-eval."""
    file = settings().cache / f"lm-eval-tasks-{importlib.metadata.version('lm-eval')}.json"
    if not _of_this_package(file):
        on_progress(Progress("Indexing lm-eval's tasks, once"))
        file.parent.mkdir(parents=True, exist_ok=True)
        process.run(
            "playground.evaluate.task_index", [str(file)], on_progress, lambda: False, "Indexing lm-eval's tasks"
        )
    return _read_index(file, file.stat().st_mtime_ns)


def _of_this_package(file: Path) -> bool:
    try:
        with file.open() as opened:
            return json.dumps(str(package())) in opened.read(4096)
    except OSError:
        return False


@lru_cache(maxsize=2)
def _read_index(file: Path, _: int) -> dict[str, Row]:
    content = json.loads(file.read_bytes())
    root = Path(content["root"])
    return dict(_rows(content["rows"], root))


def _rows(rows: Mapping[str, Mapping[str, Any]], root: Path) -> Iterator[tuple[str, Row]]:
    for name, raw in rows.items():
        place = root / raw["yaml"] if raw["yaml"] else None
        title = PRESETS[name][0] if name in PRESETS else name
        yield name, Row(name, title, place, tuple(raw["members"]), raw["group"], raw["unsafe"])


def items(name: str) -> int | None:
    """Return the number of items of a task; None if it is unknown without loading the task."""
    if name in ITEM_COUNTS:
        return ITEM_COUNTS[name]
    row = bundled().get(name)
    if row is None:
        return None
    if row.members:
        parts = [items(member) for member in row.members]
        return None if None in parts else sum(part for part in parts if part)
    return _documents(name.removeprefix("bundled_"))


@cache
def _documents(name: str) -> int | None:
    """Count the documents of a bundled data file: a line is one, or a passage with several turns."""
    path = BUNDLED / "data" / f"{name}.jsonl"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        return sum(len(json.loads(line).get("turns") or (1,)) for line in file)


def item_count(name: str, limit: int | None) -> int | None:
    """Return how many items of a task are evaluated with this limit; None if that is unknown."""
    full = items(name)
    return full if limit is None else limit if full is None else min(limit, full)


def without_bundled_groups(names: Sequence[str]) -> list[str]:
    """Return the names with bundled groups replaced by their members; other groups stay."""
    singles: list[str] = []
    for name in names:
        row = bundled().get(name)
        singles += without_bundled_groups(row.members) if row is not None and row.members else [name]
    return list(dict.fromkeys(singles))


def item_counts(names: Sequence[str], limit: int | None) -> list[tuple[str, int | None]]:
    """Return (task, number of items or None) for each name, bundled groups resolved."""
    return [(name, item_count(name, limit)) for name in without_bundled_groups(names)]
