"""`python -m playground jobs`: what is queued, running and over, and the end of one that should stop."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from playground.console import AsJson, err, out, print_json, progress_words

app = typer.Typer(help="List, show and cancel jobs.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="Id of a job, as `jobs list` shows it.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all jobs, the newest first."""
    from playground.store import database, jobs

    found = jobs.all_jobs()[::-1] if database.exists() else []
    if as_json:
        print_json([job.as_row() for job in found])
        return
    if not found:
        out.print("No jobs. Make one: python -m playground quantize MODEL --method rtn --scheme W4A16")
        return
    table = Table(box=None, header_style="dim")
    for heading in ("id", "state", "device", "what"):
        table.add_column(heading)
    table.add_column("seconds", justify="right")
    for job in found:
        end = job.ended_at or time.time()
        seconds = "–" if job.started_at is None else f"{end - job.started_at:,.0f}"
        table.add_row(job.id, job.state, job.device, escape(job.title), seconds)
    out.print(table)


@app.command()
def show(job_id: Id, as_json: AsJson = False) -> None:
    """Show one job: how far it is, what it made, or why it failed."""
    from playground.jobs import ending, progress
    from playground.store import folders, jobs

    job = jobs.get(job_id)
    if as_json:
        print_json(job.as_row() | {"folder": str(folders.job(job.id))})
        return
    out.print(f"[bold]{escape(job.title)}[/] · {job.device} · {job.state}", highlight=False)
    stages = [event for event in progress.read(folders.job(job.id))[0] if event["kind"] == "stage"]
    if job.state == "running" and stages:
        out.print(escape(stage_words(stages[-1])), highlight=False)
    if job.result is not None:
        for name, value in job.result.items():
            if not isinstance(value, list | dict):
                out.print(escape(f"  {name}: {value}"), highlight=False, soft_wrap=True)
    if (error := job.failure) is not None:
        out.print(escape(str(error)), style="red", highlight=False)
        out.print(escape(error.log_tail or ending.log_tail(job.id)), style="dim", highlight=False)


@app.command()
def cancel(job_id: Id) -> None:
    """Stop a job: within 10 s nothing of it is left. One that is over stays as it is."""
    from playground.jobs import ending
    from playground.store import jobs

    before = jobs.get(job_id)
    if not before.over:
        with err.status("Stopping it"):
            ending.cancel(job_id)
    out.print(f"{job_id} is {jobs.get(job_id).state}.", highlight=False)


@app.command()
def log(job_id: Id, lines: Annotated[int, typer.Option("-n", min=1, help="How many of its last lines.")] = 100) -> None:
    """Print what a job's worker printed."""
    from playground.jobs import ending
    from playground.store import jobs

    jobs.get(job_id)
    sys.stdout.write(ending.log_tail(job_id, lines) + "\n")


def stage_words(event: dict[str, Any]) -> str:
    """ "quantizing with GPTQ 3 of 30 layers" """
    from playground.core import Progress

    return progress_words(Progress(event["stage"], event["done"], event["total"], event["unit"]))
