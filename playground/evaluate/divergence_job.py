"""Run a divergence job: from the names of variants and a text to a stored run.

text → variants and their hashes → every document through reference and variant → store.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from playground import machine, models
from playground.core import NOISE_FLOOR, Loaded, Progress
from playground.engines.host.imports import without_sklearn
from playground.engines.subjects import Subject, model_key, refuse_unread, weights_hash
from playground.errors import EvaluationError
from playground.evaluate import divergence, estimate, trust, unfinished
from playground.evaluate.estimate import check, needs
from playground.evaluate.items import TrustWarning
from playground.evaluate.spec import DivergenceSpec
from playground.jobs import queue
from playground.jobs.kinds import Submit, T
from playground.jobs.progress import Clock, Report
from playground.models.address import Address
from playground.process import wait_briefly
from playground.store import folders, runs
from playground.store.schema import Run
from playground.texts import prose
from playground.texts.prose import Text

__all__ = ["Spec", "check", "needs", "run", "start"]
Spec = DivergenceSpec


def start(spec: DivergenceSpec, submit: Submit[T]) -> T:
    """Check the variants of a spec and a text on this disk, then queue its job. Raises PlaygroundError."""
    for name in spec.variants:
        refuse_unread(models.variant(Address.parse(name).variant))
    if not prose.on_hub(spec.text):
        prose.text(spec.text)
    return submit(spec, queue.best_device())


def run(spec: DivergenceSpec, folder: Path, report: Report) -> dict[str, Any]:
    """Measure and store a run; return its id as "run", and "seconds". Raises PlaygroundError.

    After an error the finished part stays in `folders.unfinished` for the next job with the same settings.
    """
    wait_briefly()
    without_sklearn()
    from playground.engines.host.loading import device_of_choice

    clock = Clock()
    report.progress(Progress("reading the text"))
    text = prose.text(spec.text)
    clock.lap("text")
    report.progress(Progress("reading the variants"))
    chosen = [_subject(name, report) for name in spec.variants]
    warnings = _warnings(text, chosen)
    for warning in warnings:
        report.note(warning.text)
    clock.lap("variants")
    documents_folder = unfinished.divergence_folder(chosen, str(device_of_choice()))
    resumed = any(documents_folder.iterdir())
    loaded: list[Loaded] = []
    specs = [subject.spec for subject in chosen if subject.spec is not None]
    measured = divergence.measure(
        *(specs[0], specs[1:], text, spec.tokens, documents_folder, report),
        max_length=spec.max_length,
        on_loaded=loaded.append,
    )
    names = [chosen[0].id, NOISE_FLOOR, *(subject.id for subject in chosen[1:])]
    rows = [{**row, "variant": name} for row, name in zip(measured, names, strict=True)]
    clock.lap("divergence")
    stored = Run(
        id=runs.new_id(),
        kind="divergence",
        title=spec.title,
        model=model_key(chosen[0]),
        created_at=time.time(),
        settings={"text": text.name, "tokens": spec.tokens, "max_length": spec.max_length},
        versions=unfinished.versions(),
        device=machine.device_facts(),
        variants=[subject.facts(facts, "") for subject, facts in zip(chosen, loaded, strict=True)],
        result={
            "rows": rows,
            "text": {
                "name": text.name,
                "hash": text.hash,
                "documents": rows[0]["documents"],
                "tokens": rows[0]["tokens"],
            },
            "warnings": [asdict(warning) | {"variants": list(warning.variants)} for warning in warnings],
            "seconds": {**clock.laps, "total": clock.total},
            "estimate": estimate.estimate_to_store(spec, (), resumed=resumed),
        },
        job_id=folder.name,
    )
    runs.add(stored)
    folders.remove(documents_folder)
    return {"run": stored.id, "seconds": clock.total}


def _subject(name: str, report: Report) -> Subject:
    """Return a variant as transformers loads it, a GGUF file included. Raises PlaygroundError."""
    address = Address.parse(name)
    if address.engine not in ("", "transformers"):
        raise EvaluationError(
            f"Divergence is measured in transformers, not in {address.engine}: it takes the whole distribution.",
            hint=f"Write {address.variant}.",
        )
    variant = models.variant(address.variant)
    refuse_unread(variant)
    spec = models.resolve(address.variant, report.progress)  # raises for a remote variant
    return Subject(address.variant, "transformers", variant, spec, weights_hash(spec))


def _warnings(text: Text, chosen: list[Subject]) -> list[TrustWarning]:
    return [
        *(TrustWarning("text", note, ()) for note in text.notes),
        *trust.warnings(text, chosen),
        *(
            _dequantized(subject.id, subject.spec.dtype)
            for subject in chosen
            if subject.spec and subject.spec.path.endswith(".gguf")
        ),
    ]


def _dequantized(name: str, dtype: str) -> TrustWarning:
    text = (
        f"{name} is a GGUF file, which transformers unpacks to {dtype}: the divergence is that of its weights, without "
        "llama.cpp's own arithmetic."
    )
    return TrustWarning("dequantized", text, (name,))
