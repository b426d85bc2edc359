"""`python -m playground kld`: how far variants moved from their reference on a text, as a table or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from playground.console import Figures, absolute, err, follow, out, source
from playground.evaluate.cli import say_expected

if TYPE_CHECKING:
    from playground.store.schema import Run


def kld(
    reference: Annotated[str, typer.Argument(help="What the variants are compared with: smollm2, a folder …")],
    variants: Annotated[list[str], typer.Argument(help="smollm2:nf4, smollm2:int8 …")],
    text: Annotated[
        str, typer.Option(help="bundled, a .txt or .jsonl file, or a hub data set: owner/name[:config][:split].")
    ] = "bundled",
    tokens: Annotated[int | None, typer.Option(min=0, help="Tokens to predict at most; 0: all of the text.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens that are read at once.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")] = False,
) -> None:
    """Measure divergence from a reference. Ctrl+C stops it; the same command goes on from there."""
    from playground import models
    from playground.engines import base
    from playground.engines.subjects import refuse_unread
    from playground.evaluate.divergence import MAX_LENGTH, TOKENS
    from playground.evaluate.spec import DivergenceSpec
    from playground.jobs.queue import best_device, submit
    from playground.store import runs
    from playground.texts import prose

    names = [absolute(name) for name in (reference, *variants)]
    spec = DivergenceSpec(
        tuple(names),
        source(text),
        TOKENS if tokens is None else tokens,
        MAX_LENGTH if max_length is None else max_length,
    )
    for name in names:
        refuse_unread(models.variant(base.parse(name).variant))
    if not prose.on_hub(spec.text):
        prose.text(spec.text)  # said at once, instead of by a worker that has to start first
    say_expected(spec)
    job = follow(submit(spec, best_device()))
    run = runs.get(str((job.result or {})["run"]))
    if as_json:
        sys.stdout.write(json.dumps(run.result["rows"], indent=2, ensure_ascii=False) + "\n")
        return
    out.print(table(run))
    for sentence in remarks(run):
        err.print(Text(sentence))
    out.print(Text(f"Run {run.id}", style="dim"))


def table(run: Run) -> Figures:
    """A row for each variant, the reference first and the noise floor second."""
    text = run.result["text"]
    title = f"{text['name']}: {text['tokens']:,} tokens of {text['documents']:,} documents; KLD in nats"
    numbers = ("PPL", "ratio", "mean KLD", "±", "p99", "max", "same top", "RMS Δp")
    found = Figures(("variant",), numbers, title=title)
    for row in run.result["rows"]:
        found.add(*_cells(row))
    return found


def _cells(row: Mapping[str, Any]) -> list[str]:
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


def remarks(run: Run) -> list[str]:
    """What a reader should know beside the numbers."""
    from playground.evaluate.divergence import NOISE_FLOOR, other_path

    _, floor, *rows = run.result["rows"]
    reference = run.variants[0]
    said = [
        f"{NOISE_FLOOR}: {reference['id']} in {other_path(reference['dtype'])} against itself in {reference['dtype']}."
    ]
    for row in rows:
        if row["kld_mean"] <= floor["kld_mean"]:
            said.append(f"{row['variant']} is inside it: two ways to compute the reference differ as much.")
    return said
