"""The verdict table: one row a variant and task, as `playground eval --json` prints it and a run keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground.core import REFERENCE
from playground.evaluate.items import Item, Measured, TaskFacts, Warned, clusters, joined
from playground.metrics.stats import mean_stderr, paired

WITHHELD = "withheld"


def rows(
    reference: Measured, others: Sequence[Measured], tasks: Mapping[str, TaskFacts], warnings: Sequence[Warned]
) -> list[dict[str, Any]]:
    """The rows, variant by variant, the reference first; a task that a variant did not answer has no row.

    score, stderr   in the metric's unit, stderr clustered where items share a passage
    recovery        percent; flips_* items; mcnemar_p None where the task is graded
    diff, diff_ci95 score minus the reference's, with its 95 % interval
    truncated       share of the answers that the token budget ended, 0 to 1
    cut_prompts     items whose prompt the model did not get whole
    verdict         "reference", "better", "worse", "not distinguishable", or "withheld": a warning says why

    A variant's row is about the items that both sides answered, see `items.joined`; what only the reference has is
    None in a variant's row when there are none, and what compares is None in the reference's.
    """
    found = []
    for one in (reference, *others):
        for name, facts in tasks.items():
            if not one.tasks.get(name):
                continue
            concerned = [warned for warned in warnings if warned.concerns(one.variant, name)]
            asked = None if one is reference else reference.tasks.get(name, ())
            row = {"variant": one.variant, "task": name, "metric": facts.metric}
            row |= _alone(one.tasks[name]) if asked is None else _compared(asked, one.tasks[name], facts)
            if asked is not None and any(warned.withholds for warned in concerned):
                row["verdict"] = WITHHELD
            found.append(row | {"warnings": [warned.text for warned in concerned]})
    return found


def _alone(items: Sequence[Item]) -> dict[str, Any]:
    """The numbers of one side. Recovery is the reference's of itself."""
    score, stderr = mean_stderr([item.score for item in items], clusters(items))
    return {
        "n": len(items),
        "score": score,
        "stderr": stderr,
        "recovery": 100.0,
        "flips_lost": None,
        "flips_won": None,
        "mcnemar_p": None,
        "diff": None,
        "diff_ci95": None,
        "discordance": None,
        "smallest_drop": None,
        "verdict": REFERENCE,
        "truncated": sum(item.truncated for item in items) / len(items),
        "cut_prompts": sum(item.cut_prompt is not None for item in items),
    }


def _compared(asked: Sequence[Item], answered: Sequence[Item], facts: TaskFacts) -> dict[str, Any]:
    pairs = joined(asked, answered)
    if not pairs:
        return _alone(answered) | {"recovery": None, "verdict": WITHHELD}
    before, after = zip(*pairs, strict=True)
    found = paired(
        [item.score for item in before],
        [item.score for item in after],
        clusters(before),
        higher_is_better=facts.higher_is_better,
        graded=facts.graded or None,
    )
    return _alone(after) | {
        "recovery": found.recovery,
        "flips_lost": found.flips_lost,
        "flips_won": found.flips_won,
        "mcnemar_p": found.mcnemar_p,
        "diff": found.diff,
        "diff_ci95": None if found.diff_ci95 is None else list(found.diff_ci95),
        "discordance": found.discordance,
        "smallest_drop": found.smallest_drop,
        "verdict": found.verdict,
    }
