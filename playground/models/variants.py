"""List the variants of a model, describe them, and make one local for an engine."""

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
    """Return the models of the picker: the bundled one, some of the hub's unless offline, and those of endpoints."""
    try:
        remote = [f"@{endpoint.name}/{endpoint.model}" for endpoint in endpoints.endpoints() if endpoint.model]
    except CatalogError as error:  # with a damaged file of endpoints the other models still work
        log.warning("%s", error)
        remote = []
    return [names.BUNDLED, *(() if settings().offline else names.HUB_MODELS), *remote]


def describe(model: str) -> str:
    """Return where a model comes from, in one line, without network access. Raises UnknownModel."""
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
    """Read a model's config and tensor list, from this machine or the hub. Raises CatalogError."""
    parsed = names.parse(model)
    if parsed.kind == "remote":
        raise _no_local_files(model)
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
    """Say what to install if the bundled model is not installed and the hub is unreachable."""
    try:
        yield
    except HubUnreachable as error:
        raise HubUnreachable(
            "smollm2 is not installed and the hub cannot be reached.", hint=f"Run `{bundled.INSTALL}`."
        ) from error


def variants(model: str) -> list[Variant]:
    """Return the reference, then variants made while loading, then stored ones. Raises CatalogError."""
    if (parsed := names.parse(model)).kind == "remote":
        return [_remote(parsed)]
    ckpt = open_checkpoint(model)
    if ckpt.form.quantized:
        return [_reference(model, ckpt), *stored.of_model(model)]
    entries = [(row, entry) for row in TABLE for entry in row.on_load if entry.dtype != ckpt.form.dtype]
    bundled_file = [_bundled_file()] if parsed.kind == "bundled" and bundled.gguf() is not None else []
    on_load_variants = (_on_load(model, ckpt, row, entry) for row, entry in entries)
    return [_reference(model, ckpt), *on_load_variants, *bundled_file, *stored.of_model(model)]


def variant(name: str) -> Variant:
    """Return the variant called `name`; a cast to the checkpoint's dtype is the reference. Raises CatalogError."""
    model, suffix = names.split(name)
    if (parsed := names.parse(model)).kind == "remote":
        return _remote(parsed)
    if parsed.kind == "bundled" and suffix == names.BUNDLED_FILE:
        return _bundled_file()
    if suffix and suffix not in names.built_in(model):
        return stored.variant(model, suffix)
    ckpt = open_checkpoint(model)
    if not suffix:
        return _reference(model, ckpt)
    row, entry = on_load(suffix)
    if ckpt.form.quantized:
        raise UnknownVariant(
            f"{model} is already quantized ({ckpt.form.label}), so there is no {suffix} of it.",
            hint="Start from the original checkpoint it was made from.",
        )
    return _reference(model, ckpt) if entry.dtype == ckpt.form.dtype else _on_load(model, ckpt, row, entry)


def _source(endpoint: endpoints.Endpoint) -> str:
    return f"endpoint {endpoint.name} ({endpoint.host})"


def _remote(parsed: names.Model) -> Variant:
    """Return the variant of an endpoint's model, without network access. Raises UnknownModel."""
    endpoint = endpoints.find(parsed.endpoint)
    served = parsed.repo or endpoint.model
    return Variant(
        id=parsed.name, model=parsed.name, name="reference", label=served.rsplit("/", 1)[-1] or endpoint.name,
        method="remote", scheme="?", dtype="?", path=endpoint.url, engines=("remote",), source=_source(endpoint),
    )  # fmt: skip


def _no_local_files(model: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{model} runs at its endpoint; its files are not here.", hint="Use it with the remote engine alone."
    )


def _reference(model: str, ckpt: Checkpoint) -> Variant:
    form = ckpt.form
    return Variant(
        id=model, model=model, name="reference", label=form.label, method=form.method, scheme=form.scheme,
        dtype=form.dtype, path=ckpt.path, revision=ckpt.revision, bytes=ckpt.bytes, parameters=ckpt.parameters,
        group_size=form.group_size, engines=form.engines, source=ckpt.source, notes=form.notes,
        unread=form.unread,
    )  # fmt: skip


