"""Quantizations on the page: jobs and the variants that they made, from the store: a restart loses nothing.

Callable from any thread; one board for all browser tabs.
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
from playground.quantize.spec import QuantizeSpec
from playground.settings import settings
from playground.store import database, runs, variants
from playground.store.schema import Job, StoredVariant
from playground.web.jobs import JobCards, Queue
from playground.web.values import inert

log = logging.getLogger(__name__)


class Board:
    """The jobs and variants of this home, and what goes to the hub."""

    def __init__(self, queue: Queue, pushes: Pushes) -> None:
        self._jobs = JobCards(queue, ("quantize",), _asked)
        self._pushes = pushes
        self._usage: tuple[object, dict[str, int]] = ((), {})
        self._lock = threading.Lock()

    def value(
        self,
        serial: int = 0,
        logs: Collection[str] = (),
        cards: Collection[str] = (),
        error: PlaygroundError | None = None,
        *,
        owner: bool = True,
    ) -> str:
        """What the page shows now; with the logs of the jobs and the whole cards of the variants that are open.

        Who is not the owner sees neither logs, nor where anything lies on the server, nor what goes to the hub.
        """
        said = {"serial": serial, "error": [error.message, error.hint] if error else None}
        with self._lock:
            try:
                return inert(self._state(logs if owner else (), cards, owner) | said)
            except (SQLAlchemyError, OSError, StoreUnavailable):
                log.exception("The store cannot be read")
                return inert(said | {"broken": ["The jobs and variants cannot be read.", "Details are in the log."]})

    def _state(self, logs: Collection[str], cards: Collection[str], owner: bool) -> dict[str, Any]:
        rows = variants.all_variants()[::-1] if database.exists() else []
        made = {row.id for row in rows}
        usage = self._disk(rows)
        jobs = self._jobs.rows(logs, owner, lambda job: _variant_of(job) in made)
        return jobs | {
            "active": jobs["active"] or self._pushes.active,
            "pushes": self._pushes.as_rows() if owner else None,
            "variants": [_summary(row, usage.get(row.id, 0), owner) for row in rows],
            "cards": {row.id: _card(row, owner) for row in rows if row.id in cards},
            "disk": {"used": sum(usage.values()), "free": _free()},
        }

    def _disk(self, rows: list[StoredVariant]) -> dict[str, int]:
        """Bytes of each variant's files, counted again when a variant came or went."""
        key = tuple((row.id, row.created_at) for row in rows)
        if self._usage[0] != key:
            self._usage = key, {usage.id: usage.bytes for usage in stored.disk_usage()}
        return self._usage[1]


def _variant_of(job: Job) -> str:
    return str((job.result or {}).get("variant") or "")


def _asked(job: Job) -> dict[str, Any]:
    """What a job makes, in words; one that this version cannot read keeps its title."""
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
    }


def _reload(found: Any) -> dict[str, float] | None:
    """What the check in a fresh process measured; None where there was none."""
    keys = ("max_abs_logit_difference", "kld_mean", "top1_agreement")
    return {key: found[key] for key in keys if key in found} if isinstance(found, dict) else None


def _card(row: StoredVariant, owner: bool) -> dict[str, Any]:
    """The rest, for a card that is open."""
    recipe = row.recipe if owner else without_paths(row.recipe)
    paths = {} if owner else {"path": None, "recipe_path": None}
    layers = [
        [str(layer["name"]), float(layer["relative_error"]), layer.get("snr_db")]
        for layer in row.card.get("layers") or ()
    ]
    pasted = (row.recipe.get("calibration") or {}).get("source") == "pasted"
    name = "" if row.name == variant_name(Recipe.from_stored(row.recipe)) else row.name
    return {
        "layers": layers,
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
        "json": inert({**row.card, **paths, "recipe": recipe, "parent": row.parent}),
    }


def _calibration(row: StoredVariant) -> str:
    """On what, and the beginning of the hash of exactly what the method read."""
    digest = str((row.recipe.get("calibration") or {}).get("content_hash") or "")[:12]
    words = calibration_words(row.recipe)
    return f"{words}; sha256 of the token ids {digest}…" if digest else words


def _estimate(row: StoredVariant) -> dict[str, Any] | None:
    """What the page would say beforehand today, to hold against what came out."""
    if names.key(row.model) != row.model and not Path(row.model).exists():
        return None
    try:
        found = estimate(open_checkpoint(row.model), Recipe.from_stored(row.recipe), facts(measure=False))
    except (PlaygroundError, OSError, KeyError, TypeError, ValueError) as error:
        log.info("No estimate of %s: %s", row.id, error)
        return None
    return {"after": found.bytes_after, "seconds": found.seconds, "peak": found.peak_memory}
