"""Variants that were made here: the store knows them, their files are in a folder. Described, loaded and deleted."""

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
    """Oldest first. One whose files are gone or broken is in the list, with a note that says so."""
    try:
        rows = variants.of_model(names.key(model)) if database.exists() else []
    except (SQLAlchemyError, InvalidSettings, StoreUnavailable) as error:  # as in `names.stored`
        log.warning("%s", error)
        return []
    return [_described(model, row) for row in rows]


def variant(model: str, name: str) -> Variant:
    """Raises BrokenCheckpoint when its files are gone or cannot be used, UnknownVariant."""
    row = find(model, name)
    return _variant(model, row, _open(row))


def load_spec(model: str, name: str) -> LoadSpec:
    """What an engine needs. Raises BrokenCheckpoint, UnknownVariant."""
    row = find(model, name)
    found = _open(row)
    folder = _original(row) if found.form.method == "gguf" else None
    original = "" if folder is None else str(folder)
    return LoadSpec(f"{model}:{name}", found.path, found.form.dtype, None, found.loaded_bytes, found.end_ids, original)


def find(model: str, name: str) -> StoredVariant:
    """The row, with recipe and card. Raises UnknownVariant."""
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
    """The folder of the model it was made from; None where its configuration is not on this machine, or was written
    since: it may be another model's. Asks nobody."""
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


def _described(model: str, row: StoredVariant) -> Variant:
    try:
        return _variant(model, row, _open(row))
    except BrokenCheckpoint as error:
        return _variant(model, row, None, (str(error),))


def _variant(model: str, row: StoredVariant, found: Checkpoint | None, notes: tuple[str, ...] = ()) -> Variant:
    """The row says how it was made, the files what they are."""
    form = None if found is None else found.form
    return Variant(
        id=f"{model}:{row.name}", model=model, name=row.name, label=label(row.method, row.scheme), method=row.method,
        scheme=row.scheme, dtype="bfloat16" if form is None else form.dtype, path=row.path,
        bytes=row.bytes if found is None else found.bytes, parameters=row.parameters, group_size=row.group_size,
        engines=("transformers",) if form is None else form.engines, source=f"made here from {model}",
        notes=notes if form is None else form.notes, unread="" if form is None else form.unread,
    )  # fmt: skip


def label(method: str, scheme: str) -> str:
    """What the page calls it: "AWQ W4A16_ASYM"; a scheme that says its method stands alone: "FP8_DYNAMIC"."""
    title = next((row.title for row in TABLE if row.name == method), method.upper())
    return scheme if scheme.lower().startswith(method.lower()) else f"{title} {scheme}"


def recipe_yaml(row: StoredVariant, recipe: Mapping[str, Any]) -> str:
    """The file that llm-compressor's `oneshot` takes, or the recipe in our words for what it does not make."""
    path = row.card.get("recipe_path")
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if path and Path(path).resolve().is_relative_to(Path(row.path).resolve()):
            return Path(path).read_text(encoding="utf-8")[:MAX_YAML]
    return str(yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True))[:MAX_YAML]


@dataclass(frozen=True, slots=True)
class Usage:
    """A stored variant and what its files take on the disk now, in bytes; 0 when they are gone."""

    id: str
    path: str
    bytes: int


def disk_usage() -> list[Usage]:
    """Every stored variant, the largest first."""
    rows = variants.all_variants() if database.exists() else []
    found = [Usage(row.id, row.path, folders.size(Path(row.path))) for row in rows]
    return sorted(found, key=lambda usage: -usage.bytes)


def delete(variant_id: str) -> int:
    """Forget a variant and remove its files; the bytes that are free again.

    Only a folder in the home's folder of variants, or one with this program's marker, is removed. Raises
    UnknownVariant, CatalogError.
    """
    model, name = names.split(variant_id)
    row = find(model, name)
    path = Path(row.path)
    if path.exists() and not _ours(path):
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


def _ours(path: Path) -> bool:
    real, home = path.resolve(), folders.variants().resolve()
    return home in real.parents or (path / folders.MARKER).is_file()
