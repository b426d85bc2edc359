"""Run an evaluate job: from the names of variants and tasks to a stored run.

tasks and data → variants and their hashes → speed → divergence → each variant's answers → checks and verdicts → store.
The request is checked before the first variant is loaded.
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

TASKS = "tasks"  # folder of the YAML files that are written for local data

__all__ = ["Spec", "check", "needs", "run", "start"]
Spec = EvaluateSpec


def start(spec: EvaluateSpec, submit: Submit[T]) -> T:
    """Check the tasks and variants of a spec, then queue its job. Raises PlaygroundError."""
    tasks.resolve(spec.conditions.tasks, allow_code=spec.conditions.allow_code)
    for name in spec.variants:
        catalog.variant(Address.parse(name).variant)
    return submit(spec, queue.best_device())


def run(spec: EvaluateSpec, folder: Path, report: Report) -> dict[str, Any]:
    """Evaluate and store a run; return its id as "run", and "seconds". Raises PlaygroundError.

    After an error the finished part stays in `folders.unfinished` for the next job with the same settings.
    """
    wait_briefly()
    if settings().offline:
        prepare.stay_offline()
    if spec.conditions.allow_code:
        os.environ["HF_ALLOW_CODE_EVAL"] = "1"  # the metric of such tasks checks it
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
    resumed = _is_resumed(chosen, prepared)
    clock.lap("variants")
    with ExitStack() as stack:
        engines = _LazyEngines(stack)
        speeds, speed_warnings = speed.measure(engines(), chosen, report.progress) if spec.speed else ({}, [])
        clock.lap("speed")
        divergence, divergence_folders, text_warnings = _divergence(spec.divergence, chosen, report)
        clock.lap("divergence")
        answered = [_answer(chosen, n, prepared, engines, report) for n in range(len(chosen))]
    clock.lap("answers")
    measured = [
        _to_measured(subject, variant, speeds.get(subject.id))
        for subject, (_, variant) in zip(chosen, answered, strict=True)
    ]
    facts = _task_facts([variant for _, variant in answered])
    warnings = speed_warnings + text_warnings + trust.trust_checks(measured[0], measured[1:], facts, divergence)
    rows = verdict.rows(measured[0], measured[1:], facts, warnings)
    clock.lap("verdicts")
    stored = _to_run(spec, chosen[0], measured, facts, rows, divergence, warnings, clock, folder.name)
    stored.result |= _estimate_facts(spec, measured, facts, resumed=resumed)
    _store(stored, measured)
    for finished_folder in [*divergence_folders, *(finished_folder for finished_folder, _ in answered)]:
        folders.remove(finished_folder)
    return {"run": stored.id, "seconds": clock.total}


def _is_resumed(chosen: Sequence[Subject], prepared: Prepared) -> bool:
    """Return whether an interrupted job has left answers: the time of the rest then corrects no later estimate."""
    from playground.engines.host.loading import device_of_choice

    device = str(device_of_choice())
    parts = (unfinished.folder(subject, prepared, models.template_hash(subject), device) for subject in chosen)
    return any(any(part.iterdir()) for part in parts)


def _estimate_facts(
    spec: EvaluateSpec, measured: Sequence[Measured], facts: Mapping[str, TaskFacts], *, resumed: bool
) -> dict[str, Any]:
    """Return what later estimates need: item sizes, and the estimate that is compared with the measured time."""
    answered = {name: [item for variant in measured for item in variant.tasks.get(name, ())] for name in facts}
    sizes = {
        name: evaluate_estimate.of_items(task_items, evaluate_estimate.budget(name, spec.conditions)).as_dict()
        for name, task_items in answered.items()
        if task_items
    }
    estimate = evaluate_estimate.estimate_to_store(
        spec, [(name, task.n) for name, task in facts.items()], resumed=resumed
    )
    return {"sizes": sizes, "estimate": estimate}


class _LazyEngines:
    """The engines of this job: created at the first call, closed with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._engines: Engines | None = None

    def __call__(self) -> Engines:
        if self._engines is None:
            self._engines = Engines()
            self._stack.callback(self._engines.close)
        return self._engines


def _answer(
    chosen: Sequence[Subject], number: int, prepared: Prepared, engines: Callable[[], Engines], report: Report
) -> tuple[Path, Variant]:
    """Return one variant's answers and their folder: from an interrupted job, or evaluated now."""
    from playground.engines.host.loading import device_of_choice

    subject = chosen[number]
    label = f"{subject.id} ({number + 1} of {len(chosen)})" if len(chosen) > 1 else subject.id
    template = models.template_hash(subject)
    answers_folder = unfinished.folder(subject, prepared, template, str(device_of_choice()))
    if earlier := unfinished.read(answers_folder):
        report.note(f"{subject.id} was measured before the interruption.")
        return answers_folder, earlier
    if (answers_folder / harness.RESPONSES).exists():
        report.note(f"{subject.id} goes on from where it was interrupted.")
    with models.open_model(subject, prepared.conditions, engines, report.progress) as opened:
        tasks = harness.answer(opened.lm, prepared, answers_folder, label, report.progress)
        variant = Variant(subject.facts(opened.loaded, template), tasks)
    unfinished.write(answers_folder, variant)
    return answers_folder, variant


def _divergence(
    passage: Passage | None, chosen: Sequence[Subject], report: Report
) -> tuple[list[dict[str, Any]] | None, list[Path], list[TrustWarning]]:
    """Return the divergence rows, the folders of their documents, and warnings about the text."""
    if passage is None:
        return None, [], []
    from playground.engines.host.loading import device_of_choice
    from playground.evaluate import divergence
    from playground.texts import prose

    text = prose.text(passage.text)
    specs = [subject.spec for subject in chosen if subject.spec is not None]
    documents_folder = unfinished.divergence_folder(chosen, str(device_of_choice()))
    rows = divergence.measure(specs[0], specs[1:], text, passage.tokens, documents_folder, report)
    names = [chosen[0].id, NOISE_FLOOR, *(subject.id for subject in chosen[1:])]
    warnings = [
        *(TrustWarning("text", note, ()) for note in text.notes),
        *trust.warnings(text, chosen),
    ]
    return [{**row, "variant": name} for row, name in zip(rows, names, strict=True)], [documents_folder], warnings


def _to_measured(subject: Subject, variant: Variant, speed: dict[str, Any] | None) -> Measured:
    tasks = {name: answers.items for name, answers in variant.tasks.items()}
    return Measured(subject.id, subject.content_hash, variant.facts | {"speed": speed}, tasks)


def _task_facts(variants: Sequence[Variant]) -> dict[str, TaskFacts]:
    """Return the facts of each task. A task is graded if any variant's scores are."""
    return {
        name: replace(answers.facts, graded=any(variant.tasks[name].facts.graded for variant in variants))
        for name, answers in variants[0].tasks.items()
    }


def _to_run(
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
        variants=[dict(variant.facts) for variant in measured],
        result={
            "tasks": [task.as_dict() for task in facts.values()],
            "rows": rows,
            "divergence": divergence,
            "warnings": [asdict(warning) | {"variants": list(warning.variants)} for warning in warnings],
            "seconds": {**clock.laps, "total": clock.total},
        },
        job_id=job_id,
    )


def _store(run: Run, measured: Sequence[Measured]) -> None:
    """Write the items, then add the run: a stored run is always complete."""
    for number, variant in enumerate(measured):
        for name, answers in variant.tasks.items():
            task_folder = folders.items(run.id, name)
            task_folder.mkdir(parents=True, exist_ok=True)
            items.write(task_folder / f"{number}.jsonl", answers)
    runs.add(run)
