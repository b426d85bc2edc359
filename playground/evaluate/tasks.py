"""Which tasks there are, by name: lm-eval's 14,000 and the bundled ones. Reads YAML and an index, never lm-eval itself.

Only a name that is neither bundled nor a preset needs lm-eval's whole index, which is built once (`task_index`). How
many items a task has is told as far as that is known without loading it.
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
NEAR = 5  # names that an unknown one is told
OnProgress = Callable[[Progress], None]
FULL = {"gsm8k": 1319, "coqa": 500}  # items that lm-eval asks of each when there is no limit


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """One line of the searchable list. `unsafe`: it runs code that the model wrote."""

    name: str
    title: str
    group: bool
    bundled: bool
    unsafe: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A task, group or tag of the index.

    yaml     its file; None for a tag, which is only a name on its tasks
    members  of a group or tag: what it consists of, by name
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
    """Every task: the presets, the bundled ones, then lm-eval's by name. The first time takes some seconds.

    Raises EvaluationError when lm-eval cannot be asked.
    """
    first = [*_presets().values(), *bundled().values()]
    own = {row.name for row in first}
    rest = (row for name, row in sorted(_indexed(on_progress).items()) if name not in own)
    return [row.choice() for row in (*first, *rest)]


def search(text: str, on_progress: OnProgress = lambda _: None) -> list[TaskChoice]:
    """Those whose name or title holds every word of `text`, names that begin with it first."""
    words = text.lower().split()
    found = [one for one in all_tasks(on_progress) if all(word in f"{one.name} {one.title}".lower() for word in words)]
    return sorted(found, key=lambda one: not one.name.lower().startswith(text.lower().strip()))


def resolve(
    names: Sequence[str], *, allow_code: bool = False, on_progress: OnProgress = lambda _: None
) -> dict[str, Row]:
    """What was asked for and, below groups, everything it consists of, by name.

    Raises UnknownTask with the nearest names, UnsafeTask where a task runs the model's code and that is not allowed.
    """
    found = {name: _row(name, on_progress) for name in dict.fromkeys(names)}
    waiting = [member for row in found.values() for member in row.members]
    while waiting:
        name = waiting.pop()
        if name not in found and (row := _find(name, on_progress)) is not None:  # None: its group defines it in place
            found[name] = row
            waiting += row.members
    if not allow_code and (unsafe := [row.name for row in found.values() if row.unsafe]):
        raise UnsafeTask(
            f"{', '.join(unsafe[:NEAR])} {'runs' if len(unsafe) == 1 else 'run'} code that the model wrote, "
            "on this machine.",
            hint="Allow it with --allow-code, in a container that may be lost, or leave the task out.",
        )
    return found


def _find(name: str, on_progress: OnProgress) -> Row | None:
    return bundled().get(name) or _presets().get(name) or _indexed(on_progress).get(name)


def _row(name: str, on_progress: OnProgress) -> Row:
    if row := _find(name, on_progress):
        return row
    near = difflib.get_close_matches(name, [*PRESETS, *bundled(), *_indexed(on_progress)], n=NEAR)
    guess = f"Did you mean {', '.join(near)}? " if near else ""
    raise UnknownTask(
        f"There is no task {name[:80]!r}.", hint=f"{guess}Search: python -m playground eval --search WORD"
    )


def _presets() -> dict[str, Row]:
    """The headline tasks, at the place that lm-eval has kept them at; one that moved is found through the index."""
    root = package()
    return {
        name: Row(name, title, root / place) for name, (title, place) in PRESETS.items() if (root / place).is_file()
    }


def own_yaml(name: str) -> Path | None:
    """The file of a bundled task or a preset; None of all others, whose place only the index knows."""
    row = bundled().get(name) or _presets().get(name)
    return row.yaml if row else None


def config(path: Path) -> dict[str, Any]:
    """What a task's YAML says; functions are left as their names. Raises OSError, yaml.YAMLError."""
    found = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506  a safe loader that leaves functions alone
    return found if isinstance(found, dict) else {}


