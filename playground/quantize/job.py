"""The quantize job: from a model's name to a stored variant.

resolve → calibrate → quantize → save to a partial folder → reload in a fresh process and compare → publish. Each stage
but the last has its own module.

A complete folder is synced to the disk, then renamed to its final name, then stored. A job that is killed in between
leaves either no variant or a complete one.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from playground import models, texts
from playground.core import Progress
from playground.engines.host.imports import without_sklearn
from playground.errors import InvalidRequest, QuantizeFailed, ReloadMismatch
from playground.files import sync
from playground.jobs import queue, worker
from playground.jobs.kinds import Submit, T
from playground.jobs.progress import Clock, Report
from playground.methods.recipe import Recipe, variant_name
from playground.methods.table import method
from playground.metrics.weights import ERROR_NAME, LayerError, content_hash
from playground.models import checkpoint, names
from playground.models.checkpoint import Checkpoint
from playground.models.variants import open_checkpoint
from playground.process import wait_briefly
from playground.quantize import compressor, reload
from playground.quantize import probe as quantize_probe
from playground.quantize import report as quantize_report
from playground.quantize.estimate import Estimate, estimate, facts
from playground.quantize.recipes import complete, open_original
from playground.quantize.reload import in_fresh_process
from playground.quantize.spec import QuantizeSpec
from playground.quantize.tokens import tokenize
from playground.quantize.writers import writer
from playground.store import folders, variants
from playground.store.schema import Run, StoredVariant
from playground.texts import Calibration

CONTENT_HASH = "content_hash"  # of the calibration's token ids, beside the fields of Calibration
PROBE = "probe.safetensors"
_PACKAGES = ("llmcompressor", "compressed-tensors", "torch", "transformers")
Spec = QuantizeSpec
MAX_SLUG = 80


def start(spec: QuantizeSpec, submit: Submit[T]) -> T:
    """Submit the job with its recipe completed. Raises PlaygroundError if it is already clear that it cannot work."""
    checkpoint = open_original(spec.model)
    estimate(checkpoint, spec.recipe, facts(spec.out, measure=False)).check()
    recipe = complete(checkpoint, spec.recipe).recipe
    return submit(spec.changed(model=names.key(spec.model), recipe=recipe), queue.best_device())


def run(spec: QuantizeSpec, folder: Path, report: Report) -> dict[str, Any]:
    """Make and store the variant. Return the documented result of `quantize --json`.

    folder  the job's folder, named by the job's id

    Raises PlaygroundError. The worker then removes the folder `folders.partial`.
    """
    wait_briefly()
    clock = Clock()
    without_sklearn()
    source = Path(models.resolve(spec.model, report.progress).path)
    original = checkpoint.from_path(spec.model, source)
    completed = complete(original, spec.recipe)
    recipe = completed.recipe
    for reason in completed.reasons:
        report.note(reason)
    model, name = model_key(spec.model), spec.name or variant_name(recipe)
    target = destination(model, name, spec.out)
    partial = folders.partial(folder.name, spec.out)
    partial.mkdir(parents=True)
    clock.lap("resolve")
    recipe, tokens = _calibrate(recipe, source, report)
    clock.lap("calibrate")
    probe = folder / PROBE
    errors = _make(recipe, source, partial, tokens, probe, report)
    clock.lap("quantize")
    finished = _describe(partial)
    with ThreadPool(1) as pool:  # of daemon threads: a cancelled job does not wait for the hash of many gigabytes
        hashes = pool.apply_async(lambda: (content_hash(Path(finished.path)), content_hash(source)))
        report.progress(Progress("reloading it in a fresh process"))
        reload = _checked(in_fresh_process(partial, probe)) if probe.exists() else None
        in_llamacpp = _compared_in_llamacpp(Path(finished.path), source, recipe, original)
        clock.lap("reload")
        report.progress(Progress("checksums"))
        digest, parent_digest = hashes.get()
    clock.lap("checksums")
    result: dict[str, Any] = {
        "variant": f"{model}:{name}",
        "path": str(target),
        "method": recipe.method,
        "scheme": recipe.scheme,
        "group_size": recipe.group_size,
        "bytes_before": original.bytes,
        "bytes_after": finished.bytes,
        "bits_per_weight": round(8 * finished.bytes / finished.parameters, 4),
        "seconds": clock.total,
        "peak_memory_bytes": _peak_memory(),
        "recipe_path": str(target / compressor.RECIPE) if (partial / compressor.RECIPE).exists() else None,
        "content_hash": digest,
        "layers": [error.as_row() for error in errors],
        "reload": reload,
        "llamacpp": in_llamacpp,
        "stages": clock.laps,
        "reasons": list(completed.reasons),
        "notes": [*_notes(recipe, partial), *_llamacpp_notes(Path(finished.path), original, in_llamacpp)],
    }
    parent = {"id": model, "content_hash": parent_digest}
    created = now()
    stored = StoredVariant(
        id=f"{model}:{name}",
        model=model,
        name=name,
        method=recipe.method,
        scheme=recipe.scheme,
        group_size=recipe.group_size,
        path=str(target),
        bytes=finished.bytes,
        bits_per_weight=8 * finished.bytes / finished.parameters,
        parameters=finished.parameters,
        content_hash=digest,
        recipe=recipe.model_dump(mode="json"),
        parent=parent,
        job_id=folder.name,
        created_at=created,
        card=result,
    )
    write_marker(
        partial,
        {
            "job_id": folder.name,
            "recipe": recipe.model_dump(mode="json"),
            "parent": parent,
            "created_at": created,
            "versions": _versions(),
            "result": result,
        },
    )
    measured = quantize_report.quantization(spec.title, stored, original, _device())
    publish(partial, target, stored, measured)
    return result | {"run": measured.id}


def needs(spec: QuantizeSpec) -> int:
    return _expected(spec).room


def check(spec: QuantizeSpec, device: str) -> None:  # noqa: ARG001 the same call for every kind
    _expected(spec).check()


def _expected(spec: QuantizeSpec) -> Estimate:
    """Return the estimate once idle models are unloaded: memory that engines still hold does not count as free."""
    here = replace(facts(spec.out, measure=False), memory_held=0)
    return estimate(open_checkpoint(spec.model), spec.recipe, here)


def model_key(model: str) -> str:
    """Return the store's name of a model: for a local one its resolved path, so that two spellings are one model."""
    parsed = names.parse(model)
    return str(parsed.path.expanduser().resolve()) if parsed.kind == "local" and parsed.path else model


