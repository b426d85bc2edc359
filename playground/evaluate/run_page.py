"""One evaluation as a page shows it: a function of the run's row alone, so that any page can show any run.

The items of its tasks are asked for page by page (`evaluate_items`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground import formatting
from playground.evaluate import report
from playground.evaluate.board import available
from playground.evaluate.report import conditions, named, warnings
from playground.evaluate.verdict import is_share, sentences
from playground.report.paths import travelling
from playground.store.schema import Run
from playground.web import owner as web_owner
from playground.web.values import inert

NOISE = "noise-floor"


def view(run: Run, *, owner: bool) -> dict[str, Any]:
    """What the page draws. Who is not the owner is told no path of this machine."""
    row = run.as_row()
    if not owner:
        row = web_owner.run(row)
    stored, row = row, _as_evaluation(row)
    result, variants = row["result"], named(row["variants"])
    tasks = result.get("tasks") or []
    divergence = [one for one in result.get("divergence") or () if one["variant"] != NOISE]
    floor = next((one for one in result.get("divergence") or () if one["variant"] == NOISE), None)
    return {
        "id": run.id,
        "title": row["title"],
        "model": row["model"],
        "created": run.created_at,
        "variants": variants,
        "tasks": [task | {"share": _share(task, result.get("rows") or ())} for task in tasks],
        "rows": result.get("rows") or [],
        "divergence": divergence,
        "floor": floor,
        "warnings": warnings(result.get("warnings") or (), variants),
        "verdict": sentences(variants, tasks, result.get("rows") or (), result.get("divergence") or ()),
        "conditions": conditions(row["settings"], tasks, variants),
        "text": result.get("text"),
        "estimate": result.get("estimate"),
        "device": device(row["device"], row["versions"]),
        "seconds": result.get("seconds") or {},
        "items": available(run.id),
        "files": {"csv": _csv(run), "json": inert(stored)},
    }


def _csv(run: Run) -> str:
    """As the run's file, `/run/ID.csv`."""
    if run.kind == "divergence":
        return formatting.as_csv(report.DIVERGENCE_COLUMNS, report.divergence_rows(travelling(run)))
    return formatting.as_csv(report.COLUMNS, report.rows(travelling(run)))


def _as_evaluation(row: Mapping[str, Any]) -> dict[str, Any]:
    """A divergence measured alone, in the form of an evaluation without tasks; an evaluation as it is."""
    if row["kind"] != "divergence":
        return dict(row)
    settings, result = row["settings"], row["result"]
    said = {"text": settings["text"], "tokens": result["text"]["tokens"], "max_length": settings["max_length"]}
    return dict(row) | {
        "settings": {"divergence": said},
        "result": dict(result) | {"rows": [], "tasks": [], "divergence": result["rows"]},
    }


def _share(task: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the scores of a task are shares, which are shown in percent."""
    return all(is_share(row, task) for row in rows if row["task"] == task["name"])


def device(found: Mapping[str, Any], versions: Mapping[str, Any]) -> list[str]:
    """Where it was measured, and with which packages."""
    name = found.get("name") or found.get("device") or ""
    cores = f"{found['cores']} cores" if found.get("cores") else ""
    return [one for one in (str(name), cores, *(f"{name} {version}" for name, version in versions.items())) if one]
