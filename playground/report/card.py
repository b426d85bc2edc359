"""One run as a section of a model card, in Markdown; as the hub's `model-index`; and as JSON with its schema.

Names and sentences are escaped: they cannot add markup or table cells. The hub's leaderboards and model pages read the
`model-index`. The schema is JSON Schema, draft 2020-12.
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

if TYPE_CHECKING:  # an upload sets the library's environment variables before importing it
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
DIVERGENCE_METRICS = ("kld_mean", "top1_agreement", "ppl_ratio")


def model_card(report: Report, run: Run) -> str:
    """Return Markdown for a README.md, with YAML for its front matter. `run` must be without paths of this machine."""
    parts = [
        f"## {plain(report.kind)}: {plain(report.title)}",
        *(_to_markdown(part) for part in report.parts),
        *([] if report.all(Table) else [_table(picture.table) for picture in report.all(Picture)]),
        _provenance(report, run),
        *_model_index(run),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _to_markdown(part: Part) -> str:
    """Return a part as Markdown; "" for one that a card leaves out."""
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


def _heading(part: Table) -> str:
    caption = f" ({plain(part.caption)})" if part.caption else ""
    return f"**{plain(part.title)}**{caption}\n\n" if part.title else ""


def _table(part: Table) -> str:
    left = next((number for number, heading in enumerate(part.headings) if not heading.words), len(part.headings))
    names = [plain(f"{heading.name}, {heading.unit}" if heading.unit else heading.name) for heading in part.headings]
    rows = [[f"**{_cell(row[0])}**"] if len(row) == 1 else [_cell(cell) for cell in row] for row in part.rows]
    return table(names, [row + [""] * (len(names) - len(row)) for row in rows], max(1, left))


def _cell(cell: Cell) -> str:
    return f"{plain(cell.text)} ({plain(cell.note)})" if cell.note else plain(cell.text)


def _provenance(report: Report, run: Run) -> str:
    place, packages = formatting.place(run.device), formatting.packages(run.versions)
    where = f"Measured {plain(formatting.when(report.created_at))}" + (f" on {plain(place)}" if place else "")
    with_packages = f" with {plain(packages)}" if packages else ""
    return f"{where}{with_packages}, in Quantization Playground; run {code(report.run_id)}."


def _model_index(run: Run) -> list[str]:
    """Return the `model-index` of all variants, the reference first; the reader picks the one of the README's model."""
    import yaml

    entries = [
        model
        for variant in run.variants
        for model in model_index_entry(str(variant["id"]), results(run, variant["id"]))
    ]
    if not entries:
        return []
    text = yaml.safe_dump({"model-index": entries}, sort_keys=False, allow_unicode=True)
    return ["For the front matter, the entry of the model that the card is about:", fence(text, "yaml")]


# JSON.


def as_json(run: Run) -> dict[str, Any]:
    """Return everything stored of a run, valid under `schema()`. `run` must be without paths of this machine."""
    row = run.as_row()
    row.pop("job_id", None)  # it has no meaning on another machine
    document = {"format": FORMAT, "version": VERSION, "playground": __version__, **row}
    return dict(_finite(document))


@cache
def schema() -> dict[str, Any]:
    """Return the JSON schema of `as_json`."""
    return dict(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _finite(value: Any) -> Any:
    """Return the value with infinity and NaN, which JSON does not have, as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


# Markdown.


def plain(text: object) -> str:
    """Return text with Markdown escaped, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def code(text: object) -> str:
    """Return a name in backticks, on one line, without backticks and pipes inside."""
    return f"`{' '.join(str(text).replace('`', '').replace('|', '').split())}`"


def fence(text: str, language: str = "") -> str:
    """Return a code block whose fence is longer than any inside it."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a table of Markdown cells; the first `left` columns are aligned left, the others right."""
    marks = ["---" if number < left else "---:" for number in range(len(headings))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, marks, *rows))


# The `model-index`.


def model_index_entry(name: str, results: Iterable[EvalResult]) -> list[dict[str, Any]]:
    """Return one entry of `model-index`; [] without results."""
    from huggingface_hub.repocard_data import eval_results_to_model_index

    listed = list(results)
    return eval_results_to_model_index(name, listed) if listed else []


def results(run: Run, variant: object) -> list[EvalResult]:
    """Return the results of one variant; scores with a withheld verdict, which nobody should rank by, are left out."""
    tasks = {task.get("name"): task for task in run.result.get("tasks") or ()}
    rows = run.result.get("rows") or ()
    divergence_rows = rows if run.kind == "divergence" else run.result.get("divergence") or ()
    eval_results = [] if run.kind == "divergence" else [
        _task_result(row, tasks.get(row.get("task"), {}))
        for row in rows
        if row.get("variant") == variant and _is_number(row.get("score")) and row.get("verdict") != Verdict.WITHHELD
    ]  # fmt: skip
    text = _text(run)
    for row in divergence_rows:
        if row.get("variant") == variant:
            eval_results += [
                _divergence_result(metric, row[metric], text)
                for metric in DIVERGENCE_METRICS
                if _is_number(row.get(metric))
            ]
    return eval_results


def _task_result(row: Mapping[str, Any], facts: Mapping[str, Any]) -> EvalResult:
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
        metric_args={"n": row["n"], **({"stderr": row["stderr"]} if _is_number(row.get("stderr")) else {})},
    )


def _divergence_result(metric: str, value: float, text: str) -> EvalResult:
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
    """Return the name of the text of the divergence; of a file without its folder."""
    divergence = run.settings.get("divergence")
    name = str(
        run.settings.get("text") or (divergence.get("text") if isinstance(divergence, Mapping) else "") or "text"
    )
    if name == "bundled":
        return "bundled prose"
    return PurePath(name).name if name.startswith(("/", "~", ".")) else name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
