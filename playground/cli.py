"""The same calls without a browser: `python -m playground run | generate | models | bench | doctor`.

With --json, standard output holds JSON and nothing else; progress, warnings and errors go to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from playground import catalog
from playground.core import Progress, Sampling
from playground.errors import Cancelled, PlaygroundError
from playground.settings import settings

app = typer.Typer(
    help="Compare a language model with its quantized variants.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

Variants = Annotated[
    list[str], typer.Argument(help="smollm2, smollm2:nf4, owner/name:int8, a folder … The first is the reference.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]
T = TypeVar("T")


def main() -> None:
    """Run the command line; a `PlaygroundError` becomes one sentence and exit status 1."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        app(standalone_mode=True)
    except Cancelled:
        raise SystemExit(130) from None
    except PlaygroundError as error:
        fail(error)
        raise SystemExit(1) from None


def fail(error: PlaygroundError) -> None:
    """One sentence, what to do about it, and the engine's last words if it died."""
    err.print(f"[bold red]Error:[/] {_plain(error.message)}", highlight=False)
    if error.hint:
        err.print(_plain(error.hint), highlight=False)
    if error.log_tail:
        err.print(_plain(error.log_tail), style="dim", highlight=False)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


@contextmanager
def _engine() -> Iterator[Any]:
    from playground.engines.transformers import TransformersEngine

    engine = TransformersEngine()
    try:
        yield engine
    finally:
        engine.close()


def progress_words(progress: Progress) -> str:
    """ "Downloading 12 of 40 MB", "Reading the prompt 256 of 1,024 tokens"."""
    if not progress.total:
        return progress.stage
    if progress.unit == "bytes":
        return f"{progress.stage} {progress.done / 1e6:,.0f} of {progress.total / 1e6:,.0f} MB"
    return f"{progress.stage} {progress.done:,.0f} of {progress.total:,.0f} {progress.unit}".rstrip()


@app.command()
def run(
    host: Annotated[str | None, typer.Option(help="Address to listen on; PLAYGROUND_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one; PLAYGROUND_PORT.")] = None,
    share: Annotated[bool, typer.Option("--share", help="Also through Gradio's public tunnel.")] = False,
) -> None:
    """Open the page."""
    from playground.ui.app import launch

    launch(host=host, port=port, share=share)


