"""The body of an evaluate job: from names of variants and tasks to a stored run.

tasks and data → variants and their hashes → speed → divergence → each variant's answers → checks and verdicts → store.
Everything that can be wrong with the request is found before the first variant is loaded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from playground import machine
from playground import models as catalog
from playground.core import NOISE_FLOOR, Progress
from playground.engines import subjects
from playground.engines.router import Engines
from playground.engines.subjects import Subject
from playground.errors import EvaluationError
from playground.evaluate import estimate as evaluate_estimate
from playground.evaluate import harness, items, models, prepare, speed, tasks, trust, unfinished, verdict
from playground.evaluate.estimate import check, needs
from playground.evaluate.items import Measured, TaskFacts, TrustWarning
from playground.evaluate.prepare import Prepared
from playground.evaluate.spec import EvaluateSpec, Passage
from playground.evaluate.unfinished import Variant
from playground.jobs import queue
from playground.jobs.kinds import Submit, T
from playground.jobs.progress import Clock, Report
from playground.models.address import Address
from playground.process import wait_briefly
from playground.settings import settings
from playground.store import folders, runs
from playground.store.schema import Run

TASKS = "tasks"  # folder of the YAML files that were made for local data

__all__ = ["Spec", "check", "needs", "run", "start"]
Spec = EvaluateSpec


def start(spec: EvaluateSpec, submit: Submit[T]) -> T:
    """Queue it where every task and every variant is known. Raises PlaygroundError."""
    tasks.resolve(spec.conditions.tasks, allow_code=spec.conditions.allow_code)
    for name in spec.variants:
        catalog.variant(Address.parse(name).variant)
    return submit(spec, queue.best_device())


def run(spec: EvaluateSpec, folder: Path, report: Report) -> dict[str, Any]:
    """Evaluate and store; {"run": its id, "seconds"}. Raises PlaygroundError.

    What was measured until an error stays in `folders.unfinished` for the next job that asks the same.
    """
    wait_briefly()
    if settings().offline:
        prepare.stay_offline()
    if spec.conditions.allow_code:
        os.environ["HF_ALLOW_CODE_EVAL"] = "1"  # what the metric of such tasks asks for
    clock = Clock()
    prepared = prepare.prepare(spec.conditions, folder / TASKS, report.progress)
    clock.lap("tasks")
    report.progress(Progress("reading the variants"))
    chosen = subjects.find(spec.variants, spec.engine, report.progress)
    for subject in chosen:
        models.check(subject, spec.conditions, prepared.kinds)
        if subject.spec is None and spec.divergence is not None:
            raise EvaluationError(
                f"{subject.id} is a remote endpoint, whose distribution is not seen here.", hint="Leave --kld out."
            )
    resumed = _begun(chosen, prepared)
    clock.lap("variants")
    with ExitStack() as stack:
        engines = _Lazy(stack)
        speeds, slow = speed.measure(engines(), chosen, report.progress) if spec.speed else ({}, [])
        clock.lap("speed")
        divergence, places, doubts = _divergence(spec.divergence, chosen, report)
        clock.lap("divergence")
        done = [_answered(chosen, n, prepared, engines, report) for n in range(len(chosen))]
    clock.lap("answers")
    measured = [
        _measured(subject, variant, speeds.get(subject.id)) for subject, (_, variant) in zip(chosen, done, strict=True)
    ]
    facts = _facts([variant for _, variant in done])
    warnings = slow + doubts + trust.trust_checks(measured[0], measured[1:], facts, divergence)
    rows = verdict.rows(measured[0], measured[1:], facts, warnings)
    clock.lap("verdicts")
    stored = _run(spec, chosen[0], measured, facts, rows, divergence, warnings, clock, folder.name)
    stored.result |= _expected(spec, measured, facts, resumed=resumed)
    _store(stored, measured)
    for place in [*places, *(place for place, _ in done)]:
        folders.remove(place)
    return {"run": stored.id, "seconds": clock.total}


def _begun(chosen: Sequence[Subject], prepared: Prepared) -> bool:
    """Whether an interrupted job has left a part of this: what is left then says little of the whole."""
    from playground.engines.host.loading import device_of_choice

    device = str(device_of_choice())
    places = (unfinished.folder(one, prepared, models.template_hash(one), device) for one in chosen)
    return any(any(place.iterdir()) for place in places)


def _expected(
    spec: EvaluateSpec, measured: Sequence[Measured], facts: Mapping[str, TaskFacts], *, resumed: bool
) -> dict[str, Any]:
    """What was to be expected of the time, to hold against what it took, and what later estimates learn from this."""
    asked = {name: [item for one in measured for item in one.tasks.get(name, ())] for name in facts}
    sizes = {
        name: evaluate_estimate.of_items(found, evaluate_estimate.budget(name, spec.conditions)).as_dict()
        for name, found in asked.items()
        if found
    }
    estimate = evaluate_estimate.estimate_to_store(
        spec, [(name, one.n) for name, one in facts.items()], resumed=resumed
    )
    return {"sizes": sizes, "estimate": estimate}


class _Lazy:
    """The engines of this job, made when first asked and ended with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._engines: Engines | None = None

    def __call__(self) -> Engines:
        if self._engines is None:
            self._engines = Engines()
            self._stack.callback(self._engines.close)
        return self._engines


