"""The plots of an evaluation and of a divergence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from playground import formatting
from playground.evaluate.tables import KINDS, NOISE, Row, moved_of, row_of, score_words, share_of
from playground.report import plots
from playground.report.parts import Figure

Z95 = 1.96


def figures(
    variants: Sequence[Row], tasks: Sequence[Row], verdicts: Sequence[Row], moved: Sequence[Row]
) -> list[Figure]:
    found = []
    if moved and (mark := kld_mark(variants, moved)):
        found.append(mark)
    for task in tasks:
        share = share_of(task, verdicts)
        bars = []
        reference = None
        for number, variant in enumerate(variants):
            row = row_of(verdicts, variant["id"], task["name"])
            if row is None or not formatting.known(row.get("score")):
                continue
            by = 100 if share else 1
            reference = by * row["score"] if number == 0 else reference
            look = "ref" if number == 0 else KINDS.get(row["verdict"], "same")
            text = score_words(row["score"], share)
            said = formatting.plus_minus(text, score_words(row.get("stderr"), share))
            tip = f"{variant['label']}: {said}, {row['verdict']}"
            bars.append(
                plots.Bar(
                    str(variant["label"]), by * row["score"], text, look, Z95 * by * (row.get("stderr") or 0.0), tip
                )
            )
        if bars:
            unit = f"{task['metric']}{', %' if share else ''}"
            low = min(0.0, *(bar.value for bar in bars)) if bars else 0.0
            draw = partial(plots.bars, rows=bars, unit=unit, low=low, reference=reference)
            found.append(
                Figure(str(task["name"]), draw, f"n = {task['n']:,}; whiskers ± 1.96 standard errors", wide=False)
            )
    return found


def kld_mark(variants: Sequence[Row], moved: Sequence[Row]) -> Figure | None:
    """What is gained against what is lost."""
    marks = []
    for number, variant in enumerate(variants):
        row, speed = moved_of(moved, variant["id"]), variant.get("speed") or {}
        if number == 0 or not variant.get("bytes") or not row.get("kld_mean"):
            continue
        tip = f"{variant['label']}: {formatting.size(variant['bytes'])}, KLD {formatting.nats(row['kld_mean'])} nats"
        error = Z95 * (row.get("kld_stderr") or 0.0)
        marks.append(
            plots.Mark(
                str(variant["label"]), variant["bytes"], row["kld_mean"], error, speed.get("decode_tok_s"), "v1", tip
            )
        )
    if not marks:
        return None
    faster = ", larger where faster" if any(mark.speed for mark in marks) else ""
    draw = partial(plots.tradeoff, marks=marks, unit="mean KLD, nats (less is better)", log=True)
    return Figure("Size against divergence", draw, f"whiskers ± 1.96 standard errors{faster}", wide=False)


def spread(variants: Sequence[Row], moved: Sequence[Row]) -> list[Figure]:
    found = [
        (str(variant["label"]), row["histogram"], row["kld_mean"])
        for variant in variants[1:]
        if (row := moved_of(moved, variant["id"])).get("histogram") and row.get("kld_mean")
    ]
    if not found:
        return []
    floor = moved_of(moved, NOISE).get("histogram")
    draw = partial(plots.hills, rows=found, floor_of=floor)
    keys = (("hill", "share of the tokens"), ("meanline", "mean"), *((("floor", "noise floor"),) if floor else ()))
    return [Figure("How the divergence is spread", draw, "KLD of single tokens", keys, wide=False)]
