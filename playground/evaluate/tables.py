"""Tables of an evaluation and of a divergence, for the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from playground.formatting import minus
from playground.metrics.verdict import Verdict
from playground.report.parts import Table, plain_table

if TYPE_CHECKING:
    from playground.store.schema import Run


def tables(run: Run) -> list[Table]:
    """Return a table of the variants (size, speed, divergence), then one for each task."""
    rows: Sequence[Mapping[str, Any]] = run.result["rows"]
    figures = [_variants(run)]
    for facts in run.result["tasks"]:
        sample = f", the first {facts['n']:,} of {facts['n_full']:,} items" if facts["sample"] else ""
        title = f"{facts['title']}: {facts['metric']}, {facts['few_shot']} examples{sample}"
        numbers = ("score", "recovery", "lost, won", "McNemar p", "difference, 95%", f"at n = {facts['n']:,}")
        own = [_cells(row) for row in rows if row["task"] == facts["name"]]
        figures.append(plain_table(title, ("variant",), numbers, own))
    return figures


def _cells(row: Mapping[str, Any]) -> list[str]:
    flips = "–" if row["flips_lost"] is None else f"{row['flips_lost']}, {row['flips_won']}"
    interval = row["diff_ci95"]
    difference = "–" if interval is None else minus(f"{row['diff']:+.4f} ({interval[0]:+.4f} … {interval[1]:+.4f})")
    verdict = row["verdict"]
    if verdict == Verdict.CANNOT_TELL and row["smallest_drop"] is not None:
        verdict += f"; a drop of {row['smallest_drop']:.3f} would have shown"
    return [
        row["variant"],
        f"{row['score']:.4f}" + ("" if row["stderr"] is None else f" ± {row['stderr']:.4f}"),
        "–" if row["recovery"] is None else f"{row['recovery']:.1f}%",
        flips,
        "–" if row["mcnemar_p"] is None else f"{row['mcnemar_p']:.3g}",
        difference,
        verdict,
    ]


def _variants(run: Run) -> Table:
    divergence = {row["variant"]: row for row in run.result["divergence"] or ()}
    speeds = any(variant["speed"] for variant in run.variants)
    headings = ["size", "bits per weight", *(["decode tok/s"] if speeds else []), *(["mean KLD"] if divergence else [])]
    rows = []
    for variant in run.variants:
        cells = [variant["id"], variant["engine"]]
        cells.append("–" if variant["bytes"] is None else f"{variant['bytes'] / 1e6:,.0f} MB")
        cells.append("–" if variant["bits_per_weight"] is None else f"{variant['bits_per_weight']:.2f}")
        if speeds:
            cells.append(_speed(variant["speed"]))
        if divergence:
            cells.append(_kld(divergence.get(variant["id"])))
        rows.append(cells)
    return plain_table("", ("variant", "engine"), headings, rows)


def _kld(row: Mapping[str, Any] | None) -> str:
    """Format mean KLD ± standard error; a text of one document has no standard error."""
    if row is None:
        return "–"
    return f"{row['kld_mean']:.4g}" + ("" if row["kld_stderr"] is None else f" ± {row['kld_stderr']:.2g}")


def _speed(speed: Mapping[str, Any] | None) -> str:
    if speed is None:
        return "–"
    deviation = "" if speed["sd"] is None else f" ± {speed['sd']:.1f}"
    return f"{speed['decode_tok_s']:.1f}{deviation} ({speed['engine']})"


def divergence_table(run: Run) -> Table:
    """Return a table with a row for each variant, the reference first and the noise floor second."""
    text = run.result["text"]
    title = f"{text['name']}: {text['tokens']:,} tokens of {text['documents']:,} documents; KLD in nats"
    numbers = ("PPL", "ratio", "mean KLD", "±", "p99", "max", "same top", "RMS Δp")
    return plain_table(title, ("variant",), numbers, map(_kld_cells, run.result["rows"]))


def _kld_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["variant"],
        f"{row['ppl']:.4g}",
        f"{row['ppl_ratio']:.4f}",
        f"{row['kld_mean']:.3g}",
        "–" if row["kld_stderr"] is None else f"{row['kld_stderr']:.2g}",
        f"{row['kld_p99']:.3g}",
        f"{row['kld_max']:.3g}",
        f"{row['top1_agreement']:.1%}",
        f"{row['dp_rms']:.1%}",
    ]
