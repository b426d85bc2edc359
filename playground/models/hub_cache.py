"""The hub library's cache folder: which revision is there, whole or not, and which commit a branch was at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from playground.models.names import Model

COMMIT = re.compile(r"[0-9a-f]{40}")


def _store(model: Model) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{model.repo.replace('/', '--')}"


def snapshot(model: Model) -> tuple[Path, str] | None:
    """Folder (or file) and commit of the cached copy of a revision, whether complete or not."""
    store = _store(model)
    commit = model.revision or "main"
    if not COMMIT.fullmatch(commit):
        try:
            commit = (store / "refs" / commit).read_text().strip()
        except OSError:
            return None
    folder = store / "snapshots" / commit
    path = folder / model.file if model.file else folder
    return (path, commit) if COMMIT.fullmatch(commit) and path.exists() else None


def is_cached(model: Model) -> bool:
    """Whether the weights of this revision are on this machine, by the files' names."""
    found = snapshot(model)
    if found is None:
        return False
    path = found[0]
    return path.is_file() or (path / "model.safetensors").exists() or any(path.glob("model-*.safetensors"))


def complete(path: Path, files: Mapping[str, int]) -> bool:
    """Whether every file is there with its size."""
    try:
        if path.is_file():
            return path.stat().st_size == next(iter(files.values()))
        return all((path / name).stat().st_size == size for name, size in files.items())
    except OSError:
        return False


def remember(model: Model, commit: str) -> None:
    """Note which commit the branch was at, as the library does, so that the name works without the hub."""
    name = model.revision or "main"
    if COMMIT.fullmatch(name):
        return
    ref = _store(model) / "refs" / name
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(commit)
