"""One variant's answers to the tasks of an evaluation, through lm-evaluation-harness's own `evaluate`. Imports torch.

Prompts, batches, stop rules and scores are lm-eval's; added here: an interrupted evaluation goes on, progress is told,
every item is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground.core import Progress
from playground.errors import EvaluationError, PlaygroundError
from playground.evaluate import items as evaluate_items
from playground.evaluate.items import Item, TaskFacts
from playground.evaluate.prepare import Prepared
from playground.evaluate.response_cache import ResponseCache

RESPONSES = "responses.db"
OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Answers:
    """One task, answered by one variant."""

    facts: TaskFacts
    items: list[Item]


def answer(lm: Any, prepared: Prepared, folder: Path, what: str, on_progress: OnProgress) -> dict[str, Answers]:
    """Ask `lm` every item that `folder` does not hold an answer to yet. `what` says who answers, for the progress.

    `folder` belongs to this variant under these conditions alone. Raises PlaygroundError.
    """
    from lm_eval.evaluator import evaluate

    conditions = prepared.conditions
    loaded = prepared.load()
    with ResponseCache(lm, folder / RESPONSES, what, on_progress) as cache:
        try:
            found: Any = evaluate(
                lm=cache,
                task_dict=loaded,
                limit=conditions.limit,
                bootstrap_iters=0,
                apply_chat_template=conditions.chat_template,
                fewshot_as_multiturn=conditions.multiturn,
                confirm_run_unsafe_code=conditions.allow_code,
            )
        except (PlaygroundError, MemoryError):
            raise
        except (AssertionError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise _typed(error, what) from error
        return {name: _answers(name, task, found, prepared, cache) for name, task in loaded["tasks"].items()}


def _answers(name: str, task: Any, found: Mapping[str, Any], prepared: Prepared, cache: ResponseCache) -> Answers:
    metric = prepared.metrics[name]
    items = evaluate_items.items(task, found["samples"][name], metric, cache.was_cut, cache.cut_prompt)
    row = prepared.rows.get(name)
    facts = TaskFacts(
        name=name,
        title=row.title if row else name,
        metric=str(metric),
        chance=evaluate_items.guessing(task, items),
        higher_is_better=bool(task.higher_is_better().get(metric.name, True)),
        few_shot=int(found["n-shot"][name] or 0),
        n=len(items),
        n_full=int(found["n-samples"][name]["original"]),
        bundled=bool(row and row.bundled),
        graded=any(item.score not in (0.0, 1.0) for item in items),
        sample=len(items) < int(found["n-samples"][name]["original"]),
    )
    return Answers(facts, items)


def _typed(error: Exception, what: str) -> PlaygroundError:
    """lm-eval says in assertions and bare exceptions what cannot be asked of a model."""
    import torch

    from playground.errors import OutOfMemory

    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:400]
    if isinstance(error, torch.OutOfMemoryError):
        return OutOfMemory(f"{what} ran out of memory.", hint="Take a smaller batch.")
    return EvaluationError(f"{what} cannot be asked: {said}", hint="The job's log has the details.")