def _answered(
    chosen: Sequence[Subject], number: int, prepared: Prepared, engines: Callable[[], Engines], report: Report
) -> tuple[Path, Variant]:
    """One variant's answers, and where they are kept: from an interrupted job, or measured now."""
    from playground.engines.host.loading import device_of_choice

    subject = chosen[number]
    what = f"{subject.id} ({number + 1} of {len(chosen)})" if len(chosen) > 1 else subject.id
    template = models.template_hash(subject)
    place = unfinished.folder(subject, prepared, template, str(device_of_choice()))
    if found := unfinished.read(place):
        report.note(f"{subject.id} was measured before the interruption.")
        return place, found
    if (place / harness.RESPONSES).exists():
        report.note(f"{subject.id} goes on from where it was interrupted.")
    with models.open_model(subject, prepared.conditions, engines, report.progress) as asked:
        tasks = harness.answer(asked.lm, prepared, place, what, report.progress)
        done = Variant(subject.facts(asked.loaded, template), tasks)
    unfinished.write(place, done)
    return place, done


def _divergence(
    wanted: Passage | None, chosen: Sequence[Subject], report: Report
) -> tuple[list[dict[str, Any]] | None, list[Path], list[TrustWarning]]:
    """The divergence rows under the names that the variants have here, where they were kept, and doubts of the text."""
    if wanted is None:
        return None, [], []
    from playground.engines.host.loading import device_of_choice
    from playground.evaluate import divergence
    from playground.texts import prose

    text = prose.text(wanted.text)
    specs = [subject.spec for subject in chosen if subject.spec is not None]
    place = unfinished.divergence_folder(chosen, str(device_of_choice()))
    rows = divergence.measure(specs[0], specs[1:], text, wanted.tokens, place, report)
    names = [chosen[0].id, NOISE_FLOOR, *(subject.id for subject in chosen[1:])]
    doubts = [
        *(TrustWarning("text", note, ()) for note in text.notes),
        *trust.warnings(text, chosen),
    ]
    return [{**row, "variant": name} for row, name in zip(rows, names, strict=True)], [place], doubts


def _measured(subject: Subject, done: Variant, speed: dict[str, Any] | None) -> Measured:
    tasks = {name: answers.items for name, answers in done.tasks.items()}
    return Measured(subject.id, subject.content_hash, done.facts | {"speed": speed}, tasks)


def _facts(done: Sequence[Variant]) -> dict[str, TaskFacts]:
    """Of each task. It is graded when any variant's scores are."""
    return {
        name: replace(answers.facts, graded=any(variant.tasks[name].facts.graded for variant in done))
        for name, answers in done[0].tasks.items()
    }


def _run(
    spec: EvaluateSpec,
    reference: Subject,
    measured: Sequence[Measured],
    facts: dict[str, TaskFacts],
    rows: list[dict[str, Any]],
    divergence: list[dict[str, Any]] | None,
    warnings: Sequence[TrustWarning],
    clock: Clock,
    job_id: str,
) -> Run:
    return Run(
        id=runs.new_id(),
        kind="evaluation",
        title=spec.title,
        model=subjects.model_key(reference),
        created_at=time.time(),
        settings=spec.settings(),
        versions=unfinished.versions(),
        device=machine.device_facts(),
        variants=[dict(one.facts) for one in measured],
        result={
            "tasks": [one.as_dict() for one in facts.values()],
            "rows": rows,
            "divergence": divergence,
            "warnings": [asdict(one) | {"variants": list(one.variants)} for one in warnings],
            "seconds": {**clock.laps, "total": clock.total},
        },
        job_id=job_id,
    )


def _store(run: Run, measured: Sequence[Measured]) -> None:
    """The items, on the disk, before the run is known."""
    for number, one in enumerate(measured):
        for name, answers in one.tasks.items():
            place = folders.items(run.id, name)
            place.mkdir(parents=True, exist_ok=True)
            items.write(place / f"{number}.jsonl", answers)
    runs.add(run)
