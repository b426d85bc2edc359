"""`python -m playground bench`: print the measurement as a table, JSON or CSV, and its stages on standard error."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.text import Text

from playground import formatting, models, process
from playground.console import Figures
from playground.errors import InvalidRequest
from playground.settings import settings

if TYPE_CHECKING:
    from playground.speed.bench import Pace
    from playground.speed.spec import BenchRow, Stage

OnStage = Callable[["Stage"], None]


def bench(
    variants: Annotated[
        list[str] | None, typer.Argument(help="Variants, each with an engine if you like: smollm2:nf4@transformers.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Engine of the variants that name none.")] = "",
    prompt_tokens: Annotated[
        int, typer.Option("-p", min=0, help="Prompt tokens of the prefill test; 0 leaves it out.")
    ] = 512,
    output_tokens: Annotated[int, typer.Option("-n", min=0, help="Tokens of the decode test; 0 leaves it out.")] = 128,
    depths: Annotated[str, typer.Option("-d", help="Tokens in the context before decoding begins: 0,512.")] = "0",
    runs: Annotated[int, typer.Option("-r", min=1, help="Repetitions after the warm-up.")] = 5,
    concurrency: Annotated[str, typer.Option(help="Requests at once, one level after the other: 1,2,4,8.")] = "",
    against_generate: Annotated[
        bool, typer.Option("--against-generate", help="The decode loop against transformers' generate, in one process.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV on standard output, and nothing else there.")] = False,
    save: Annotated[bool, typer.Option(help="Keep it as a run, with a link (`runs show`).")] = True,
    progress: Annotated[
        bool, typer.Option(help="Where standard error is no terminal: a line a stage, so that a log shows life.")
    ] = True,
) -> None:
    """Measure prefill and decode speed: mean ± sd over repetitions, warm-up discarded."""
    chosen = variants or [settings().model]
    if against_generate:
        _against_generate(chosen, output_tokens, runs, as_json)
        return
    from playground import console, machine
    from playground.speed import bench as measurement
    from playground.speed import report
    from playground.speed.bench import Pace
    from playground.speed.spec import Plan, as_csv
    from playground.store import runs as store_runs

    if as_json and csv:
        raise InvalidRequest("--json and --csv are two forms of one output.", hint="Give one of them.")
    plan = Plan(
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        depths=_whole_numbers("-d", depths),
        runs=runs,
        concurrency=_whole_numbers("--concurrency", concurrency),
    )
    addresses = [_with_engine(name, engine) for name in chosen]
    with console.open_engines() as engines, _stages(Pace(addresses, plan), progress) as (say, on_stage):
        say("Measuring memory bandwidth")
        probe = machine.probe(again=True)
        rows = list(measurement.bench(engines, addresses, plan, probe, on_stage))
    kept = store_runs.keep(lambda: report.bench(rows, addresses, plan)) if save else store_runs.Kept()
    if as_json:
        console.print_json([row.as_dict() for row in rows])
    elif csv:
        sys.stdout.write(as_csv(rows))
        sys.stdout.flush()
    else:
        for table in tables(rows):
            console.out.print(table)
    console.print_kept(kept)
    failed = [row for row in rows if row.error]
    for row in failed:
        console.err.print(Text.assemble((f"{row.address} ", "bold"), f"{row.test}: {row.error} {row.hint}".rstrip()))
    if failed:
        raise typer.Exit(1)


def _whole_numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InvalidRequest(
            f"{option} is {text!r}.", hint="It takes whole numbers with commas between: 0,512."
        ) from None


def _with_engine(name: str, engine: str) -> str:
    """Return the address of `name` on `engine`, unless it names one itself. Raises InvalidRequest."""
    from playground.engines.base import NAMES
    from playground.methods import did_you_mean
    from playground.models.address import Address

    if engine and engine not in NAMES:
        raise InvalidRequest(f"There is no engine {engine!r}.", hint=did_you_mean(engine, NAMES))
    address = Address.parse(name)
    return str(address.on(address.engine or engine))


@contextmanager
def _stages(pace: Pace, lines: bool) -> Iterator[tuple[Callable[[str], None], OnStage]]:
    """Yield functions that print a text and a stage: one status line on a terminal, else a line per new stage."""
    from playground import console

    started = time.monotonic()
    if console.err.is_terminal:
        with console.err.status("") as status:

            def show(text: str) -> None:
                status.update(escape(text))

            def on_stage(stage: Stage) -> None:
                now = time.monotonic()
                pace.see(stage, now)
                show(f"{stage.address}: {console.progress_words(stage.progress)}{_left(pace.left_s(now))}")

            yield show, on_stage
        return
    last = ""

    def print_line(text: str) -> None:
        nonlocal last
        if lines and text != last:
            sys.stderr.write(f"[{time.monotonic() - started:6.1f} s] {text}\n")
            sys.stderr.flush()
        last = text

    def on_line(stage: Stage) -> None:
        now = time.monotonic()
        before = pace.done
        pace.see(stage, now)
        words = f"{stage.address}: {stage.progress.stage}"
        print_line(words + (_left(pace.left_s(now)) if pace.done != before else ""))

    yield print_line, on_line


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f" · {formatting.time_left(seconds)}"


def tables(rows: list[BenchRow]) -> list[Figures]:
    """Return a table of the single streams and one of the concurrency sweep, without failed rows."""
    figures = []
    single = [row for row in rows if row.concurrency is None and not row.error]
    sweep = [row for row in rows if row.concurrency is not None and not row.error]
    if single:
        table = Figures(("variant", "engine", "test"), ("tok/s", "± sd", "runs", "MBU", "weights", "clock"))
        for row in single:
            numbers = (_number(row.tok_s_mean), _number(row.tok_s_sd), str(row.runs))
            share = "–" if row.mbu is None else f"{row.mbu:.0%}"
            table.add(
                row.variant, row.engine, row.test, *numbers, share, formatting.size(row.weight_bytes), row.clock or "–"
            )
        figures.append(table)
    if sweep:
        numeric = ("at once", "requests", "output tok/s", "all tok/s", "TTFT p50, p99 ms", "TPOT p50, p99 ms")
        table = Figures(("variant", "engine"), numeric)
        for row in sweep:
            level = (str(row.concurrency), str(row.runs), _number(row.tok_s_mean), _number(row.total_tok_s))
            times = (_range(row.ttft_p50_s, row.ttft_p99_s), _range(row.tpot_p50_s, row.tpot_p99_s))
            table.add(row.variant, row.engine, *level, *times)
        figures.append(table)
    return figures


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def _range(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{_number(low * 1e3)}, {_number(high * 1e3)}"


def _against_generate(variants: list[str], tokens: int, runs: int, as_json: bool) -> None:
    from playground import console
    from playground.engines.servers import thread_count

    environment = process.environment(OMP_NUM_THREADS=thread_count())
    rows = []
    for name in variants:
        spec = json.dumps(asdict(models.resolve(name)))
        arguments = ("--spec", spec, "--tokens", str(tokens), "--runs", str(runs))
        command = process.command("playground.engines.host.bench", *arguments)
        with console.err.status(f"{escape(name)}: the host's loop and generate in turn"):
            completed = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if completed.returncode:
            console.err.print(escape(completed.stderr[-2000:]), style="dim", highlight=False)
            raise typer.Exit(1)
        rows.append(json.loads(completed.stdout.splitlines()[-1]))
    if as_json:
        console.print_json(rows)
        return
    for row in rows:
        console.out.print(
            f"{row['variant']}: host {row['host_tok_s']:.2f} tok/s, generate {row['generate_tok_s']:.2f} tok/s, "
            f"ratio {row['ratio']:.3f} ({row['ratio_min']:.3f} to {row['ratio_max']:.3f}, {row['runs']} pairs of "
            f"{row['tokens']} tokens, {row['threads']} threads), same ids: {row['same_ids']}",
            highlight=False,
        )
