"""The report of a run that measured divergence alone: the distance of each variant from the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground import formatting
from playground.evaluate import tables
from playground.evaluate.report import (
    DIVERGENCE,
    Row,
    divergence_table,
    histogram_plots,
    largest_divergence,
    notes,
    size_plot,
    text_name,
    with_labels,
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
    """Return the parts of the report: verdict, plots, table, conditions and picture."""
    variants, divergence = with_labels(run.variants), run.result.get("rows") or []
    verdict = [
        Sentence(sentence["text"], "", sentence["rest"], gains(variants[0], other))
        for other in variants[1:]
        for sentence in sentences([variants[0], other], [], [], divergence)
    ]
    text = run.result.get("text") or {}
    length = f"{text['tokens']:,} tokens in {text['documents']:,} documents" if text.get("tokens") else ""
    name = text_name(str(text.get("name") or run.settings.get("text") or ""))
    conditions = [
        ("Text", " · ".join(filter(None, [name, length]))),
        ("Window", f"{run.settings['max_length']:,} tokens" if run.settings.get("max_length") else ""),
    ]
    return (
        *_extremes(variants, divergence),
        *verdict,
        Caveats(("KLD is a distance, not a loss of quality",)),
        *notes(run, variants),
        *(plot for plot in (size_plot(variants, divergence), *histogram_plots(variants, divergence)) if plot),
        divergence_table(variants, divergence),
        Conditions(tuple((name, value) for name, value in conditions if value)),
        Picture(_summary(variants, divergence)),
    )


def terminal(run: Run) -> list[Part]:
    """Return the table and the warnings for a terminal."""
    return [tables.divergence_table(run), *(Sentence(str(warning["text"])) for warning in run.result["warnings"])]


def number(result: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, str]:
    """Return the largest mean KLD and the variant's name."""
    return largest_divergence(result.get("rows") or (), names)


def rows(run: Run) -> list[dict[str, Any]]:
    """Return one row per variant, the noise floor included."""
    facts = {variant["id"]: variant for variant in run.variants}
    return [
        dict(facts.get(row["variant"], {"label": "noise floor"})) | dict(row) for row in run.result.get("rows") or ()
    ]


def _extremes(variants: Sequence[Row], divergence: Sequence[Row]) -> list[Sentence]:
    """Return a sentence on the nearest and the farthest variant; [] for fewer than two."""
    labels_of = {variant["id"]: variant["label"] for variant in variants[1:]}
    order = sorted((row for row in divergence if row["variant"] in labels_of), key=lambda row: row["kld_mean"])
    if len(order) < 2:
        return []
    near, far = ((labels_of[row["variant"]], formatting.nats(row["kld_mean"])) for row in (order[0], order[-1]))
    distances = f"mean KLD {near[1]} and {far[1]} nats"
    return [Sentence(f"{near[0]} stays nearest to {variants[0]['label']}, {far[0]} moves farthest: {distances}.")]


def _summary(variants: Sequence[Row], divergence: Sequence[Row]) -> Table:
    headings = (
        Heading("Variant", words=True), Heading("Size"), Heading("Mean KLD", "nats"), Heading("p99", "nats"),
        Heading("Same top token"), Heading("PPL ratio"),
    )  # fmt: skip
    facts = {variant["id"]: variant for variant in variants}
    rows = []
    for row in divergence:
        match = facts.get(row["variant"])
        is_reference = bool(variants) and row["variant"] == variants[0]["id"]
        ratio = row.get("ppl_ratio")
        rows.append(
            (
                Cell(
                    str(match["label"]) if match else "noise floor",
                    kind="reference" if is_reference else "" if match else "same",
                ),
                Cell(formatting.size(match.get("bytes")) if match else formatting.UNKNOWN),
                Cell(formatting.nats(row.get("kld_mean"))),
                Cell(formatting.nats(row.get("kld_p99"))),
                Cell(formatting.percent(row.get("top1_agreement"))),
                Cell(f"{ratio:.4f}" if formatting.known(ratio) else formatting.UNKNOWN),
            )
        )
    return Table("", headings, tuple(rows))
