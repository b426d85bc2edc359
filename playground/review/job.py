"""The review job: variants answer a set of prompts, and the answers become a blind review.

After an error or an interruption the answers stay in `folders.unfinished`, where the next job with the same request
continues.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from playground import models
from playground.compare.answer import Answer
from playground.compare.run import Comparison, PaneRequest, messages
from playground.core import Progress
from playground.engines import base
from playground.engines.base import Engine
from playground.engines.router import Engines
from playground.engines.subjects import weights_hash
from playground.evaluate import estimate
from playground.jobs import queue
from playground.jobs.kinds import Submit, T
from playground.jobs.progress import Clock, Report
from playground.models.address import Address
from playground.review import make
from playground.review.make import PromptAnswers
from playground.review.spec import ReviewSpec
from playground.store import folders

ANSWERS = "answers.jsonl"
Spec = ReviewSpec


def start(spec: ReviewSpec, submit: Submit[T]) -> T:
    """Queue it where every variant is known and the title names none. Raises PlaygroundError."""
    spec.check()
    return submit(spec, queue.best_device())


def run(spec: ReviewSpec, folder: Path, report: Report) -> dict[str, Any]:
    """Generate the answers and store the review; returns {"review": id, "seconds"}. Raises PlaygroundError."""
    clock = Clock()
    report.progress(Progress("reading the variants"))
    addresses = base.together(spec.variants)
    rows = [_row(name, report) for name in addresses]
    make.distinct_labels(rows)
    make.check(spec.terms, rows)
    place = folders.unfinished(_key(spec, rows))
    with closing(Engines()) as engine:
        answered = answers(engine, addresses, spec, place, report)
    report.progress(Progress("storing the review"))
    source = {
        "source": "prompts",
        "set": spec.prompts.name,
        "set_hash": spec.prompts.hash,
        "sampling": spec.model_dump(mode="json")["sampling"],
    }
    review = make.make(spec.terms, rows, answered, source, spec.name, folder.name)
    folders.remove(place)
    return {"review": review.id, "seconds": clock.total}


def needs(spec: ReviewSpec) -> int:
    """Bytes of memory: all variants are loaded at the same time."""
    return estimate.loaded_together_bytes(spec.variants)


def check(spec: ReviewSpec, device: str) -> None:
    """Refuses nothing: an engine raises when it cannot load a variant."""


def _row(name: str, report: Report) -> dict[str, Any]:
    address = Address.parse(name)
    variant = models.variant(address.variant)
    remote = variant.engines == ("remote",)
    bits = variant.bits_per_weight
    return {
        "id": address.variant,
        "label": variant.label,
        "method": variant.method,
        "scheme": variant.scheme,
        "bytes": variant.bytes,
        "bits_per_weight": None if bits is None else round(bits, 4),
        "content_hash": "" if remote else weights_hash(models.resolve(address.variant, report.progress)),
        "engine": address.engine or base.default(variant),
    }


def answers(
    engine: Engine, addresses: Sequence[str], spec: ReviewSpec, place: Path, report: Report
) -> list[PromptAnswers]:
    """Every variant's answer to each prompt, also written to `place`. Raises where a variant cannot be loaded."""
    place.mkdir(parents=True, exist_ok=True)
    path = place / ANSWERS
    answered = _read(path)
    if answered:
        report.note(f"{len(answered)} prompts were answered before the interruption.")
    total = len(spec.prompts.prompts)
    with path.open("a", encoding="utf-8") as file:
        for number in range(len(answered), total):
            report.progress(Progress("answering", number, total, "prompts"))
            prompt = spec.prompts.prompts[number]
            texts, cut = _answer(engine, addresses, spec, prompt, number, report)
            file.write(json.dumps({"prompt": prompt, "texts": texts, "cut": cut}, ensure_ascii=True) + "\n")
            file.flush()
            answered.append(PromptAnswers(prompt, tuple(texts), tuple(cut)))
    report.progress(Progress("answering", total, total, "prompts"))
    return answered


def _answer(
    engine: Engine, addresses: Sequence[str], spec: ReviewSpec, prompt: str, number: int, report: Report
) -> tuple[list[str | None], list[int | None]]:
    """Each variant's answer, and how many tokens it was cut at; None where there is none, or it was not."""
    results = [Answer(name) for name in addresses]
    requests = [PaneRequest(name, messages=messages(prompt)) for name in addresses]
    loading = ""
    for event in Comparison(engine, requests, spec.sampling).events():
        results[event.pane].add(event.item)
        if isinstance(event.item, Progress) and event.item.stage != loading and not number:
            loading = event.item.stage
            report.progress(Progress(f"{addresses[event.pane]}: {loading}"))
    for result in results:
        if result.error is not None:
            if result.loaded is None:
                raise result.error
            report.note(f"{result.variant_id} did not answer prompt {number + 1}: {result.error.message}")
    texts = [None if result.error or result.finish is None else result.text for result in results]
    cut = [spec.sampling.max_tokens if result.finish_reason == "length" else None for result in results]
    return texts, cut


def _read(path: Path) -> list[PromptAnswers]:
    """The answers that an interrupted job has written. Truncates an incomplete last line."""
    if not path.is_file():
        return []
    complete, newline, _ = path.read_bytes().rpartition(b"\n")
    with path.open("r+b") as file:
        file.truncate(len(complete) + len(newline))
    rows = [json.loads(line) for line in complete.splitlines() if line.strip()]
    return [PromptAnswers(row["prompt"], tuple(row["texts"]), tuple(row.get("cut", ()))) for row in rows]


def _key(spec: ReviewSpec, rows: Sequence[dict[str, Any]]) -> str:
    """SHA-256, hex, of everything that can change an answer."""
    parts = [[[row["id"], row["engine"], row["content_hash"]] for row in rows], spec.prompts.hash]
    return hashlib.sha256(json.dumps([*parts, spec.model_dump(mode="json")["sampling"]]).encode()).hexdigest()
