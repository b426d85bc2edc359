"""`python -m playground quantize`: queue the job, run the queue until it ends, and print the result."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from playground import client, formatting
from playground.console import follow, out, print_notes
from playground.errors import InvalidRequest

if TYPE_CHECKING:
    from playground.estimate import Range
    from playground.methods.recipe import Recipe
    from playground.store.schema import Job

DRAFTED = {"method", "scheme", "group_size", "ignore", "kv_cache", "options"}  # fields that a draft has too


def quantize(
    model: Annotated[str, typer.Argument(help="smollm2, a hub repository, or a folder.")],
    method: Annotated[str, typer.Option(help="rtn, gptq, awq, smoothquant, fp8 …")],
    scheme: Annotated[str, typer.Option(help="W4A16, W4A16_ASYM, W8A8, FP8_DYNAMIC, Q4_K_M …")],
    group_size: Annotated[int | None, typer.Option(help="Weights per scale; default: the largest that fits.")] = None,
    samples: Annotated[int | None, typer.Option(help="Calibration samples.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of a calibration sample, at most.")] = None,
    seed: Annotated[int | None, typer.Option(help="Which calibration samples.")] = None,
    calibration: Annotated[
        str | None, typer.Option(help="bundled, a .jsonl or .txt file, or a hub data set: owner/name[:config][:split].")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="A module that stays as it is, or re:PATTERN; may be given several times.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="PATTERN=SCHEME: modules that get another scheme; several times.")
    ] = None,
    kv_cache: Annotated[str, typer.Option(help="Store a KV-cache scheme too: FP8 or INT8.")] = "",
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE: an argument of the method itself; several times.")
    ] = None,
    out_folder: Annotated[str, typer.Option("--out", help="Destination; default: the home's folder of variants.")] = "",
    name: Annotated[str, typer.Option(help="Name of the variant; default: made of method and scheme.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")] = False,
    at: client.Ask = None,
) -> None:
    """Make a quantized variant of a model. Ctrl+C stops it and leaves nothing half-made."""
    from pathlib import Path

    from playground.jobs import kinds
    from playground.jobs.queue import submit
    from playground.methods.recipe import Recipe
    from playground.quantize.estimate import estimate, facts
    from playground.quantize.recipes import complete, open_original
    from playground.quantize.spec import QuantizeSpec

    recipe = Recipe.model_validate(
        {
            "method": method,
            "scheme": scheme,
            "group_size": group_size,
            "ignore": ignore or (),
            "keep": keep or (),
            "kv_cache": kv_cache,
            "calibration": _calibration(calibration, samples, max_length, seed),
            "options": {key: _value(value) for key, value in map(_pair, option or ())},
        }
    )
    if server := client.asked(at, out=out_folder):
        with server:
            job = _ask(server, model, recipe, name)
        _print(job, Recipe.from_stored(job.spec["recipe"]), as_json)
        return
    destination = str(Path(out_folder).expanduser().absolute()) if out_folder else ""
    spec = QuantizeSpec(model=model, recipe=recipe, out=destination, name=name)
    checkpoint = open_original(model)
    expected = estimate(checkpoint, recipe, facts(destination, measure=False))
    size = expected.bytes_after, expected.bytes_is_exact
    print_notes([*expected.reasons, _expectation(*size, expected.peak_memory, expected.seconds)])
    job = follow(kinds.start(spec, submit), printed=expected.reasons)
    _print(job, complete(checkpoint, recipe).recipe, as_json)


def _ask(server: client.Server, model: str, recipe: Recipe, name: str) -> Job:
    """Queue the job at a server and follow it."""
    from playground.texts.calibration import BUNDLED

    source = str(recipe.calibration.get("source") or BUNDLED)
    client.named(model, source)
    draft = {
        "model": model,
        "name": name,
        **recipe.model_dump(mode="json", include=DRAFTED),
        "keep": [f"{pattern}={scheme}" for pattern, scheme in recipe.keep],
        "calibration": {
            **{key: recipe.calibration[key] for key in ("samples", "max_length", "seed") if key in recipe.calibration},
            **({} if source == BUNDLED else {"source": "hub", "hub": source}),
        },
    }
    expected = server.post("/api/quantize/estimate", draft)
    notes = [*expected["reasons"], *filter(None, [expected["group"]])]
    size = expected["after"], expected["exact"]
    print_notes([*notes, _expectation(*size, expected["memory"], expected["seconds"])])
    return server.follow(server.post("/api/quantize/start", draft), notes)


def _print(job: Job, recipe: Recipe, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(job.result, indent=2, ensure_ascii=False) + "\n")
    else:
        _card(job, recipe)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise InvalidRequest(f"--option {text[:80]!r} has no '=' between two parts.", hint="Write --option NAME=VALUE.")
    return name, value


def _value(text: str) -> Any:
    """Return the text parsed as JSON, or the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _calibration(source: str | None, samples: int | None, length: int | None, seed: int | None) -> dict[str, Any]:
    """Return the fields of Calibration, or {} if no option was given: then the method decides whether it needs any.

    Raises InvalidRequest.
    """
    from pathlib import Path

    from playground.texts import Calibration

    options = {"source": source, "samples": samples, "max_length": length, "seed": seed}
    chosen = {key: value for key, value in options.items() if value is not None}
    if not chosen:
        return {}
    calibration = Calibration.model_validate(chosen)
    return calibration.model_dump(mode="json") | (
        {"source": str(Path(calibration.source).expanduser().absolute())} if calibration.path else {}
    )


