"""An evaluation or a divergence: which variant lost what, on which task, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from playground import formatting
from playground.evaluate.tables import (
    Row,
    divergence_table,
    figures,
    kld_mark,
    moved_summary,
    scores,
    speeds,
    spread,
    summary,
)
from playground.evaluate.verdict import gained, sentences
from playground.report.parts import Account, Doubt, Kind, Said, labels
from playground.store.schema import Run

KINDS: dict[str, Kind] = {"worse": "worse", "better": "better", "same": "same", "withheld": "withheld"}
DIVERGENCE = (
    *("kld_mean", "kld_stderr", "kld_median", "kld_p90", "kld_p99", "kld_p999", "kld_max"),
    *("ppl", "ppl_ratio", "top1_agreement", "dp_mean", "dp_rms"),
)
COLUMNS = (
    *("variant", "label", "method", "scheme", "bytes", "bits_per_weight", "decode_tok_s", "engine"),
    *DIVERGENCE,
    *("task", "metric", "n", "score", "stderr", "recovery", "flips_lost", "flips_won", "mcnemar_p"),
    *("diff", "diff_low", "diff_high", "smallest_drop", "verdict", "truncated", "cut_prompts", "warnings"),
)
DIVERGENCE_COLUMNS = (
    *("variant", "label", "method", "scheme", "bytes", "bits_per_weight", "tokens", "documents"),
    *DIVERGENCE,
)


def account(run: Run) -> Account:
    variants, tasks = named(run.variants), run.result.get("tasks") or []
    verdicts, moved = run.result.get("rows") or [], run.result.get("divergence") or []
    said = sentences(variants, tasks, verdicts, moved)
    return Account(
        kind="Evaluation",
        title=run.title,
        model=run.model,
        run_id=run.id,
        created_at=run.created_at,
        said=tuple(Said(one["text"], KINDS.get(one["kind"], ""), one["rest"], one["note"]) for one in said),
        summary=summary(variants, tasks, verdicts, moved),
        caveats=_caveats(tasks),
        doubts=tuple(_doubts(run, variants)),
        tables=tuple(
            table
            for table in (
                scores(variants, tasks, verdicts),
                speeds(variants) if any(one.get("speed") for one in variants) else None,
                divergence_table(variants, moved) if moved else None,
            )
            if table
        ),
        figures=(*figures(variants, tasks, verdicts, moved), *spread(variants, moved)),
        conditions=_conditions(run, tasks, variants),
    )


def divergence(run: Run) -> Account:
    """Of a run that only measured divergence."""
    variants, moved = named(run.variants), run.result.get("rows") or []
    said = [
        Said(one["text"], "", one["rest"], gained(variants[0], other))
        for other in variants[1:]
        for one in sentences([variants[0], other], [], [], moved)
    ]
    text = run.result.get("text") or {}
    counted = f"{text['tokens']:,} tokens in {text['documents']:,} documents" if text.get("tokens") else ""
    asked = [
        ("Text", " · ".join(filter(None, [_text(str(text.get("name") or run.settings.get("text") or "")), counted]))),
        ("Window", f"{run.settings['max_length']:,} tokens" if run.settings.get("max_length") else ""),
    ]
    keep = [row for row in (kld_mark(variants, moved), *spread(variants, moved)) if row]
    return Account(
        kind="Divergence",
        title=run.title,
        model=run.model,
        run_id=run.id,
        created_at=run.created_at,
        said=(*_nearest(variants, moved), *said),
        summary=moved_summary(variants, moved),
        caveats=("KLD is a distance, not a loss of quality",),
        doubts=tuple(_doubts(run, variants)),
        tables=(divergence_table(variants, moved),),
        figures=tuple(keep),
        conditions=tuple((name, value) for name, value in asked if value),
    )


def rows(run: Run) -> list[dict[str, Any]]:
    """One line per variant and task; of a run without tasks, one per variant."""
    found: list[dict[str, Any]] = []
    moved = {one["variant"]: one for one in run.result.get("divergence") or ()}
    for variant in run.variants:
        here, speed = moved.get(variant["id"], {}), variant.get("speed") or {}
        facts = dict(variant) | {
            "variant": variant["id"],
            "decode_tok_s": speed.get("decode_tok_s"),
            "engine": speed.get("engine") or variant.get("engine"),
            **{name: here.get(name) for name in DIVERGENCE},
        }
        own = [one for one in run.result.get("rows") or () if one["variant"] == variant["id"]]
        for one in own or [{}]:
            low, high = one.get("diff_ci95") or (None, None)
            said = {"diff_low": low, "diff_high": high, "warnings": " ".join(one.get("warnings") or ())}
            found.append(facts | dict(one) | said)
    return found


def divergence_rows(run: Run) -> list[dict[str, Any]]:
    """One line a variant, the noise floor among them."""
    facts = {variant["id"]: variant for variant in run.variants}
    return [
        dict(facts.get(row["variant"], {"label": "noise floor"})) | dict(row) for row in run.result.get("rows") or ()
    ]


def named(variants: Sequence[Row]) -> list[dict[str, Any]]:
    """With labels that tell them apart."""
    return [{**variant, "label": label} for variant, label in zip(variants, labels(variants), strict=True)]


def warnings(found: Sequence[Row], variants: Sequence[Row]) -> list[dict[str, Any]]:
    """Those that withhold a verdict first, each for itself; other doubts of one kind stand together."""
    names_of = {variant["id"]: variant["label"] for variant in variants}
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in found:
        names = [names_of.get(name, name) for name in one["variants"]]
        key = (one["code"], one.get("task"), *names) if one["withholds"] else (one["code"],)
        new: dict[str, Any] = {"withholds": bool(one["withholds"]), "tasks": [], "variants": [], "texts": []}
        group = groups.setdefault(key, new)
        group["texts"].append(one["text"])
        group["tasks"] += [one["task"]] if one.get("task") and one["task"] not in group["tasks"] else []
        group["variants"] += [name for name in names if name not in group["variants"]]
    return sorted(groups.values(), key=lambda group: not group["withholds"])


def conditions(settings: Row, tasks: Sequence[Row], variants: Sequence[Row] = ()) -> list[str]:
    """What every variant was asked under, as short phrases."""
    shots = sorted({task["few_shot"] for task in tasks})
    limit = settings.get("limit")
    said = [
        "" if not tasks else "all items" if limit is None else f"the first {limit:,} items of each task",
        f"{'/'.join(map(str, shots))}-shot" if shots else "",
        "chat template" if settings.get("chat_template") else "no chat template" if tasks else "",
        "examples as turns" if settings.get("multiturn") else "",
        "text after </think>" if settings.get("strip_thinking") else "",
        *(f"{name} {value}" for name, value in (settings.get("generation") or {}).items()),
        f"batch {settings['batch_size']}" if settings.get("batch_size") else "",
        "" if settings.get("seed") is None else f"seed {settings['seed']}",
        left_out(variants) if tasks else "",
    ]
    if found := settings.get("divergence"):
        said.append(f"divergence on {found['tokens']:,} tokens of {_text(str(found['text']))}")
        said += [f"windows of {found['max_length']:,}"] if found.get("max_length") else []
    return [one for one in said if one]


def left_out(variants: Sequence[Row]) -> str:
    """ "generation_config.json not read (BF16: repetition_penalty 1.5)"; "" of a run that an older version made."""
    if not all("left_out" in variant for variant in variants) or not variants:
        return ""
    groups: dict[str, list[str]] = {}
    for variant in variants:
        settings = ", ".join(f"{name} {str(value)[:40]}" for name, value in (variant["left_out"] or {}).items())
        groups.setdefault(settings, []).append(str(variant["label"]))
    found = [f"{', '.join(labels)}: {settings}" for settings, labels in groups.items() if settings]
    return "generation_config.json not read" + (f" ({'; '.join(found)})" if found else "")


def _text(source: str) -> str:
    return "the bundled prose" if source in ("bundled", "bundled prose") else source


def _nearest(variants: Sequence[Row], moved: Sequence[Row]) -> list[Said]:
    """Of several variants, the two ends."""
    labels_of = {variant["id"]: variant["label"] for variant in variants[1:]}
    order = sorted((row for row in moved if row["variant"] in labels_of), key=lambda row: row["kld_mean"])
    if len(order) < 2:
        return []
    near, far = ((labels_of[row["variant"]], formatting.nats(row["kld_mean"])) for row in (order[0], order[-1]))
    distances = f"mean KLD {near[1]} and {far[1]} nats"
    return [Said(f"{near[0]} stays nearest to {variants[0]['label']}, {far[0]} moves farthest: {distances}.")]


def _caveats(tasks: Sequence[Row]) -> tuple[str, ...]:
    own = [str(task["name"]) for task in tasks if task.get("bundled")]
    sampled = [str(task["name"]) for task in tasks if task.get("sample")]
    found = []
    if own:
        found.append(f"tasks written for this project, not public benchmarks: {', '.join(own)}")
    if sampled:
        found.append(f"a sample of the items, not the whole benchmark’s score: {', '.join(sampled)}")
    return tuple(found)


def _doubts(run: Run, variants: Sequence[Row]) -> list[Doubt]:
    found = warnings(run.result.get("warnings") or (), variants)
    return [Doubt(tuple(one["texts"]), one["withholds"], tuple(one["tasks"])) for one in found]


def _conditions(run: Run, tasks: Sequence[Row], variants: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    took = (run.result.get("seconds") or {}).get("total")
    found = [
        ("Conditions", ", ".join(conditions(run.settings, tasks, variants))),
        ("Time", formatting.seconds(took) if took else ""),
    ]
    return tuple((name, value) for name, value in found if value)
