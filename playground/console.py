"""Shared by the commands: output, tables of numbers, names as arguments, and following a job.

A command that starts a job runs its queue, shows its progress, and cancels it at Ctrl+C.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console, ConsoleOptions
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from playground import formatting
from playground.core import Progress
from playground.errors import Cancelled, PlaygroundError

if TYPE_CHECKING:
    from playground.report.parts import Part
    from playground.report.parts import Table as ReportTable
    from playground.store.runs import Kept
    from playground.store.schema import Job


PIPE_WIDTH = 200  # columns of standard output in a file or a pipe
err = Console(stderr=True)
POLL_S = 1.0
MIN_PACE_S = 3.0  # seconds of a stage before its remaining time is shown
COUNTED_UNITS = ("answers", "choices", "texts", "tokens", "runs")  # units whose count is shown
Variants = Annotated[
    list[str],
    typer.Argument(help="smollm2, smollm2:nf4, a folder, smollm2@vllm … The first is the reference."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]
T = TypeVar("T")


def output() -> Console:
    """Return the console of standard output: as wide as the terminal, `PIPE_WIDTH` in a file or a pipe."""
    return Console(width=None if Console().is_terminal or "COLUMNS" in os.environ else PIPE_WIDTH)


class Figures:
    """A table whose numbers are never cut: columns that do not fit the window continue below, beside the names.

    Columns called `words` are aligned left, the first of them with the row's name; those called `numbers` right.
    """

    def __init__(self, words: Sequence[str], numbers: Sequence[str], *, title: str = "") -> None:
        self._headings = [*words, *numbers]
        self._words = len(words)
        self._title = title
        self._rows: list[Sequence[str]] = []

    def add(self, *cells: str) -> None:
        self._rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        if self._title:
            yield Text(self._title, style="italic")
        columns = [0]
        for column in range(1, len(self._headings)):
            if len(columns) > 1 and self._width([*columns, column], console, options) > options.max_width:
                yield self._part(columns)
                columns = [0]
            columns.append(column)
        yield self._part(columns)

    def _width(self, columns: Sequence[int], console: Console, options: ConsoleOptions) -> int:
        """Return the width that these columns need."""
        return Measurement.get(console, options.update(max_width=10_000), self._part(columns)).maximum

    def _part(self, columns: Sequence[int]) -> Table:
        part = Table(box=None, header_style="dim")
        for column in columns:
            heading, justify = self._headings[column], "left" if column < self._words else "right"
            part.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for row in self._rows:
            part.add_row(*(Text(row[column]) for column in columns))
        return part

    @classmethod
    def of(cls, table: ReportTable) -> Figures:
        """Return the figures of a report's table."""
        words = [heading.name for heading in table.headings if heading.words]
        figures = cls(words, [heading.name for heading in table.headings if not heading.words], title=table.title)
        for row in table.rows:
            figures.add(*(cell.text for cell in row))
        return figures


out = output()


def show(parts: Iterable[Part]) -> None:
    """Print a report: tables, sentences, and the captions of plots."""
    from playground.report.parts import Plot, Sentence
    from playground.report.parts import Table as ReportTable

    for part in parts:
        match part:
            case ReportTable():
                out.print(Figures.of(part))
            case Sentence(text):
                out.print(escape(text), highlight=False, soft_wrap=True)
            case Plot(title, caption=caption):
                out.print(escape(f"{title}: {caption}"), style="dim", highlight=False)