def _bundled_file() -> Variant:
    """Return the bundled GGUF file, from which the reference is restored, as a variant. Raises UnknownVariant."""
    source = bundled.gguf()
    if source is None:
        raise UnknownVariant("The bundled GGUF file is not installed.", hint=f"Run `{bundled.INSTALL}`.")
    model, name = names.BUNDLED, names.BUNDLED_FILE
    ckpt = checkpoint.from_gguf(model, source)
    form = ckpt.form
    return Variant(
        id=f"{model}:{name}", model=model, name=name, label=form.label, method=form.method, scheme=form.scheme,
        dtype=form.dtype, path=ckpt.path, bytes=ckpt.bytes, parameters=ckpt.parameters, group_size=BLOCK,
        engines=("llamacpp",), source="the bundled file itself",
        notes=("the reference holds the same values, rounded to BF16: little is lost between them",),
    )  # fmt: skip


def _on_load(model: str, ckpt: Checkpoint, row: Method, entry: OnLoad) -> Variant:
    dtype = entry.dtype or ckpt.form.dtype
    return Variant(
        id=f"{model}:{entry.name}", model=model, name=entry.name, label=entry.label, method=row.name,
        scheme=entry.scheme, dtype=dtype, path=ckpt.path, revision=ckpt.revision,
        bytes=weights.on_load_bytes(ckpt.tensors, entry, dtype, tied=ckpt.tied), bytes_are_estimated=True,
        parameters=ckpt.parameters, engines=row.engines, source=f"{ckpt.source}; {entry.summary}",
        quantize=entry.name if entry.quantizes else None,
    )  # fmt: skip


def resolve(name: str, progress: Report | None = None, cancelled: Callable[[], bool] | None = None) -> LoadSpec:
    """Make a variant local and return what an engine needs to load it.

    Restores the bundled model, or downloads from the hub at the commit of its description. `cancelled` is polled
    several times per second. Raises CatalogError, Cancelled.
    """
    report, stop = progress or (lambda _: None), cancelled or (lambda: False)
    if stop():
        raise Cancelled(f"Loading {name} was stopped.")
    model, suffix = names.split(name)
    if names.parse(model).kind == "remote":
        raise _no_local_files(name)
    if suffix and suffix not in names.built_in(model):
        return _with_original_ends(stored.load_spec(model, suffix), model)
    facts = variant(name)
    parsed = names.parse(facts.model)
    path = Path(facts.path)
    if parsed.kind == "bundled" and facts.name == names.BUNDLED_FILE:
        return _with_original_ends(LoadSpec(facts.id, str(path), facts.dtype, None, facts.bytes or 0), facts.model)
    if parsed.kind == "bundled" and bundled.gguf() is not None:
        path = bundled.restore(report, stop)
    elif parsed.kind == "bundled":
        with _bundled_from_hub():
            path = _downloaded(names.parse(names.BUNDLED_REPO), report, stop)
    elif parsed.kind == "hub":
        path = _downloaded(parsed, report, stop)
    path = path.absolute()
    local = checkpoint.from_path(facts.model, path)
    expected = local.loaded_bytes if facts.is_reference else facts.bytes or 0
    return LoadSpec(facts.id, str(path), facts.dtype, facts.quantize, expected, local.end_ids)


def _with_original_ends(spec: LoadSpec, model: str) -> LoadSpec:
    """Add the original's end tokens to those of a GGUF file, which lacks most of them."""
    if not spec.path.endswith(".gguf"):
        return spec
    try:
        return replace(spec, end_ids=tuple(sorted({*spec.end_ids, *open_checkpoint(model).end_ids})))
    except CatalogError as error:  # without the original there is no other variant to differ from
        log.warning("%s: the end tokens of %s are not known. %s", spec.id, model, error)
        return spec


def _downloaded(parsed: names.Model, report: Report, stop: Callable[[], bool]) -> Path:
    """Return a complete local copy of a hub model; a broken one in the cache is downloaded again."""
    path = hub.download(parsed, report, stop)
    try:
        checkpoint.from_path(parsed.name, path)
    except BrokenCheckpoint:
        path = hub.download(parsed, report, stop, force=True)
    return path