def _expectation(bytes_after: int, exact: bool, memory: Sequence[int], seconds: Range | None) -> str:
    """Return a sentence like "Expected: 113 MB, 900 MB to 1.30 GB of memory, 20 to 40 s." """
    from playground.estimate import span

    parts = [f"{'' if exact else 'about '}{formatting.size(bytes_after)}"]
    parts.append(f"{' to '.join(map(formatting.size, memory))} of memory")
    if seconds is not None:
        parts.append(span(seconds))
    return f"Expected: {', '.join(parts)}."


def _card(job: Job, recipe: Recipe) -> None:
    """Print the job's result as a table, and commands to go on with."""
    row: Mapping[str, Any] = job.result or {}
    before, after = row["bytes_before"], row["bytes_after"]
    rows = [
        ("size", f"{formatting.size(before)} → {formatting.size(after)}, {before / after:.2f}× smaller"),
        ("bits per weight", f"{row['bits_per_weight']:.2f}"),
        ("time", f"{row['seconds']:,.1f} s"),
        ("peak memory", formatting.size(row["peak_memory_bytes"])),
    ]
    if reload := row.get("reload"):
        rows.append(("reloaded", f"mean KLD {reload['kld_mean']:.2g} to what was in memory"))
    layers = sorted(row.get("layers") or (), key=lambda layer: -layer["relative_error"])[:3]
    rows += [
        ("worst layers" if not n else "", f"{layer['name']} {layer['relative_error']:.2%}")
        for n, layer in enumerate(layers)
    ]
    rows += [("folder", str(row["path"] or "at the server"))]
    rows += [("recipe", str(row["recipe_path"] or f"{recipe.method} {recipe.scheme}"))]
    table = Table(box=None, show_header=False, title=escape(str(row["variant"])), title_justify="left")
    for name, value in rows:
        table.add_row(name, escape(value))
    out.print(table)
    model = str(row["variant"]).rpartition(":")[0]
    hint = f'python -m playground generate {model} {row["variant"]} --prompt "What is gravity?"'
    out.print(escape(f"Compare: {hint}"), style="dim", highlight=False, soft_wrap=True)
    out.print(escape(f"What it cost: python -m playground kld {model} {row['variant']}"), style="dim", highlight=False)
