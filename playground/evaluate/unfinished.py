"""Partial results of an evaluation: one folder for each variant, keyed by everything that could change its numbers.

A later job with the same key resumes there, at the next variant or the next batch. The folder is removed when the run
is stored, so that a finished evaluation is measured again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground.engines.subjects import Subject
from playground.evaluate import items
from playground.evaluate.harness import Answers
from playground.evaluate.items import TaskFacts
from playground.evaluate.prepare import Prepared
from playground.files import write_whole
from playground.settings import settings
from playground.store import folders

PACKAGES = ("lm-eval", "torch", "transformers", "tokenizers", "datasets", "bitsandbytes", "compressed-tensors")
_DONE = "measured.json"
_ITEMS = "items"


@dataclass(frozen=True, slots=True)
class Variant:
    """A finished variant: its entry in the run, and its results by task name."""

    facts: dict[str, Any]
    tasks: dict[str, Answers]


def versions() -> dict[str, str]:
    """Return the versions of the packages that could change a number."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def folder(subject: Subject, prepared: Prepared, template_hash: str, device: str) -> Path:
    """Return the folder of a subject under these conditions, creating it if needed."""
    conditions = {
        "id": subject.id,  # equal weights under two names are measured twice
        "content_hash": subject.content_hash,
        "engine": subject.engine,
        "engine_settings": {name: str(value) for name, value in settings() if name.startswith(f"{subject.engine}_")},
        "threads": _threads(),
        "dtype": subject.variant.dtype,
        "device": device,
        "template_hash": template_hash,
        "end_ids": list(subject.spec.end_ids) if subject.spec else None,
        "conditions": prepared.conditions.model_dump(mode="json"),
        "metrics": {name: str(metric) for name, metric in prepared.metrics.items()},
        "data": dict(prepared.digests),
        "versions": versions(),
    }
    return _folder_of(conditions)


def divergence_folder(chosen: Sequence[Subject], device: str) -> Path:
    """Return the folder of a divergence between these weights; `divergence.measure` adds the rest of the key."""
    hashes = [subject.content_hash for subject in chosen]
    return _folder_of({"divergence": hashes, "device": device, "threads": _threads(), "versions": versions()})


def _threads() -> str:
    return f"{settings().threads} {os.environ.get('OMP_NUM_THREADS', '')}"


def _folder_of(conditions: Mapping[str, Any]) -> Path:
    path = folders.unfinished(hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest())
    path.mkdir(parents=True, exist_ok=True)
    return path


def write(place: Path, done: Variant) -> None:
    """Store a finished variant. The file that marks it as finished is written last and renamed into place."""
    (place / _ITEMS).mkdir(exist_ok=True)
    for name, answers in done.tasks.items():
        items.write(place / _ITEMS / f"{name}.jsonl", answers.items)
    tasks = {name: answers.facts.as_dict() for name, answers in done.tasks.items()}
    write_whole(place / _DONE, json.dumps({"facts": done.facts, "tasks": tasks}))


def read(place: Path) -> Variant | None:
    """Return what `write` stored; None if the variant is not finished."""
    try:
        content: Mapping[str, Any] = json.loads((place / _DONE).read_bytes())
    except FileNotFoundError:
        return None
    tasks = {
        name: Answers(TaskFacts(**facts), items.read(place / _ITEMS / f"{name}.jsonl"))
        for name, facts in content["tasks"].items()
    }
    return Variant(dict(content["facts"]), tasks)