@lru_cache(maxsize=1)
def bundled() -> dict[str, Row]:
    """The tasks that come with this program, groups first."""
    rows = [row for path in sorted(BUNDLED.rglob("*.yaml")) if (row := _read(path)) is not None]
    return {row.name: row for row in sorted(rows, key=lambda row: not row.group)}


def _read(path: Path) -> Row | None:
    """A YAML file as a row; None for one that others include."""
    found = config(path)
    name = found.get("group") or found.get("task")
    if not isinstance(name, str):
        return None
    title = found.get("task_alias") or found.get("group_alias") or name
    members = tuple(member_names(found.get("task"))) if "group" in found else ()
    return Row(name, str(title), path, members, "group" in found, bool(found.get("unsafe_code")), bundled=True)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Reads `!function module.name` as its text: nothing is imported."""


_Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


@lru_cache(maxsize=1)
def package() -> Path:
    """The folder of lm-eval's own tasks, found without importing it. Raises EvaluationError."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise EvaluationError("lm-eval is not installed.", hint="Run `make setup`.")
    return Path(spec.submodule_search_locations[0]) / "tasks"


def _indexed(on_progress: OnProgress) -> Mapping[str, Row]:
    """lm-eval's index, built by a child process when this version's is not there yet."""
    file = settings().cache / f"lm-eval-tasks-{importlib.metadata.version('lm-eval')}.json"
    if not _of_this_package(file):
        on_progress(Progress("Indexing lm-eval's tasks, once"))
        file.parent.mkdir(parents=True, exist_ok=True)
        process.run(
            "playground.evaluate.task_index", [str(file)], on_progress, lambda: False, "Indexing lm-eval's tasks"
        )
    return _loaded(file, file.stat().st_mtime_ns)


def _of_this_package(file: Path) -> bool:
    try:
        with file.open() as opened:
            return json.dumps(str(package())) in opened.read(4096)
    except OSError:
        return False


@lru_cache(maxsize=2)
def _loaded(file: Path, _: int) -> dict[str, Row]:
    content = json.loads(file.read_bytes())
    root = Path(content["root"])
    return dict(_rows(content["rows"], root))


def _rows(rows: Mapping[str, Mapping[str, Any]], root: Path) -> Iterator[tuple[str, Row]]:
    for name, raw in rows.items():
        place = root / raw["yaml"] if raw["yaml"] else None
        title = PRESETS[name][0] if name in PRESETS else name
        yield name, Row(name, title, place, tuple(raw["members"]), raw["group"], raw["unsafe"])


def items(name: str) -> int | None:
    """How many items a task has; None where that is not known without loading it."""
    if name in FULL:
        return FULL[name]
    row = bundled().get(name)
    if row is None:
        return None
    if row.members:
        parts = [items(member) for member in row.members]
        return None if None in parts else sum(part for part in parts if part)
    return _documents(name.removeprefix("bundled_"))


@cache
def _documents(name: str) -> int | None:
    """Of a bundled task's data file: each line is a document, or a passage with several questions."""
    path = BUNDLED / "data" / f"{name}.jsonl"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        return sum(len(json.loads(line).get("turns") or (1,)) for line in file)


def item_count(name: str, limit: int | None) -> int | None:
    """The items of a task that an evaluation with this limit asks; None where that is not known."""
    full = items(name)
    return full if limit is None else limit if full is None else min(limit, full)


def single(asked: Sequence[str]) -> list[str]:
    """Bundled groups as what they consist of; other groups stay one."""
    listed: list[str] = []
    for name in asked:
        row = bundled().get(name)
        listed += single(row.members) if row is not None and row.members else [name]
    return list(dict.fromkeys(listed))


def counted(names: Sequence[str], limit: int | None) -> list[tuple[str, int | None]]:
    """The tasks that were named, bundled groups resolved, and how many items each is asked."""
    return [(name, item_count(name, limit)) for name in single(names)]
