"""One evaluation as a page shows it: a function of the run's row alone, so that any page can show any run.

The items of its tasks are asked for page by page (`evaluate_items`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from playground.evals.verdict_words import is_share, sentences
from playground.store.schema import Run
from playground.ui import outsiders
from playground.ui.encode import inert
from playground.ui.evaluate_items import available

NOISE = "noise-floor"
COLUMNS = (
    *("variant", "label", "method", "scheme", "bytes", "bits_per_weight", "decode_tok_s", "engine", "kld_mean"),
    *("kld_stderr", "task", "metric", "n", "score", "stderr", "recovery", "flips_lost", "flips_won", "mcnemar_p"),
    *("diff", "diff_low", "diff_high", "smallest_drop", "verdict", "truncated", "warnings"),
)


def view(run: Run, *, owner: bool) -> dict[str, Any]:
    """What the page draws. Who is not the owner is told no path of this machine."""
    row = run.as_row()
    if not owner:
        row = outsiders.run(row)
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
        "warnings": _warnings(result.get("warnings") or (), variants),
        "verdict": sentences(variants, tasks, result.get("rows") or (), result.get("divergence") or ()),
        "conditions": conditions(row["settings"], tasks),
        "device": device(row["device"], row["versions"]),
        "seconds": result.get("seconds") or {},
        "items": available(run.id),
        "files": {"csv": as_csv(row), "json": inert(row)},
    }


def named(variants: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """With labels that tell them apart: two of one label by their engines, or else by their ids."""
    labels = [str(variant["label"]) for variant in variants]
    engines = [(label, variant.get("engine")) for label, variant in zip(labels, variants, strict=True)]
    found = []
    for label, engine, variant in zip(labels, engines, variants, strict=True):
        if labels.count(label) > 1:
            label = f"{label} in {engine[1]}" if engines.count(engine) == 1 else str(variant["id"])
        found.append({**variant, "label": label})
    return found


def _share(task: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the scores of a task are shares, which are shown in percent."""
    return all(is_share(row, task) for row in rows if row["task"] == task["name"])


def _warnings(found: Sequence[Mapping[str, Any]], variants: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Those that withhold a verdict first, each for itself; other doubts of one kind stand together."""
    labels = {variant["id"]: variant["label"] for variant in variants}
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in found:
        names = [labels.get(name, name) for name in one["variants"]]
        key = (one["code"], one.get("task"), *names) if one["withholds"] else (one["code"],)
        new: dict[str, Any] = {"withholds": bool(one["withholds"]), "tasks": [], "variants": [], "texts": []}
        group = groups.setdefault(key, new)
        group["texts"].append(one["text"])
        group["tasks"] += [one["task"]] if one.get("task") and one["task"] not in group["tasks"] else []
        group["variants"] += [name for name in names if name not in group["variants"]]
    return sorted(groups.values(), key=lambda group: not group["withholds"])


def conditions(settings: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """What every variant was asked under, as short phrases."""
    shots = sorted({task["few_shot"] for task in tasks})
    limit = settings.get("limit")
    said = [
        "all items" if limit is None else f"the first {limit:,} items of each task",
        f"{'/'.join(map(str, shots))}-shot" if shots else "",
        "chat template" if settings.get("chat_template") else "no chat template",
        "examples as turns" if settings.get("multiturn") else "",
        "text after </think>" if settings.get("strip_thinking") else "",
        *(f"{name} {value}" for name, value in (settings.get("generation") or {}).items()),
        f"batch {settings['batch_size']}" if settings.get("batch_size") else "",
        "" if settings.get("seed") is None else f"seed {settings['seed']}",
    ]
    if found := settings.get("divergence"):
        said.append(f"divergence on {found['tokens']:,} tokens of {_text(str(found['text']))}")
    return [words for words in said if words]


def _text(source: str) -> str:
    return "the bundled prose" if source == "bundled" else source


def device(found: Mapping[str, Any], versions: Mapping[str, Any]) -> list[str]:
    """Where it was measured, and with which packages."""
    name = found.get("name") or found.get("device") or ""
    cores = f"{found['cores']} cores" if found.get("cores") else ""
    return [one for one in (str(name), cores, *(f"{name} {version}" for name, version in versions.items())) if one]


def as_csv(row: Mapping[str, Any]) -> str:
    """One line per variant and task; of a run without tasks, one per variant."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    result = row["result"]
    divergence = {one["variant"]: one for one in result.get("divergence") or ()}
    for variant in row["variants"]:
        moved = divergence.get(variant["id"], {})
        speed = variant.get("speed") or {}
        facts = variant | {
            "variant": variant["id"],
            "decode_tok_s": speed.get("decode_tok_s"),
            "engine": speed.get("engine") or variant.get("engine"),
            "kld_mean": moved.get("kld_mean"),
            "kld_stderr": moved.get("kld_stderr"),
        }
        own = [one for one in result.get("rows") or () if one["variant"] == variant["id"]]
        for one in own or [{}]:
            low, high = one.get("diff_ci95") or (None, None)
            said = {"diff_low": low, "diff_high": high, "warnings": " ".join(one.get("warnings") or ())}
            writer.writerow({name: _cell(value) for name, value in (facts | one | said).items()})
    return out.getvalue()


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
