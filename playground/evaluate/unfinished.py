"""What an evaluation has measured so far: each variant under a key of all that could change one of its numbers.

A later job with the same key goes on from there: at the next variant, or within one at the next batch. It is removed
once the run is stored, so that a finished evaluation is measured anew.
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
    """One variant that is done: its entry in the run, and its tasks."""

    facts: dict[str, Any]
    tasks: dict[str, Answers]


def versions() -> dict[str, str]:
    """Of the packages that could change a number."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def folder(subject: Subject, prepared: Prepared, template_hash: str, device: str) -> Path:
    """The place of a subject under these conditions, made when it is not there."""
    asked = {
        "id": subject.id,  # the same weights under two names are measured twice
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
    return _made(asked)


def divergence_folder(chosen: Sequence[Subject], device: str) -> Path:
    """The place of a divergence between these weights; the rest of its key is `divergence.measure`'s own."""
    hashes = [subject.content_hash for subject in chosen]
    return _made({"divergence": hashes, "device": device, "threads": _threads(), "versions": versions()})


def _threads() -> str:
    return f"{settings().threads} {os.environ.get('OMP_NUM_THREADS', '')}"


def _made(asked: Mapping[str, Any]) -> Path:
    made = folders.unfinished(hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest())
    made.mkdir(parents=True, exist_ok=True)
    return made


def write(place: Path, done: Variant) -> None:
    """Whole or not at all."""
    (place / _ITEMS).mkdir(exist_ok=True)
    for name, answers in done.tasks.items():
        items.write(place / _ITEMS / f"{name}.jsonl", answers.items)
    tasks = {name: answers.facts.as_dict() for name, answers in done.tasks.items()}
    write_whole(place / _DONE, json.dumps({"facts": done.facts, "tasks": tasks}))


def read(place: Path) -> Variant | None:
    """What `write` made; None of a variant that is not done."""
    try:
        content: Mapping[str, Any] = json.loads((place / _DONE).read_bytes())
    except FileNotFoundError:
        return None
    tasks = {
        name: Answers(TaskFacts(**facts), items.read(place / _ITEMS / f"{name}.jsonl"))
        for name, facts in content["tasks"].items()
    }
    return Variant(dict(content["facts"]), tasks)