def _calibrate(recipe: Recipe, source: Path, report: Report) -> tuple[Recipe, list[tuple[int, ...]]]:
    """Return the recipe with the hash of the samples, and the samples as token ids; [] without calibration.

    Raises QuantizeFailed if the recipe has another hash.
    """
    if not recipe.calibration:
        return recipe, []
    calibration = Calibration.from_stored(recipe.calibration)
    report.progress(Progress("reading calibration text"))
    sample_set = texts.draw(calibration, report.progress)
    if sample_set.skipped:
        report.note(f"Rows of the text that are too short or use tools, and are left out: {sample_set.skipped:,}.")
    if sample_set.note:
        report.note(sample_set.note)
    tokens = tokenize(
        list(sample_set.samples), compressor.tokenizer(source), calibration.max_length, calibration.samples
    )
    expected_hash = recipe.calibration.get(CONTENT_HASH)
    if expected_hash and expected_hash != tokens.content_hash:
        raise QuantizeFailed(
            "The calibration text is not the one this recipe was made with: its hash differs.",
            hint="Restore the text, or leave content_hash out of the recipe to use what is there now.",
        )
    report.note(f"Calibration: {len(tokens.ids)} samples, {tokens.tokens:,} tokens, {tokens.templated} conversations.")
    kept = {**calibration.model_dump(mode="json"), CONTENT_HASH: tokens.content_hash}
    return recipe.changed(calibration=kept), list(tokens.ids)