def follow(job: Job, worker: str = "", printed: Sequence[str] = ()) -> Job:
    """Run the queue of its device until this job is done. Ctrl+C cancels it.

    worker   module that runs it instead of the usual one
    printed  notes that are on the screen already

    Raises Cancelled, and the error of a job that failed.
    """
    from playground.jobs import ending
    from playground.jobs.queue import WORKER, Runner
    from playground.store import jobs

    runner = Runner(job.device, worker=worker or WORKER, last=job.id)
    runner.start()
    try:
        with interrupts() as signals, Watch(printed) as watch:
            while not (job := jobs.get(job.id)).over and not signals:
                watch.update(job)
                runner.wait(POLL_S)
            watch.update(job)
        if signals and not job.over:
            err.print("Stopping it …")
            ending.cancel(job.id)
            raise Cancelled("The job was stopped.")
    finally:
        runner.close()
    if job.state == "cancelled":
        raise Cancelled("The job was stopped.")
    if (error := job.failure) is not None:
        raise error
    return job


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Yield a list to which Ctrl+C appends its signal; a second Ctrl+C raises as usual. An ignored one stays ignored.

    A KeyboardInterrupt can be raised anywhere: in the store it would leave a lock taken, and in a callback of the
    garbage collector Python drops it.
    """
    signals: list[int] = []

    def on_interrupt(signal_number: int, _: object) -> None:
        signals.append(signal_number)
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    if before != signal.SIG_IGN:
        signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield signals
    finally:
        signal.signal(signal.SIGINT, before)


def print_notes(sentences: Sequence[str]) -> None:
    """Print sentences on standard error."""
    for sentence in sentences:
        err.print(escape(sentence), style="dim", highlight=False)


class Watch:
    """Show the progress of a job: a bar on a terminal, a line per new stage elsewhere; notes stay on the screen."""

    def __init__(self, printed: Sequence[str]) -> None:
        self._printed = set(printed)
        self._position = 0
        self._started = time.monotonic()
        self._stage = ""
        self._stage_start = 0.0, 0.0  # of this stage: time of its first event, and the amount done then
        self._layer = self._memory = ""
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[memory]}"),
            TextColumn("{task.fields[layer]}", style="dim"),
            console=err,
            transient=True,
        )
        self._task = self._bar.add_task("queued", total=None, layer="", memory="", count="", left="")

    def __enter__(self) -> Watch:
        if err.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if err.is_terminal:
            self._bar.stop()

    def update(self, job: Job) -> None:
        """Show a job of this machine: its place in the line, or its events since the last call."""
        from playground.jobs import progress
        from playground.store import folders, jobs

        if job.state == "queued":
            self.wait(jobs.ahead(job, jobs.all_jobs(("queued", "running"), job.device)))
        events, self._position = progress.read(folders.job(job.id), self._position)
        self.take(events)

    def wait(self, ahead: int) -> None:
        """Show how many jobs come first."""
        self._show("waiting for 1 other job" if ahead == 1 else f"waiting for {ahead} jobs" if ahead else "starting")

    def take(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Show events, as `jobs.progress` writes them. A note is printed once."""
        for event in events:
            match event["kind"]:
                case "stage":
                    self._show(event["stage"], event["done"], event["total"], event["unit"], event["at"])
                case "layer":
                    self._layer = escape(f"{event['name']} {event['error']:.3g}")
                case "memory":
                    self._memory = formatting.size(event["bytes"])
                case "note" if event["text"] not in self._printed:
                    self._printed.add(event["text"])
                    print_notes([event["text"]])
        if events:
            self._bar.update(self._task, layer=self._layer, memory=self._memory)

    def _show(self, stage: str, done: float = 0, total: float = 0, unit: str = "", at: float = 0) -> None:
        if stage != self._stage:
            self._stage_start = at, done
        if err.is_terminal:
            count = f"{done:,.0f} of {total:,.0f} {unit}" if total and unit in COUNTED_UNITS else ""
            time_left = _left(at - self._stage_start[0], done - self._stage_start[1], total - done)
            self._bar.update(
                self._task, description=escape(stage), completed=done, total=total or None, count=count, left=time_left
            )
        elif stage != self._stage:
            err.print(escape(f"[{time.monotonic() - self._started:6.1f} s] {stage}"), highlight=False)
        self._stage = stage


def _left(spent: float, done: float, remaining: float) -> str:
    """Return the remaining time at the pace of this stage; "" before `MIN_PACE_S`."""
    if done <= 0 or remaining <= 0 or spent < MIN_PACE_S:
        return ""
    return formatting.time_left(spent * remaining / done)


def print_error(error: PlaygroundError) -> None:
    """Print an error: message, hint, and the end of the engine's log if it died."""
    err.print(f"[bold red]Error:[/] {escape(error.message)}", highlight=False)
    if error.hint:
        err.print(escape(error.hint), highlight=False)
    if error.log_tail:
        err.print(escape(error.log_tail), style="dim", highlight=False)


def print_json(value: Any) -> None:
    """Write JSON to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


@contextmanager
def open_engines() -> Iterator[Any]:
    """Yield the engines of a command, and close them at its end."""
    from playground.engines.router import Engines

    engine = Engines()
    try:
        yield engine
    finally:
        engine.close()


def progress_words(progress: Progress) -> str:
    """Return "Downloading 12 of 40 MB", "Reading the prompt 256 of 1,024 tokens"."""
    if not progress.total:
        return progress.stage
    if progress.unit == "bytes":
        return f"{progress.stage} {progress.done / 1e6:,.0f} of {progress.total / 1e6:,.0f} MB"
    return f"{progress.stage} {progress.done:,.0f} of {progress.total:,.0f} {progress.unit}".rstrip()


def print_kept(kept: Kept) -> None:
    """Print the id of a saved run, or why saving failed, on standard error."""
    if kept.id:
        err.print(f"Saved as run {kept.id}", style="dim", highlight=False)
    if kept.error:
        err.print(escape(str(kept.error)), style="yellow", highlight=False)


def with_status(words: str, work: Callable[[], T]) -> T:
    """Return the result of `work`, with a status line on standard error meanwhile."""
    with err.status(words):
        return work()


def absolute(name: str) -> str:
    """Return the address of a variant, with an absolute path for a local model."""
    from playground.models import names

    return str(names.absolute(name))


def source(text: str) -> str:
    """Return the source of a text, with an absolute path for a file."""
    path = Path(text).expanduser()
    return str(path.absolute()) if path.is_file() else text
