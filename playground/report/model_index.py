"""Results of runs as the hub's `model-index`, which its leaderboards and model pages read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from playground.store.schema import Run

if TYPE_CHECKING:  # the upload decides how the library behaves before it is imported
    from huggingface_hub import EvalResult

TASK = "text-generation"
NAMES = {
    "acc": "accuracy", "acc_norm": "normalized accuracy", "exact_match": "exact match", "f1": "F1",
    "kld_mean": "mean KLD from the base model, nats", "top1_agreement": "same top token as the base model",
    "ppl_ratio": "perplexity over the base model’s",
}  # fmt: skip
OF_DIVERGENCE = ("kld_mean", "top1_agreement", "ppl_ratio")


def entry(name: str, results: Iterable[EvalResult]) -> list[dict[str, Any]]:
    """One entry of `model-index`; [] without results."""
    from huggingface_hub.repocard_data import eval_results_to_model_index

    listed = list(results)
    return eval_results_to_model_index(name, listed) if listed else []


def results(run: Run, variant: object) -> list[EvalResult]:
    """What a run measured of one of its variants. A verdict that was withheld is left out: nobody should rank by it."""
    tasks = {task.get("name"): task for task in run.result.get("tasks") or ()}
    rows = run.result.get("rows") or ()
    moved = rows if run.kind == "divergence" else run.result.get("divergence") or ()
    found = [] if run.kind == "divergence" else [
        _task(row, tasks.get(row.get("task"), {}))
        for row in rows
        if row.get("variant") == variant and _number(row.get("score")) and row.get("verdict") != "withheld"
    ]  # fmt: skip
    text = _text(run)
    for row in moved:
        if row.get("variant") == variant:
            found += [_moved(metric, row[metric], text) for metric in OF_DIVERGENCE if _number(row.get(metric))]
    return found


def _task(row: Mapping[str, Any], facts: Mapping[str, Any]) -> EvalResult:
    from huggingface_hub import EvalResult

    metric = str(row["metric"])
    sample = f", first {row['n']} items" if facts.get("sample") else ""
    return EvalResult(
        task_type=TASK,
        dataset_type=str(row["task"]),
        dataset_name=str(facts.get("title") or row["task"]) + sample,
        metric_type=metric,
        metric_name=NAMES.get(metric, metric),
        metric_value=row["score"],
        metric_args={"n": row["n"], **({"stderr": row["stderr"]} if _number(row.get("stderr")) else {})},
    )


def _moved(metric: str, value: float, text: str) -> EvalResult:
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type=TASK,
        dataset_type="text",
        dataset_name=text,
        metric_type=metric,
        metric_name=NAMES[metric],
        metric_value=value,
    )


def _text(run: Run) -> str:
    """What the divergence was measured on; of a file only its name, never where it lies."""
    asked = run.settings.get("divergence")
    name = str(run.settings.get("text") or (asked.get("text") if isinstance(asked, Mapping) else "") or "text")
    if name == "bundled":
        return "bundled prose"
    return PurePath(name).name if name.startswith(("/", "~", ".")) else name


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
