"""Quantizations on the page: jobs and stored variants.

Thread-safe; all browser tabs share one board.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from playground.errors import PlaygroundError, StoreUnavailable
from playground.methods import method
from playground.methods.recipe import Recipe, command, variant_name, without_paths
from playground.methods.table import calibration_words, scheme_words
from playground.metrics.weights import error_summary
from playground.models import names, stored
from playground.models.variants import open_checkpoint
from playground.push.pushes import Pushes
from playground.quantize.estimate import estimate, facts
from playground.quantize.report import heat_row
from playground.quantize.spec import QuantizeSpec
from playground.settings import settings
from playground.store import database, runs, variants
from playground.store.schema import Job, StoredVariant
from playground.web.jobs import JobCards, Queue

log = logging.getLogger(__name__)


class Board:
    """Quantize jobs and variants of this home, and uploads to the hub."""

    def __init__(self, queue: Queue, pushes: Pushes) -> None:
        self._jobs = JobCards(queue, ("quantize",), _describe_job)
        self._pushes = pushes
        self._usage: tuple[object, dict[str, int]] = ((), {})
        self._lock = threading.Lock()

    def state(self, logs: Collection[str] = (), cards: Collection[str] = (), *, owner: bool = True) -> dict[str, Any]:
        """Return what the page shows, with the logs of jobs in `logs` and the cards of variants in `cards`.

        A visitor's state has no logs, no paths of the server and no uploads to the hub. Raises StoreUnavailable.
        """
        with self._lock:
            try:
                return self._state(logs if owner else (), cards, owner)
            except (SQLAlchemyError, OSError, StoreUnavailable) as error:
                log.exception("The store cannot be read")
                raise StoreUnavailable(
                    "The jobs and variants cannot be read.", hint="Details are in the log of the server."
                ) from error

    def _state(self, logs: Collection[str], cards: Collection[str], owner: bool) -> dict[str, Any]:
        rows = variants.all_variants()[::-1] if database.exists() else []
        stored_ids = {row.id for row in rows}
        usage = self._disk(rows)
        jobs = self._jobs.rows(logs, owner, lambda job: _variant_of(job) in stored_ids)
        scale = max((error for row in rows for _, error, _ in _layers(row)), default=0.0)
        return jobs | {
            "active": jobs["active"] or self._pushes.active,
            "pushes": self._pushes.as_rows() if owner else None,
            "variants": [_summary(row, usage.get(row.id, 0), owner) for row in rows],
            "cards": {row.id: _card(row, scale, owner) for row in rows if row.id in cards},
            "disk": {"used": sum(usage.values()), "free": _free()},
        }

    def _disk(self, rows: list[StoredVariant]) -> dict[str, int]:
        """Return the bytes of each variant's files; measured again when the list of variants changes."""
        key = tuple((row.id, row.created_at) for row in rows)
        if self._usage[0] != key:
            self._usage = key, {usage.id: usage.bytes for usage in stored.disk_usage()}
        return self._usage[1]


def _variant_of(job: Job) -> str:
    return str((job.result or {}).get("variant") or "")


def _describe_job(job: Job) -> dict[str, Any]:
    """Return what a job makes, in words; only the title if this version cannot read its spec."""
    try:
        spec = QuantizeSpec.from_stored(job.spec)
    except (PlaygroundError, KeyError, TypeError, ValueError):
        return {"title": job.title, "model": "", "words": ""}
    group = f" · groups of {spec.recipe.group_size}" if spec.recipe.group_size else ""
    return {
        "title": stored.label(spec.recipe.method, spec.recipe.scheme),
        "model": spec.model,
        "words": f"{scheme_words(spec.recipe.scheme)}{group}",
    }


def _free() -> int:
    place = settings().data
    return shutil.disk_usage(next(path for path in (place, *place.absolute().parents) if path.is_dir())).free


def _summary(row: StoredVariant, on_disk: int, owner: bool) -> dict[str, Any]:
    before = row.card.get("bytes_before")
    return {
        "id": row.id,
        "model": row.model,
        "name": row.name,
        "label": stored.label(row.method, row.scheme),
        "words": scheme_words(row.scheme),
        "group": row.group_size,
        "before": before,
        "after": row.bytes,
        "bits": row.bits_per_weight,
        "bits_before": 8 * before / row.parameters if before and row.parameters else None,
        "seconds": row.card.get("seconds"),
        "peak": row.card.get("peak_memory_bytes"),
        "created": row.created_at,
        "path": row.path if owner else "",
        "on_disk": on_disk,
        "reload": _reload(row.card.get("reload")),
        "worst": max(((name, error) for name, error, _ in _layers(row)), key=lambda layer: layer[1], default=None),
    }


def _layers(row: StoredVariant) -> list[tuple[str, float, float | None]]:
    """Return name, relative error and SNR in dB of each quantized layer."""
    return [
        (str(layer["name"]), float(layer["relative_error"]), layer.get("snr_db"))
        for layer in row.card.get("layers") or ()
    ]


def _reload(difference: Any) -> dict[str, float] | None:
    """Return what the check of the reloaded checkpoint measured; None without one."""
    keys = ("max_abs_logit_difference", "kld_mean", "top1_agreement")
    return {key: difference[key] for key in keys if key in difference} if isinstance(difference, dict) else None


def _card(row: StoredVariant, scale: float, owner: bool) -> dict[str, Any]:
    """Return the details of a variant whose card is open. `scale`: the largest layer error of all variants."""
    recipe = row.recipe if owner else without_paths(row.recipe)
    paths = {} if owner else {"path": None, "recipe_path": None}
    layers = _layers(row)
    pasted = (row.recipe.get("calibration") or {}).get("source") == "pasted"
    name = "" if row.name == variant_name(Recipe.from_stored(row.recipe)) else row.name
    return {
        "layers": layers,
        "heat": heat_row(layers, scale),
        "hurt": error_summary(layers),
        "stages": row.card.get("stages") or {},
        "notes": [*(row.card.get("reasons") or ()), *(row.card.get("notes") or ())],
        "recipe": stored.recipe_yaml(row, recipe),
        "calibration": _calibration(row),
        "command": command(row.model, Recipe.from_stored(recipe), name=name),
        "pasted": pasted,
        "estimate": _estimate(row),
        "paper": method(row.method).paper,
        "hash": row.content_hash,
        "run": runs.run_id_of_job(row.job_id),
        "json": {**row.card, **paths, "recipe": recipe, "parent": row.parent},
    }


def _calibration(row: StoredVariant) -> str:
    """Return the calibration in words, and the beginning of the hash of its token ids."""
    digest = str((row.recipe.get("calibration") or {}).get("content_hash") or "")[:12]
    words = calibration_words(row.recipe)
    return f"{words}; sha256 of the token ids {digest}…" if digest else words


def _estimate(row: StoredVariant) -> dict[str, Any] | None:
    """Return today's estimate for the variant's recipe, to compare with its result; None if there is none."""
    if names.key(row.model) != row.model and not Path(row.model).exists():
        return None
    try:
        expected = estimate(open_checkpoint(row.model), Recipe.from_stored(row.recipe), facts(measure=False))
    except (PlaygroundError, OSError, KeyError, TypeError, ValueError) as error:
        log.info("No estimate of %s: %s", row.id, error)
        return None
    return {"after": expected.bytes_after, "seconds": expected.seconds, "peak": expected.peak_memory}
