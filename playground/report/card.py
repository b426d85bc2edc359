"""One run as a section of a model card, in Markdown; as the hub's `model-index`; and as JSON with its schema.

Names and sentences from elsewhere are text in a card: never markup, never another table cell. The hub's leaderboards
and model pages read the `model-index`. The schema is JSON Schema, draft 2020-12.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from playground import __version__, formatting
from playground.metrics.verdict import Verdict
from playground.report.parts import Caveats, Cell, Note, Part, Picture, Report, Sentence, Table
from playground.store.schema import Run

if TYPE_CHECKING:  # the upload decides how the library behaves before it is imported
    from huggingface_hub import EvalResult

FORMAT = "quantization-playground/run"
VERSION = 1
SCHEMA = Path(__file__).parent / "run.schema.json"
_MARKUP = re.compile(r"([\\`*\[\]<>|#&!~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
TASK = "text-generation"
NAMES = {
    "acc": "accuracy", "acc_norm": "normalized accuracy", "exact_match": "exact match", "f1": "F1",
    "kld_mean": "mean KLD from the base model, nats", "top1_agreement": "same top token as the base model",
    "ppl_ratio": "perplexity over the base model’s",
}  # fmt: skip
OF_DIVERGENCE = ("kld_mean", "top1_agreement", "ppl_ratio")


def model_card(report: Report, run: Run) -> str:
    """Markdown that can be pasted into a README.md; the YAML belongs into its front matter. `run` is one without paths
    of this machine.
    """
    parts = [
        f"## {plain(report.kind)}: {plain(report.title)}",
        *(_part(part) for part in report.parts),
        *([] if report.all(Table) else [_table(one.table) for one in report.all(Picture)]),
        _measured(report, run),
        *_index(run),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _part(part: Part) -> str:
    """ "" for what has no place in a card."""
    match part:
        case Sentence():
            return f"{plain(part.text)} {plain(part.rest)}".strip()
        case Caveats(texts) if texts:
            return f"_{plain(' · '.join(texts))}_"
        case Note(texts):
            return "\n\n".join(f"- {plain(text)}" for text in texts)
        case Table():
            return f"{_heading(part)}{_table(part)}"
    return ""


def _heading(one: Table) -> str:
    said = f" ({plain(one.caption)})" if one.caption else ""
    return f"**{plain(one.title)}**{said}\n\n" if one.title else ""


def _table(one: Table) -> str:
    left = next((number for number, heading in enumerate(one.headings) if not heading.words), len(one.headings))
    names = [plain(f"{heading.name}, {heading.unit}" if heading.unit else heading.name) for heading in one.headings]
    rows = [[f"**{_cell(row[0])}**"] if len(row) == 1 else [_cell(cell) for cell in row] for row in one.rows]
    return table(names, [row + [""] * (len(names) - len(row)) for row in rows], max(1, left))


def _cell(cell: Cell) -> str:
    return f"{plain(cell.text)} ({plain(cell.note)})" if cell.note else plain(cell.text)


def _measured(report: Report, run: Run) -> str:
    place, packages = formatting.place(run.device), formatting.packages(run.versions)
    where = f"Measured {plain(formatting.when(report.created_at))}" + (f" on {plain(place)}" if place else "")
    with_ = f" with {plain(packages)}" if packages else ""
    return f"{where}{with_}, in Quantization Playground; run {code(report.run_id)}."


def _index(run: Run) -> list[str]:
    """One entry for each variant, the reference first: whose README it is for is the reader's to choose."""
    import yaml

    entries = [one for variant in run.variants for one in entry(str(variant["id"]), results(run, variant["id"]))]
    if not entries:
        return []
    text = yaml.safe_dump({"model-index": entries}, sort_keys=False, allow_unicode=True)
    return ["For the front matter, the entry of the model that the card is about:", fence(text, "yaml")]


# JSON.


def as_json(run: Run) -> dict[str, Any]:
    """Everything that is stored of it, as `schema()` says. `run` is one without paths of this machine."""
    row = run.as_row()
    row.pop("job_id", None)  # means nothing elsewhere
    found = {"format": FORMAT, "version": VERSION, "playground": __version__, **row}
    return dict(_finite(found))


@cache
def schema() -> dict[str, Any]:
    """What `as_json` gives, as a JSON schema."""
    return dict(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _finite(value: Any) -> Any:
    """JSON knows neither infinity nor what is no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


# Markdown.


def plain(text: object) -> str:
    """Text that reads as it is, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def code(text: object) -> str:
    """A name in monospace, on one line; what would end it is left out."""
    return f"`{' '.join(str(text).replace('`', '').replace('|', '').split())}`"


def fence(text: str, language: str = "") -> str:
    """A block that nothing inside can end."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Headings and cells are Markdown already; the first `left` columns hold words, the others numbers."""
    marks = ["---" if number < left else "---:" for number in range(len(headings))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, marks, *rows))


# The `model-index`.


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
        if row.get("variant") == variant and _number(row.get("score")) and row.get("verdict") != Verdict.WITHHELD
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
