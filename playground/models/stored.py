"""Variants that were made here: described, loaded and deleted. The store has their rows, a folder their files."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy.exc import SQLAlchemyError

from playground.core import LoadSpec, Variant
from playground.errors import BrokenCheckpoint, CatalogError, InvalidSettings, StoreUnavailable, UnknownVariant
from playground.methods import TABLE, did_you_mean
from playground.models import bundled, checkpoint, hub, names
from playground.models.checkpoint import Checkpoint
from playground.store import database, folders, variants
from playground.store.schema import StoredVariant

log = logging.getLogger(__name__)
MAX_YAML = 100_000


def of_model(model: str) -> list[Variant]:
    """Return the stored variants of a model, oldest first. Variants with missing or broken files have a note."""
    try:
        rows = variants.of_model(names.key(model)) if database.exists() else []
    except (SQLAlchemyError, InvalidSettings, StoreUnavailable) as error:  # as in `names.stored`
        log.warning("%s", error)
        return []
    return [_describe(model, row) for row in rows]


def variant(model: str, name: str) -> Variant:
    """Return a stored variant. Raises BrokenCheckpoint if its files are missing or broken, UnknownVariant."""
    row = find(model, name)
    return _variant(model, row, _open(row))


def load_spec(model: str, name: str) -> LoadSpec:
    """Return what an engine needs to load a stored variant. Raises BrokenCheckpoint, UnknownVariant."""
    row = find(model, name)
    ckpt = _open(row)
    folder = _original(row) if ckpt.form.method == "gguf" else None
    original = "" if folder is None else str(folder)
    return LoadSpec(f"{model}:{name}", ckpt.path, ckpt.form.dtype, None, ckpt.loaded_bytes, ckpt.end_ids, original)


def find(model: str, name: str) -> StoredVariant:
    """Return the row of a variant, with recipe and card. Raises UnknownVariant."""
    row = variants.get(f"{names.key(model)}:{name}") if database.exists() else None
    if row is None:
        raise UnknownVariant(
            f"{model} has no variant {name[:80]!r}.", hint=did_you_mean(name[:80], names.variant_names(model))
        )
    return row


def _open(row: StoredVariant) -> Checkpoint:
    path = Path(row.path)
    if not path.exists():
        raise BrokenCheckpoint(
            f"The files of {row.id} are gone: there is no {path}.", hint="Delete the variant, or quantize once more."
        )
    gguf = path if path.suffix == ".gguf" else next(iter(sorted(path.glob("*.gguf"))), None)
    try:
        if gguf is not None:
            return checkpoint.from_gguf(row.id, gguf, original=_original(row))
        return checkpoint.from_path(row.id, path)
    except CatalogError as error:
        raise BrokenCheckpoint(
            f"The files of {row.id} cannot be used: {error.message}", hint="Delete the variant, or quantize once more."
        ) from error


def _original(row: StoredVariant) -> Path | None:
    """Return the local folder of the model that a variant was made from, without network access.

    None if its config.json is not on this machine, or is newer than the variant: it may be another model's.
    """
    parsed = names.parse(row.model)
    if parsed.kind == "hub":
        cached = hub.snapshot(parsed)
        folder = None if cached is None else cached[0]
    else:
        folder = bundled.folder() if parsed.kind == "bundled" else parsed.path
    try:
        as_it_was = folder is not None and (folder / "config.json").stat().st_mtime <= row.created_at
    except OSError:
        return None
    return folder if as_it_was else None


def _describe(model: str, row: StoredVariant) -> Variant:
    try:
        return _variant(model, row, _open(row))
    except BrokenCheckpoint as error:
        return _variant(model, row, None, (str(error),))


def _variant(model: str, row: StoredVariant, ckpt: Checkpoint | None, notes: tuple[str, ...] = ()) -> Variant:
    """Build a Variant: method and scheme from the row, dtype and engines from the files if they can be opened."""
    form = None if ckpt is None else ckpt.form
    return Variant(
        id=f"{model}:{row.name}", model=model, name=row.name, label=label(row.method, row.scheme), method=row.method,
        scheme=row.scheme, dtype="bfloat16" if form is None else form.dtype, path=row.path,
        bytes=row.bytes if ckpt is None else ckpt.bytes, parameters=row.parameters, group_size=row.group_size,
        engines=("transformers",) if form is None else form.engines, source=f"made here from {model}",
        notes=notes if form is None else form.notes, unread="" if form is None else form.unread,
    )  # fmt: skip


def label(method: str, scheme: str) -> str:
    """Return the variant's label: "AWQ W4A16_ASYM", or the scheme alone if it names its method: "FP8_DYNAMIC"."""
    title = next((row.title for row in TABLE if row.name == method), method.upper())
    return scheme if scheme.lower().startswith(method.lower()) else f"{title} {scheme}"


def recipe_yaml(row: StoredVariant, recipe: Mapping[str, Any]) -> str:
    """Return the recipe file of llm-compressor's `oneshot`, or `recipe` as YAML for other methods."""
    path = row.card.get("recipe_path")
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if path and Path(path).resolve().is_relative_to(Path(row.path).resolve()):
            return Path(path).read_text(encoding="utf-8")[:MAX_YAML]
    return str(yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True))[:MAX_YAML]


@dataclass(frozen=True, slots=True)
class Usage:
    """A stored variant and the bytes of its files on disk; 0 if they are missing."""

    id: str
    path: str
    bytes: int


def disk_usage() -> list[Usage]:
    """Return the disk usage of every stored variant, the largest first."""
    rows = variants.all_variants() if database.exists() else []
    usages = [Usage(row.id, row.path, folders.size(Path(row.path))) for row in rows]
    return sorted(usages, key=lambda usage: -usage.bytes)


def delete(variant_id: str) -> int:
    """Delete a variant and its files; return the freed bytes. Raises UnknownVariant, CatalogError.

    A folder is only removed if it is in the home's folder of variants or has this program's marker.
    """
    model, name = names.split(variant_id)
    row = find(model, name)
    path = Path(row.path)
    if path.exists() and not _is_made_here(path):
        raise CatalogError(
            f"{path} is not a folder that the playground made, so it is not deleted.",
            hint=f"It has no {folders.MARKER}. Delete it yourself; the variant then shows that its files are gone.",
        )
    freed = folders.size(path)
    variants.remove(row.id)
    try:
        folders.remove(path)
    except OSError as error:
        raise CatalogError(
            f"{row.id} is forgotten, but {path} could not be removed: {error.strerror}.", hint="Remove it yourself."
        ) from error
    return freed


def _is_made_here(path: Path) -> bool:
    real, home = path.resolve(), folders.variants().resolve()
    return home in real.parents or (path / folders.MARKER).is_file()
