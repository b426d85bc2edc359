"""The report of a run that measured divergence alone: how far each variant is from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground import formatting
from playground.evaluate import tables
from playground.evaluate.report import (
    DIVERGENCE,
    Row,
    divergence_table,
    farthest,
    kld_mark,
    named,
    notes,
    spread,
    text_name,
)
from playground.evaluate.verdict import gains, sentences
from playground.report.parts import Caveats, Cell, Conditions, Heading, Part, Picture, Sentence, Table
from playground.store.schema import Run

COLUMNS = (
    *("variant", "label", "method", "scheme", "bytes", "bits_per_weight", "tokens", "documents"),
    *DIVERGENCE,
)
NUMBER_OF = ("rows",)


def parts(run: Run) -> tuple[Part, ...]:
    variants, moved = named(run.variants), run.result.get("rows") or []
    said = [
        Sentence(one["text"], "", one["rest"], gains(variants[0], other))
        for other in variants[1:]
        for one in sentences([variants[0], other], [], [], moved)
    ]
    text = run.result.get("text") or {}
    counted = f"{text['tokens']:,} tokens in {text['documents']:,} documents" if text.get("tokens") else ""
    name = text_name(str(text.get("name") or run.settings.get("text") or ""))
    asked = [
        ("Text", " · ".join(filter(None, [name, counted]))),
        ("Window", f"{run.settings['max_length']:,} tokens" if run.settings.get("max_length") else ""),
    ]
    return (
        *_nearest(variants, moved),
        *said,
        Caveats(("KLD is a distance, not a loss of quality",)),
        *notes(run, variants),
        *(plot for plot in (kld_mark(variants, moved), *spread(variants, moved)) if plot),
        divergence_table(variants, moved),
        Conditions(tuple((name, value) for name, value in asked if value)),
        Picture(_summary(variants, moved)),
    )


def terminal(run: Run) -> list[Part]:
    return [tables.divergence_table(run), *(Sentence(str(warning["text"])) for warning in run.result["warnings"])]


def number(result: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, str]:
    return farthest(result.get("rows") or (), names)


def rows(run: Run) -> list[dict[str, Any]]:
    """One line a variant, the noise floor among them."""
    facts = {variant["id"]: variant for variant in run.variants}
    return [
        dict(facts.get(row["variant"], {"label": "noise floor"})) | dict(row) for row in run.result.get("rows") or ()
    ]


def _nearest(variants: Sequence[Row], moved: Sequence[Row]) -> list[Sentence]:
    """Of several variants, the two ends."""
    labels_of = {variant["id"]: variant["label"] for variant in variants[1:]}
    order = sorted((row for row in moved if row["variant"] in labels_of), key=lambda row: row["kld_mean"])
    if len(order) < 2:
        return []
    near, far = ((labels_of[row["variant"]], formatting.nats(row["kld_mean"])) for row in (order[0], order[-1]))
    distances = f"mean KLD {near[1]} and {far[1]} nats"
    return [Sentence(f"{near[0]} stays nearest to {variants[0]['label']}, {far[0]} moves farthest: {distances}.")]


def _summary(variants: Sequence[Row], moved: Sequence[Row]) -> Table:
    headings = (
        Heading("Variant", words=True), Heading("Size"), Heading("Mean KLD", "nats"), Heading("p99", "nats"),
        Heading("Same top token"), Heading("PPL ratio"),
    )  # fmt: skip
    facts = {variant["id"]: variant for variant in variants}
    lines = []
    for row in moved:
        own = facts.get(row["variant"])
        reference = bool(variants) and row["variant"] == variants[0]["id"]
        ratio = row.get("ppl_ratio")
        lines.append(
            (
                Cell(
                    str(own["label"]) if own else "noise floor",
                    kind="reference" if reference else "" if own else "same",
                ),
                Cell(formatting.size(own.get("bytes")) if own else formatting.UNKNOWN),
                Cell(formatting.nats(row.get("kld_mean"))),
                Cell(formatting.nats(row.get("kld_p99"))),
                Cell(formatting.percent(row.get("top1_agreement"))),
                Cell(f"{ratio:.4f}" if formatting.known(ratio) else formatting.UNKNOWN),
            )
        )
    return Table("", headings, tuple(lines))
