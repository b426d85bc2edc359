"""What was measured of a variant's weights, as the tables of its card. Every cell is a stored number with its run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from playground.report import card as report_card
from playground.report.card import code, plain, table
from playground.store import database, runs
from playground.store.schema import Run, StoredVariant

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

Row = Mapping[str, Any]
NOISE_FLOOR = "noise-floor"
NOTHING = "No evaluation of these weights is stored."


def of_variant(variant: StoredVariant) -> list[Run]:
    """The runs that measured exactly these weights, whatever they were called then; newest first."""
    if not database.exists():
        return []
    found = runs.latest(model=variant.model)
    return [runs.get(run.id) for run in found if _measured(run, variant)]


def _measured(run: Run, variant: StoredVariant) -> Mapping[str, Any] | None:
    """How the run describes these weights; None when it did not measure them. The first is what it compared with."""
    return next((one for one in run.variants[1:] if one.get("content_hash") == variant.content_hash), None)


def tables(variant: StoredVariant, found: Sequence[Run]) -> str:
    """Markdown: tasks, divergence and speed, each from the newest run that has it."""
    parts = [_tasks(variant, found), _divergence(variant, found), _speed(variant, found)]
    return "\n\n".join(filter(None, parts)) or NOTHING


def index(variant: StoredVariant, found: Sequence[Run]) -> list[EvalResult]:
    """The same as the hub's `model-index` wants it, each number from the newest run that has it."""
    newest: dict[tuple[str, str], EvalResult] = {}
    for run in found:
        if here := _measured(run, variant):
            for one in report_card.results(run, here["id"]):
                newest.setdefault((one.dataset_type, one.metric_type), one)
    return list(newest.values())


def _row(run: Run, name: object, task: object = None) -> Row | None:
    """The row of a variant, of one task where there are several."""
    rows = run.result.get("rows") or ()
    return next((row for row in rows if row.get("variant") == name and row.get("task") == task), None)


def _tasks(variant: StoredVariant, found: Sequence[Run]) -> str:
    rows: dict[str, list[str]] = {}
    warned: list[str] = []
    bundled = False
    for run, here in _of_kind("evaluation", variant, found):
        facts = {one.get("name"): one for one in run.result.get("tasks") or ()}
        for row in run.result.get("rows") or ():
            task = str(row.get("task"))
            if row.get("variant") != here["id"] or task in rows:
                continue
            own = bool(facts.get(task, {}).get("bundled"))
            bundled |= own
            before = _row(run, run.variants[0]["id"], row.get("task"))
            rows[task] = [
                plain(task) + ("¹" if own else ""), plain(row["metric"]), str(row["n"]), _score(before), _score(row),
                _number(row.get("recovery"), ".1f", " %"), _interval(row.get("diff_ci95")), plain(row["verdict"]),
                code(run.id),
            ]  # fmt: skip
            warned += [f"{task}: {text}" for text in row.get("warnings") or ()]
    if not rows:
        return ""
    headings = ("task", "metric", "n", "base", "quantized", "recovery", "difference, 95 %", "verdict", "run")
    lines = [table(headings, rows.values(), 2)]
    if bundled:
        lines.append("¹ A task that comes with Quantization Playground, not the public benchmark of that kind.")
    lines += [f"- {plain(text)}" for text in dict.fromkeys(warned)]
    return "\n\n".join(lines)


def _divergence(variant: StoredVariant, found: Sequence[Run]) -> str:
    """From runs of their own, or from evaluations that measured it too."""
    for kind in ("divergence", "evaluation"):
        for run, here in _of_kind(kind, variant, found):
            rows = run.result.get("rows" if kind == "divergence" else "divergence") or ()
            by_name = {row.get("variant"): row for row in rows}
            if (own := by_name.get(here["id"])) is None:
                continue
            floor = by_name.get(NOISE_FLOOR)
            shown = [("quantized", own), *([("noise floor", floor)] if floor else [])]
            cells = [
                [
                    name, _pair(row.get("kld_mean"), row.get("kld_stderr"), ".4g"), _number(row.get("kld_p99"), ".4g"),
                    _number(row.get("top1_agreement"), ".1%"), _number(row.get("ppl_ratio"), ".4f"),
                    _number(row.get("tokens"), ",d"), code(run.id),
                ]
                for name, row in shown
            ]  # fmt: skip
            headings = ("", "mean KLD, nats", "p99", "same top token", "PPL ratio", "tokens", "run")
            said = "Divergence from the base model on the same tokens (noise floor: the base model against itself):"
            return f"{said}\n\n{table(headings, cells)}"
    return ""


def _speed(variant: StoredVariant, found: Sequence[Run]) -> str:
    for run, here in _of_kind("evaluation", variant, found):
        if not (own := here.get("speed")):
            continue
        before = run.variants[0].get("speed") or {}
        cells = [
            plain(own.get("engine")), _pair(before.get("decode_tok_s"), before.get("sd"), ".1f"),
            _pair(own.get("decode_tok_s"), own.get("sd"), ".1f"), plain(run.device.get("name", "–")), code(run.id),
        ]  # fmt: skip
        return table(("engine", "base, tok/s", "quantized, tok/s", "on", "run"), [cells])
    return ""


def _of_kind(kind: str, variant: StoredVariant, found: Sequence[Run]) -> Iterator[tuple[Run, Mapping[str, Any]]]:
    for run in found:
        here = _measured(run, variant)
        if run.kind == kind and here is not None:
            yield run, here


def _score(row: Row | None) -> str:
    return "–" if row is None else _pair(row.get("score"), row.get("stderr"), ".4f")


def _pair(value: Any, error: Any, form: str) -> str:
    """ "0.4120 ± 0.0180" """
    return _number(value, form) + (f" ± {_number(error, form)}" if isinstance(error, int | float) else "")


def _interval(found: Any) -> str:
    return f"{found[0]:+.4f} to {found[1]:+.4f}" if isinstance(found, list | tuple) and len(found) == 2 else "–"


def _number(value: Any, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if isinstance(value, int | float) and not isinstance(value, bool) else "–"
