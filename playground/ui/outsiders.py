"""What those see who are not the owner: names and numbers, and no path of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from playground.settings import settings
from playground.store.schema import Job

ELSEWHERE = "…"


def run(row: Mapping[str, Any]) -> dict[str, Any]:
    """A run's row, or part of one: of a local model and of a text file only the last name."""
    names = [row.get("model", ""), *(variant["id"] for variant in row["variants"])]
    return dict(without_paths(dict(row), [*names, *_texts(row.get("settings") or {})]))


def measuring_job(job: Job, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The card or row of an evaluate or divergence job, its errors included."""
    return dict(without_paths(dict(shown), [*(job.spec.get("variants") or ()), *_texts(job.spec)]))


def _texts(asked: Mapping[str, Any]) -> list[str]:
    """Where the text of a divergence comes from, beside tasks or alone."""
    return [str((asked.get("divergence") or {}).get("text", "")), str(asked.get("text") or "")]


def without_paths(value: Any, names: Iterable[Any]) -> Any:
    """Text, lists and dicts, with every path that one of `names` begins with cut to its last part; and this program's
    own folders too.
    """
    shorter = {place: Path(place).name or ELSEWHERE for name in names if (place := _place(str(name)))}
    own = (settings().data, settings().cache, settings().datasets, Path.home())
    shorter |= {str(path): ELSEWHERE for path in own if path is not None and len(str(path)) > 1}
    return _replaced(value, dict(sorted(shorter.items(), key=lambda pair: -len(pair[0]))))


def _place(name: str) -> str:
    """The path that the name of a model or variant begins with, "" where it is none."""
    if not name.startswith(("/", "~", "./", "../")):
        return ""
    model, colon, _ = name.rpartition(":")
    return model if colon and not Path(name).exists() else name


def _replaced(value: Any, shorter: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for place, name in shorter.items():
            value = value.replace(place, name)
        return value
    if isinstance(value, Mapping):
        return {_replaced(key, shorter): _replaced(one, shorter) for key, one in value.items()}
    return [_replaced(one, shorter) for one in value] if isinstance(value, list | tuple) else value
