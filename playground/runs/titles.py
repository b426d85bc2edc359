"""The title of a run in words: the owner's, or "BF16, RTN W4A16 and GGUF Q4_0 on 4 tasks".

Measurements of a job and of Speed are stored with a title made of ids. A run never changes, so the words are made from
its variants and settings whenever it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from playground.evaluate.report import with_labels
from playground.models import stored
from playground.report import paths
from playground.store.runs import Entry
from playground.store.schema import Run

MAX_NAMES = 4  # of variants; the others are counted
MAX_TASKS = 2  # that are named; more are counted


def title_of(entry: Entry) -> str:
    """Return the title of a run, without a path of this machine."""
    return entry.title if entry.title != entry.run.title else words(entry.run)


def words(run: Run) -> str:
    """Return the title of a run without its owner's, and without a path of this machine. `result` is not read."""
    ids, names = [str(facts["id"]) for facts in run.variants], [str(row["label"]) for row in with_labels(run.variants)]
    title = run.title
    match run.kind:
        case "evaluation" if ids and title.startswith((f"{ids[0]}, ", f"{ids[0]} · ")):
            title = f"{listed(names)}{_tasks(run.settings)}"
        case "divergence" if ids and title.startswith(f"{ids[0]} · divergence of "):
            title = f"Divergence of {listed(names[1:])} from {names[0]}"
        case "quantization" if (recipe := run.settings.get("recipe") or {}) and " · " in title:
            title = _recipe(recipe, title.partition(" · ")[0])
        case "bench" if " · " in title:
            title = f"Speed of {listed(names)}{_lengths(run.settings)}"
    facts = [{"id": name} for name in ids]
    return str(paths.run({"title": title, "model": run.model, "settings": run.settings, "variants": facts})["title"])


def listed(names: Sequence[str]) -> str:
    """Return "A, B and C"; of more than `MAX_NAMES` the first and how many more there are."""
    shown = list(names) if len(names) <= MAX_NAMES else [*names[: MAX_NAMES - 1], f"{len(names) - MAX_NAMES + 1} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)


def _tasks(settings: Mapping[str, Any]) -> str:
    tasks, limit = [str(name) for name in settings.get("tasks") or ()], settings.get("limit")
    if not tasks:
        return ""
    names = listed(tasks) if len(tasks) <= MAX_TASKS else f"{len(tasks)} tasks"
    return f" on {names}" + (f", {limit:,} items{' each' if len(tasks) > 1 else ''}" if limit else "")


def _recipe(recipe: Mapping[str, Any], model: str) -> str:
    method, scheme, group = (recipe.get(name) for name in ("method", "scheme", "group_size"))
    name = Path(model).name if model.startswith(("/", "~", ".")) else model
    return f"{stored.label(str(method), str(scheme))} of {name}" + (f", group size {group}" if group else "")


def _lengths(settings: Mapping[str, Any]) -> str:
    read, written = settings.get("prompt_tokens"), settings.get("output_tokens")
    parts = [f"{count:,} tokens {verb}" for count, verb in ((read, "read"), (written, "written")) if count]
    return f": {', '.join(parts)}" if parts else ""