@app.command()
def models(
    model: Annotated[str | None, typer.Argument(help="One model; without it, every model offered.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the variants that exist, with their sizes."""
    rows = []
    for name in [model] if model else catalog.models():
        try:
            rows += [variant.as_row() for variant in catalog.variants(name)]
        except PlaygroundError as error:
            if model:
                raise
            err.print(f"{_plain(name)}: {_plain(str(error))}", style="dim", highlight=False)
    if as_json:
        _print_json(rows)
        return
    table = Table(box=None, header_style="dim")
    for heading in ("variant", "method", "scheme"):
        table.add_column(heading)
    for heading in ("size", "bits per weight"):
        table.add_column(heading, justify="right")
    table.add_column("engines")
    for row in rows:
        size = "–" if row["bytes"] is None else f"{row['bytes'] / 1e6:,.0f} MB"
        bits = "–" if row["bits_per_weight"] is None else f"{row['bits_per_weight']:.2f}"
        table.add_row(row["id"], row["method"], row["scheme"], size, bits, ", ".join(row["engines"]))
    out.print(table)


@app.command()
def generate(
    variants: Variants,
    prompt: Annotated[str, typer.Option(help="What every variant is asked.")],
    system: Annotated[str, typer.Option(help="System prompt; empty leaves it to the model's template.")] = "",
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text as it is, without a chat template.")] = False,
    max_tokens: Annotated[int, typer.Option(min=1)] = 128,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="1 is off.")] = 1.0,
    top_k: Annotated[int, typer.Option(min=0, help="0 is off.")] = 0,
    repetition_penalty: Annotated[float, typer.Option(help="1 is off.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    stop: Annotated[list[str] | None, typer.Option(help="Ends the text; may be given several times.")] = None,
    as_json: AsJson = False,
) -> None:
    """Stream one prompt through several variants, side by side."""
    from playground.generate import generate as generate_all
    from playground.terminal import SideBySide

    sampling = Sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        repetition_penalty=repetition_penalty,
        seed=seed,
        stop=tuple(stop or ()),
    )
    with _engine() as engine:
        # Beside JSON the panes are drawn on standard error, and only where a person looks at it.
        with SideBySide(variants, err if as_json else out) as view:
            result = generate_all(engine, variants, prompt, system, raw, sampling, on_event=view.on_event)
        if as_json:
            _print_json(result)
    failed = [pane for pane in result["panes"] if "error" in pane]
    for pane in failed if as_json else ():
        err.print(_plain(f"{pane['variant']}: {pane['error']['message']} {pane['error']['hint']}"), highlight=False)
    if failed:
        raise typer.Exit(1)


@app.command()
def bench(
    variants: Annotated[list[str] | None, typer.Argument(help="Variants to measure, one after the other.")] = None,
    prompt_tokens: Annotated[
        int, typer.Option("-p", min=0, help="Prompt tokens of the prefill test; 0 leaves it out.")
    ] = 512,
    output_tokens: Annotated[int, typer.Option("-n", min=0, help="Tokens of the decode test; 0 leaves it out.")] = 128,
    runs: Annotated[int, typer.Option("-r", min=1, help="Repetitions after the warm-up.")] = 5,
    against_generate: Annotated[
        bool, typer.Option("--against-generate", help="The decode loop against transformers' generate, in one process.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure prefill and decode speed: mean ± sd over repetitions, warm-up discarded."""
    chosen = variants or [settings().model]
    if against_generate:
        _against_generate(chosen, output_tokens, runs, as_json)
        return
    from playground import machine
    from playground.bench import bench as measure

    with _engine() as engine, err.status("Measuring memory bandwidth") as status:
        bandwidth = machine.probe(again=True).bandwidth
        table = Table(box=None, header_style="dim")
        for heading in ("variant", "engine", "test"):
            table.add_column(heading)
        for heading in ("tok/s", "± sd", "runs", "MBU", "weights"):
            table.add_column(heading, justify="right")

        def on_stage(variant: str, progress: Progress) -> None:
            status.update(_plain(f"{variant}: {progress_words(progress)}"))

        rows = []
        for row in measure(engine, chosen, prompt_tokens, output_tokens, runs, bandwidth, on_stage):
            rows.append(row.as_dict())
            share = "–" if row.mbu is None else f"{row.mbu:.0%}"
            numbers = (
                f"{row.tok_s_mean:.2f}",
                f"{row.tok_s_sd:.2f}",
                str(row.runs),
                share,
                f"{row.weight_bytes / 1e6:,.0f} MB",
            )
            table.add_row(row.variant, row.engine, row.test, *numbers)
    if as_json:
        _print_json(rows)
    else:
        out.print(table)


def _against_generate(variants: list[str], tokens: int, runs: int, as_json: bool) -> None:
    from playground.engines.process import thread_count

    environment = {**os.environ, "OMP_NUM_THREADS": thread_count()}
    rows = []
    for name in variants:
        spec = json.dumps(asdict(catalog.resolve(name)))
        command = [sys.executable, "-m", "playground.engines.transformers_host.against_generate"]
        command += ["--spec", spec, "--tokens", str(tokens), "--runs", str(runs)]
        with err.status(f"{_plain(name)}: the host's loop and generate in turn"):
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            err.print(_plain(done.stderr[-2000:]), style="dim", highlight=False)
            raise typer.Exit(1)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        out.print(
            f"{row['variant']}: host {row['host_tok_s']:.2f} tok/s, generate {row['generate_tok_s']:.2f} tok/s, "
            f"ratio {row['ratio']:.3f} ({row['ratio_min']:.3f} to {row['ratio_max']:.3f}, {row['runs']} pairs of "
            f"{row['tokens']} tokens, {row['threads']} threads), same ids: {row['same_ids']}",
            highlight=False,
        )


@app.command()
def setup() -> None:
    """Restore the bundled model, once; nothing to do when it is there."""
    from playground.catalog import bundled

    if bundled.already_restored():
        return
    with err.status("Restoring the bundled model, once") as status:
        bundled.restore(lambda progress: status.update(progress_words(progress)))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What this machine is, what can run on it, and for what cannot, why and what to install."""
    from playground import doctor as examination

    report = _with_status("Examining this machine", examination.report)
    if as_json:
        _print_json(report)
    else:
        examination.render(report, out)


def _with_status(words: str, work: Callable[[], T]) -> T:
    with err.status(words):
        return work()
