"""Remove the paths of this machine from a run before it is exported or shown to a visitor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from playground.settings import settings
from playground.store.schema import Run

PLACEHOLDER = "…"


def run(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's row, or part of one, with paths of models, texts and folders cut to their last part."""
    divergence = (row.get("settings") or {}).get("divergence")
    quantized = (row.get("result") or {}).get("row") or {}  # of a quantization
    names = [
        row.get("model", ""),
        *(name for variant in row["variants"] for name in _with_and_without_engine(str(variant["id"]))),
        divergence.get("text", "") if isinstance(divergence, Mapping) else "",
        (row.get("settings") or {}).get("text", ""),
        *((quantized.get("path", ""), quantized.get("recipe_path", "")) if isinstance(quantized, Mapping) else ()),
        *_calibration_sources(row),
    ]
    return dict(without_paths(dict(row), names))


def without_machine_paths(stored: Run) -> Run:
    """Return the run without paths of this machine."""
    return Run(**run(stored.as_row()))


def _with_and_without_engine(name: str) -> tuple[str, ...]:
    """Return a name with and without its engine: a bench has "/models/tiny@vllm" in its variants, not in its rows."""
    return name, name.rpartition("@")[0]


def _calibration_sources(value: Any) -> list[str]:
    """Return the sources of calibration text of all recipes in the row."""
    if isinstance(value, Mapping):
        calibration = value.get("calibration")
        sources = [str(calibration.get("source", ""))] if isinstance(calibration, Mapping) else []
        return sources + [source for part in value.values() for source in _calibration_sources(part)]
    return (
        [source for part in value for source in _calibration_sources(part)] if isinstance(value, list | tuple) else []
    )


def without_paths(value: Any, names: Iterable[Any]) -> Any:
    """Return text, lists and dicts in which the path of each name is cut to its last part, and this program's folders
    are replaced by `PLACEHOLDER`.
    """
    shorter = {path: Path(path).name or PLACEHOLDER for name in names if (path := _path_of(str(name or "")))}
    folders = (settings().data, settings().cache, settings().datasets, Path.home())
    shorter |= {str(path): PLACEHOLDER for path in folders if path is not None and len(str(path)) > 1}
    return _replace(value, dict(sorted(shorter.items(), key=lambda pair: -len(pair[0]))))


def _path_of(name: str) -> str:
    """Return the path at the start of the name of a model or variant; "" if there is none."""
    if not name.startswith(("/", "~", "./", "../")):
        return ""
    model, colon, _ = name.rpartition(":")
    return model if colon and not Path(name).exists() else name


def _replace(value: Any, shorter: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for path, name in shorter.items():
            value = value.replace(path, name)
        return value
    if isinstance(value, Mapping):
        return {_replace(key, shorter): _replace(part, shorter) for key, part in value.items()}
    return [_replace(part, shorter) for part in value] if isinstance(value, list | tuple) else value
