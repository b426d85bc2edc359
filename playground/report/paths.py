"""Take the paths of this machine out of a run that leaves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from playground.settings import settings
from playground.store.schema import Run

ELSEWHERE = "…"


def run(row: Mapping[str, Any]) -> dict[str, Any]:
    """A run's row, or part of one: of a local model, a text file and a folder only the last name."""
    divergence = (row.get("settings") or {}).get("divergence")
    made = (row.get("result") or {}).get("row") or {}  # of a quantization
    names = [
        row.get("model", ""),
        *(name for variant in row["variants"] for name in _with_and_without_engine(str(variant["id"]))),
        divergence.get("text", "") if isinstance(divergence, Mapping) else "",
        (row.get("settings") or {}).get("text", ""),
        *((made.get("path", ""), made.get("recipe_path", "")) if isinstance(made, Mapping) else ()),
        *_calibrations(row),
    ]
    return dict(without_paths(dict(row), names))


def travelling(found: Run) -> Run:
    """The same run without paths of this machine."""
    return Run(**run(found.as_row()))


def _with_and_without_engine(name: str) -> tuple[str, ...]:
    """A bench names addresses in its variants, "/models/tiny@vllm", and the variant alone in its rows."""
    return name, name.rpartition("@")[0]


def _calibrations(value: Any) -> list[str]:
    """Sources of calibration text, wherever a recipe stands in the row."""
    if isinstance(value, Mapping):
        here = value.get("calibration")
        own = [str(here.get("source", ""))] if isinstance(here, Mapping) else []
        return own + [found for one in value.values() for found in _calibrations(one)]
    return [found for one in value for found in _calibrations(one)] if isinstance(value, list | tuple) else []


def without_paths(value: Any, names: Iterable[Any]) -> Any:
    """Text, lists and dicts, with every path that one of `names` begins with cut to its last part; and this program's
    own folders too.
    """
    shorter = {place: Path(place).name or ELSEWHERE for name in names if (place := _place(str(name or "")))}
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
