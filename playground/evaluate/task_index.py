"""`python -m playground.evaluate.task_index FILE`: write lm-eval's index of its tasks as JSON.

lm-eval reads 14,000 YAML files for it, which takes 4 to 10 s; so a separate process does it once per version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from playground import process
from playground.files import write_whole


def main() -> None:
    file = Path(sys.argv[1])
    from lm_eval import tasks

    root = Path(tasks.__file__).parent
    rows = {name: _row(entry, root) for name, entry in tasks.TaskManager().task_index.items()}
    write_whole(file, json.dumps({"root": str(root), "rows": rows}))
    process.say({"result": {"tasks": len(rows)}})


def _row(entry: Any, root: Path) -> dict[str, Any]:
    """The fields of `tasks.Row`."""
    config = entry.cfg or {}
    members = sorted(entry.tags) if entry.yaml_path is None else [*names(config.get("task"))]
    return {
        "yaml": None if entry.yaml_path is None else str(entry.yaml_path.relative_to(root)),
        "members": members,
        "group": entry.kind.name in ("GROUP", "TAG"),
        "unsafe": bool(config.get("unsafe_code")),
    }


def names(listed: Any) -> Iterator[str]:
    """Yield the tasks and groups that a group's YAML lists, including those of groups defined inline."""
    for item in listed if isinstance(listed, Iterable) and not isinstance(listed, str) else ():
        if isinstance(item, str):
            yield item
        elif isinstance(inner := item.get("task"), str):
            yield inner
        elif inner:
            yield from names(inner)
        elif "group" in item:
            yield item["group"]


if __name__ == "__main__":
    main()
