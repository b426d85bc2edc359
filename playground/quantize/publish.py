"""From a complete folder to a variant in the catalog: on the disk first, then under its name, then in the store.

Killed anywhere in between, either nothing is in the catalog, or all of it is.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playground.errors import InvalidRequest
from playground.store import folders, variants
from playground.store.schema import Run, StoredVariant

MAX_SLUG = 80


def destination(model: str, name: str, out: str) -> Path:
    """Where a variant will lie. Raises InvalidRequest when something that is not a variant is there."""
    if not out:
        return folders.variants() / f"{_slug(model)}-{name}"
    target = Path(out).expanduser().absolute()
    if target.exists() and not (target / folders.MARKER).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidRequest(f"{target} exists and holds something else.", hint="Choose an empty or a new folder.")
    return target


def _slug(model: str) -> str:
    """A folder name for a model name; what had to be changed is told apart by a checksum."""
    import zlib

    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-.")[-MAX_SLUG:]
    return plain if plain == model else f"{plain}-{zlib.crc32(model.encode()):08x}"


def write_marker(folder: Path, facts: Mapping[str, Any]) -> None:
    """`playground.json`: what this folder is, readable without the store."""
    (folder / folders.MARKER).write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def publish(partial: Path, target: Path, variant: StoredVariant, run: Run) -> None:
    """Everything to the disk, then the name, then the store: the variant and the run that made it, together. A variant
    that was there before is replaced."""
    for path in (*partial.rglob("*"), partial):
        _sync(path)
    before = folders.set_aside(partial)
    if target.is_dir() and any(target.iterdir()):
        target.rename(before)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(target)
    _sync(target.parent)
    variants.add(variant, run)
    folders.remove(before)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def now() -> float:
    """Seconds since the epoch, as the store keeps them."""
    return time.time()
