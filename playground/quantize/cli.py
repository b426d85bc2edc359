"""`python -m playground quantize`: queues the job, runs the queue until it is over, and tells what came of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from playground import formatting
from playground.console import follow, out, print_notes
from playground.errors import InvalidRequest

if TYPE_CHECKING:
    from playground.methods.recipe import Recipe
    from playground.quantize.estimate import Estimate
    from playground.store.schema import Job


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
) -> None:
    """Make a quantized variant of a model. Ctrl+C stops it and leaves nothing half-made."""
    from pathlib import Path

    from playground.jobs import kinds
    from playground.jobs.queue import submit
    from playground.methods.recipe import Recipe
    from playground.quantize.estimate import estimate, facts
    from playground.quantize.recipes import complete, open_original
    from playground.quantize.spec import QuantizeSpec

    wanted = Recipe.model_validate(
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
    destination = str(Path(out_folder).expanduser().absolute()) if out_folder else ""
    spec = QuantizeSpec(model=model, recipe=wanted, out=destination, name=name)
    checkpoint = open_original(model)
    expected = estimate(checkpoint, wanted, facts(destination, measure=False))
    print_notes([*expected.reasons, _expectation(expected)])
    done = follow(kinds.start(spec, submit), printed=expected.reasons)
    if as_json:
        sys.stdout.write(json.dumps(done.result, indent=2, ensure_ascii=False) + "\n")
    else:
        _card(done, complete(checkpoint, wanted).recipe)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise InvalidRequest(f"--option {text[:80]!r} has no '=' between two parts.", hint="Write --option NAME=VALUE.")
    return name, value


def _value(text: str) -> Any:
    """A number, true, false or a list as in JSON; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _calibration(source: str | None, samples: int | None, length: int | None, seed: int | None) -> dict[str, Any]:
    """{} where nothing was asked for: then the method decides whether it needs any. Raises InvalidRequest."""
    from pathlib import Path

    from playground.texts import Calibration

    given = {"source": source, "samples": samples, "max_length": length, "seed": seed}
    asked = {key: value for key, value in given.items() if value is not None}
    if not asked:
        return {}
    found = Calibration.model_validate(asked)
    return found.model_dump(mode="json") | (
        {"source": str(Path(found.source).expanduser().absolute())} if found.path else {}
    )


def _expectation(found: Estimate) -> str:
    """ "Expected: 113 MB, 900 MB to 1.30 GB of memory, 20 to 40 s." """
    from playground.estimate import span

    parts = [f"{'' if found.bytes_is_exact else 'about '}{formatting.size(found.bytes_after)}"]
    parts.append(f"{' to '.join(map(formatting.size, found.peak_memory))} of memory")
    if found.seconds is not None:
        parts.append(span(found.seconds))
    return f"Expected: {', '.join(parts)}."


def _card(job: Job, recipe: Recipe) -> None:
    """What came of it, in a few lines."""
    made: Mapping[str, Any] = job.result or {}
    before, after = made["bytes_before"], made["bytes_after"]
    rows = [
        ("size", f"{formatting.size(before)} → {formatting.size(after)}, {before / after:.2f}× smaller"),
        ("bits per weight", f"{made['bits_per_weight']:.2f}"),
        ("time", f"{made['seconds']:,.1f} s"),
        ("peak memory", formatting.size(made["peak_memory_bytes"])),
    ]
    if reload := made.get("reload"):
        rows.append(("reloaded", f"mean KLD {reload['kld_mean']:.2g} to what was in memory"))
    layers = sorted(made.get("layers") or (), key=lambda layer: -layer["relative_error"])[:3]
    rows += [("worst layers" if not n else "", f"{x['name']} {x['relative_error']:.2%}") for n, x in enumerate(layers)]
    rows += [("folder", str(made["path"])), ("recipe", str(made["recipe_path"] or f"{recipe.method} {recipe.scheme}"))]
    table = Table(box=None, show_header=False, title=escape(str(made["variant"])), title_justify="left")
    for name, value in rows:
        table.add_row(name, escape(value))
    out.print(table)
    model = str(made["variant"]).rpartition(":")[0]
    hint = f'python -m playground generate {model} {made["variant"]} --prompt "What is gravity?"'
    out.print(escape(f"Compare: {hint}"), style="dim", highlight=False, soft_wrap=True)
    out.print(escape(f"What it cost: python -m playground kld {model} {made['variant']}"), style="dim", highlight=False)