def _make(
    recipe: Recipe,
    source: Path,
    partial: Path,
    tokens: Sequence[tuple[int, ...]],
    probe: Path,
    report: Report,
) -> list[LayerError]:
    """Write the partial folder and, if the model is in memory, the probe. Return the errors of the layers.

    Methods with modifiers are run by llm-compressor, the others by their `Writer`. Raises PlaygroundError.
    """
    if modifiers := method(recipe.method).modifiers:
        with compressor.explained(recipe):
            return compressor.quantize(source, partial, modifiers(recipe), tokens, probe, report)
    errors: list[LayerError] = []

    def on_layer(error: LayerError) -> None:
        errors.append(error)
        report.layer(error.name, error.relative_error, ERROR_NAME)

    # No cancellation here: the worker is stopped by a signal.
    model = writer(recipe.method).make(source, partial, recipe, tokens, report.progress, lambda: False, on_layer)
    if model is not None:
        quantize_probe.record(model, compressor.tokenizer(source), probe)
    return errors


def _notes(recipe: Recipe, partial: Path) -> tuple[str, ...]:
    """The method's own notes on the files that it wrote."""
    return () if method(recipe.method).modifiers else writer(recipe.method).notes(partial, recipe)


def _compared_in_llamacpp(file: Path, source: Path, recipe: Recipe, original: Checkpoint) -> dict[str, Any] | None:
    """Compare a GGUF file with the original in llama.cpp; None for any other checkpoint. Raises ReloadMismatch."""
    if file.suffix != ".gguf":
        return None
    return reload.compare(file, source, recipe.scheme, original.bytes)


def _llamacpp_notes(file: Path, original: Checkpoint, result: dict[str, Any] | None) -> tuple[str, ...]:
    """Notes on how llama.cpp runs a GGUF file; none for any other checkpoint."""
    if result is None:
        return ()
    return (*reload.window_notes(file, original.config), reload.sentence(result))


def _checked(result: dict[str, Any]) -> dict[str, Any]:
    """Return the difference without "agrees". Raises ReloadMismatch where the two are not the same model."""
    agrees = result.pop("agrees")
    if not agrees:
        raise ReloadMismatch(
            f"The saved checkpoint does not answer as the model in memory did: mean KLD {result['kld_mean']:.3g} nats, "
            f"the same top token in {result['top1_agreement']:.0%}{_from_original(result)}.",
            hint="It is broken on the disk and was removed; choose another scheme, method or option for this model.",
        )
    return result


def _from_original(result: dict[str, Any]) -> str:
    """Return the divergences of both from the original, as the end of a sentence; "" if they are not known."""
    if result.get("kld_memory") is None:
        return ""
    return (
        f"; from the original, {result['kld_memory']:.3g} nats in memory and {result['kld_reloaded']:.3g} on the disk"
    )


def _describe(partial: Path) -> Checkpoint:
    """Return the finished folder as a checkpoint."""
    file = next(partial.glob("*.gguf"), None)
    return checkpoint.from_path(partial.name, file or partial)


def _device() -> str:
    from playground.engines.host.loading import device_of_choice

    return str(device_of_choice())


def _peak_memory() -> int:
    """Return the peak of allocated bytes on a GPU, or of resident bytes without one."""
    import torch

    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else worker.peak_bytes()


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


# Publishing.


def destination(model: str, name: str, out: str) -> Path:
    """Return the folder of a new variant. Raises InvalidRequest if it holds something that is not a variant."""
    if not out:
        return folders.variants() / f"{_slug(model)}-{name}"
    target = Path(out).expanduser().absolute()
    if target.exists() and not (target / folders.MARKER).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidRequest(f"{target} exists and holds something else.", hint="Choose an empty or a new folder.")
    return target


def _slug(model: str) -> str:
    """Return a folder name for a model name, with a checksum if characters had to be replaced."""
    import zlib

    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-.")[-MAX_SLUG:]
    return plain if plain == model else f"{plain}-{zlib.crc32(model.encode()):08x}"


def write_marker(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `playground.json`, which describes the folder without the store."""
    (folder / folders.MARKER).write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def publish(partial: Path, target: Path, variant: StoredVariant, run: Run) -> None:
    """Sync the folder, rename it to `target`, then store the variant and its run in one transaction.

    An earlier variant at `target` is replaced. Raises OSError, StoreUnavailable.
    """
    for path in (*partial.rglob("*"), partial):
        sync(path)
    before = folders.set_aside(partial)
    if target.is_dir() and any(target.iterdir()):
        target.rename(before)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(target)
    sync(target.parent)
    variants.add(variant, run)
    folders.remove(before)


def now() -> float:
    """Return seconds since the epoch."""
    return time.time()
