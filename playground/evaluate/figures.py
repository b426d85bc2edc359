"""The plots of a run on its page: Vega-Lite specifications in which each variant has its colour (`variantColour`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from playground import formatting
from playground.core import NOISE_FLOOR
from playground.evaluate.report import (
    Z95,
    Row,
    divergence_row,
    format_score,
    scores_are_shares,
    verdict_row,
    with_labels,
)
from playground.metrics.verdict import Verdict, read
from playground.report import plots
from playground.report.parts import Plot
from playground.report.plots import variant_look
from playground.store.schema import Run


def of_run(run: Run) -> dict[str, Any]:
    """Return the plots of an evaluation or a divergence, as JSON.

    tradeoff    per choice of the vertical axis: its key and name, the plot, and a sentence on the frontier
    spread      the KLD of single tokens; None without divergence
    confidence  the mean KLD by how confident the reference was; None without divergence
    scores      a plot per task
    """
    variants, tasks = with_labels(run.variants), run.result.get("tasks") or []
    rows = [] if run.kind == "divergence" else run.result.get("rows") or []
    divergence = (run.result.get("rows") if run.kind == "divergence" else run.result.get("divergence")) or []
    return {
        "tradeoff": _tradeoffs(variants, tasks, rows, divergence) if len(variants) > 1 else [],
        "spread": _as_json(_spread(variants, divergence)),
        "confidence": _as_json(_confidence(variants, divergence)),
        "scores": [_as_json(plot) for plot in _scores(variants, tasks, rows)],
    }


def _as_json(plot: Plot | None) -> dict[str, Any] | None:
    """Return a plot with the colours of its legend as (look, words)."""
    if plot is None:
        return None
    return {
        "title": plot.title,
        "caption": plot.caption,
        "alt": plot.alt,
        "keys": [[look, words] for look, words in plot.keys],
        "spec": plot.spec,
    }


# Quality over size.


def _tradeoffs(
    variants: Sequence[Row], tasks: Sequence[Row], rows: Sequence[Row], divergence: Sequence[Row]
) -> list[dict[str, Any]]:
    found = []
    if any((divergence_row(divergence, variant["id"]).get("kld_mean") or 0) > 0 for variant in variants[1:]):
        marks = [_kld_mark(number, variant, divergence) for number, variant in enumerate(variants)]
        found.append(_tradeoff("kld", "KLD", marks, "mean KLD, nats (less is better)", lower_is_better=True, log=True))
    for task in tasks:
        share = scores_are_shares(task, rows)
        marks = [
            _score_mark(number, variant, task, verdict_row(rows, variant["id"], task["name"]), share)
            for number, variant in enumerate(variants)
        ]
        name = str(task["name"])
        unit = f"{name}, {task['metric']}{', %' if share else ''}"
        found.append(_tradeoff(name, name, marks, unit, lower_is_better=not task["higher_is_better"], log=False))
    return [one for one in found if one is not None]


def _tradeoff(
    key: str, words: str, marks: Sequence[plots.Mark | None], unit: str, *, lower_is_better: bool, log: bool
) -> dict[str, Any]:
    known = [mark for mark in marks if mark is not None]
    if not known:
        return {"key": key, "words": words, "plot": None, "said": "No variant has both a size and this measure."}
    faster = f", larger where faster, up to {formatting.figure(top)} tok/s" if (top := _fastest(known)) else ""
    plot = plots.tradeoff("Size, speed and quality", known, unit, f"error bars: 95% confidence{faster}", log=log)
    return {"key": key, "words": words, "plot": _as_json(plot), "said": _frontier_words(known, lower_is_better)}


def _fastest(marks: Sequence[plots.Mark]) -> float:
    return max((mark.speed or 0.0 for mark in marks), default=0.0)


def _kld_mark(number: int, variant: Row, divergence: Sequence[Row]) -> plots.Mark | None:
    row = divergence_row(divergence, variant["id"])
    if not variant.get("bytes") or not row.get("kld_mean"):  # the reference's is 0, which a logarithm has not
        return None
    words = f"KLD {formatting.plus_minus(formatting.nats(row['kld_mean']), formatting.nats(row.get('kld_stderr')))}"
    return _mark(number, variant, row["kld_mean"], Z95 * (row.get("kld_stderr") or 0.0), f"{words} nats")


def _score_mark(number: int, variant: Row, task: Row, row: Row | None, share: bool) -> plots.Mark | None:
    if row is None or not variant.get("bytes") or not formatting.known(row.get("score")):
        return None
    scale = 100 if share else 1
    score = formatting.plus_minus(format_score(row["score"], share), format_score(row.get("stderr"), share))
    error = Z95 * scale * (row.get("stderr") or 0.0)
    return _mark(number, variant, scale * row["score"], error, f"{task['metric']} {score}{'%' if share else ''}")


def _mark(number: int, variant: Row, value: float, error: float, words: str) -> plots.Mark:
    speed = variant.get("speed") or {}
    rate = speed.get("decode_tok_s")
    fast = f"{formatting.figure(rate)} tok/s in {speed.get('engine')}" if rate else "speed not measured"
    tip = f"{variant['label']}: {formatting.size(variant['bytes'])}, {words}, {fast}"
    return plots.Mark(str(variant["label"]), variant["bytes"], value, error, rate, variant_look(number), tip)


def _frontier_words(marks: Sequence[plots.Mark], lower_is_better: bool) -> str:
    """Name the variants that no other beats in size, speed and quality at once, going by the means."""
    sign = -1 if lower_is_better else 1

    def measures(mark: plots.Mark) -> tuple[float, float, float]:
        return -mark.x, sign * mark.y, mark.speed or 0.0

    def beaten(mark: plots.Mark) -> bool:
        own = measures(mark)
        return any(
            all(a >= b for a, b in zip(measures(other), own, strict=True)) and measures(other) != own
            for other in marks
            if other is not mark
        )

    best = [mark.label for mark in marks if not beaten(mark)]
    if len(best) == len(marks):
        return "Every variant is best on at least one axis (by mean)."
    as_fast = "no larger, no slower and no worse" if _fastest(marks) else "no larger and no worse"
    return f"On the frontier: {', '.join(best)}. For every other variant, one of these is {as_fast} (by mean)."


# Divergence.


def _spread(variants: Sequence[Row], divergence: Sequence[Row]) -> Plot | None:
    histograms = [
        (str(variant["label"]), row["histogram"], row["kld_mean"])
        for variant in variants[1:]
        if (row := divergence_row(divergence, variant["id"])).get("histogram") and row.get("kld_mean")
    ]
    if not histograms:
        return None
    floor = divergence_row(divergence, NOISE_FLOOR).get("histogram")
    return plots.hills("KLD of single tokens", histograms, floor, "share of tokens by their KLD")


def _confidence(variants: Sequence[Row], divergence: Sequence[Row]) -> Plot | None:
    """Return the mean KLD in ranges of the reference's probability of its most probable token.

    Where the reference was sure, a large KLD is a changed answer.
    """
    measured = [
        (number, variant, row)
        for number, variant in enumerate(variants)
        if number
        and (row := divergence_row(divergence, variant["id"])).get("buckets")
        and any(bucket["kld_mean"] for bucket in row["buckets"])
    ]
    if not measured:
        return None
    floor = divergence_row(divergence, NOISE_FLOOR)
    first = measured[0][2]
    groups = [
        (_range(*bucket["confidence"]), f"{100 * bucket['tokens'] / first['tokens']:.0f}% of tokens")
        for bucket in first["buckets"]
    ]
    series = [
        (str(variant["label"]), variant_look(number), [_bucket(variant, bucket) for bucket in row["buckets"]])
        for number, variant, row in measured
    ]
    noise = [bucket["kld_mean"] for bucket in floor.get("buckets") or ()]
    return plots.columns(
        "Divergence by reference confidence", groups, series, noise, "mean KLD, nats", "confidence of the reference",
        "the reference’s probability of its most probable token",
    )  # fmt: skip


def _range(low: float, high: float) -> str:
    if low == 0:
        return f"< {100 * high:.0f}%"
    return f"≥ {100 * low:.0f}%" if high == 1 else f"{100 * low:.0f}–{100 * high:.0f}%"


def _bucket(variant: Row, bucket: Row) -> tuple[float | None, str]:
    words = (
        f"{variant['label']}, reference confidence {_range(*bucket['confidence'])}: "
        f"mean KLD {formatting.nats(bucket['kld_mean'])} nats over {bucket['tokens']:,} tokens, "
        f"same top token in {formatting.percent(bucket['top1_agreement'])}"
    )
    return bucket["kld_mean"], words


# Scores.


def _scores(variants: Sequence[Row], tasks: Sequence[Row], rows: Sequence[Row]) -> list[Plot]:
    found = []
    for task in tasks:
        share = scores_are_shares(task, rows)
        scale = 100 if share else 1
        bars, reference = [], None
        for number, variant in enumerate(variants):
            row = verdict_row(rows, variant["id"], task["name"])
            if row is None or not formatting.known(row.get("score")):
                continue
            reference = scale * row["score"] if number == 0 else reference
            text = format_score(row["score"], share)
            verdict = read(row["verdict"])
            marked = " ▼" if verdict is Verdict.WORSE else " ▲" if verdict is Verdict.BETTER else ""
            score = formatting.plus_minus(text, format_score(row.get("stderr"), share))
            error = Z95 * scale * (row.get("stderr") or 0.0)
            tip = f"{variant['label']}: {score}, {row['verdict']}"
            bars.append(
                plots.Bar(str(variant["label"]), scale * row["score"], text + marked, variant_look(number), error, tip)
            )
        if bars:
            chance = f"; chance {format_score(task['chance'], share)}" if formatting.known(task.get("chance")) else ""
            low = min(0.0, *(bar.value for bar in bars))
            unit = f"{task['metric']}{', %' if share else ''}"
            caption = f"n = {task['n']:,}{chance}"
            found.append(plots.bars(str(task["name"]), bars, unit, caption, low=low, reference=reference))
    return found
