"""What the commands share: where they print, tables of numbers, names as arguments, and following a job.

A job from the command line runs its queue, is drawn as it goes on, and is stopped at Ctrl+C.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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


WIDE = 200  # columns
err = Console(stderr=True)
LOOK_S = 1.0
LEFT_AFTER_S = 3.0  # a pace of less is none
COUNTED = ("answers", "choices", "texts", "tokens", "runs")  # units that a person counts in
Variants = Annotated[
    list[str],
    typer.Argument(help="smollm2, smollm2:nf4, a folder, smollm2@vllm … The first is the reference."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]
T = TypeVar("T")


def output() -> Console:
    """Standard output. What goes into a file or a pipe has room: nothing is cut where nobody has a window."""
    return Console(width=None if Console().is_terminal or "COLUMNS" in os.environ else WIDE)


class Figures:
    """A table whose numbers are never cut: columns for which a window has no room go on below, beside the names.

    Columns called `words` stand to the left, the first of them being a row's name; those called `numbers` to the right.
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
        shown = [0]
        for column in range(1, len(self._headings)):
            if len(shown) > 1 and self._width([*shown, column], console, options) > options.max_width:
                yield self._part(shown)
                shown = [0]
            shown.append(column)
        yield self._part(shown)

    def _width(self, columns: Sequence[int], console: Console, options: ConsoleOptions) -> int:
        """Of these columns where there is room for all."""
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
        """A table of a report."""
        words = [heading.name for heading in table.headings if heading.words]
        found = cls(words, [heading.name for heading in table.headings if not heading.words], title=table.title)
        for row in table.rows:
            found.add(*(cell.text for cell in row))
        return found


out = output()


def show(parts: Iterable[Part]) -> None:
    """Print a report: tables and sentences; of a plot what it shows."""
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


def follow(job: Job, worker: str = "", said: Sequence[str] = ()) -> Job:
    """Run the queue of its device until this job is done. Ctrl+C cancels it.

    worker  module that runs it instead of the usual one
    said    sentences that its notes need not repeat

    Raises Cancelled, and the error that it failed with.
    """
    from playground.jobs import ending
    from playground.jobs.queue import WORKER, Runner
    from playground.store import jobs

    runner = Runner(job.device, worker=worker or WORKER, last=job.id)
    runner.start()
    try:
        with interrupts() as asked, Watch(job, said) as watch:
            while not (job := jobs.get(job.id)).over and not asked:
                watch.update(job)
                runner.wait(LOOK_S)
            watch.update(job)
        if asked and not job.over:
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
    """A list that Ctrl+C puts its signal into; the second Ctrl+C raises as usual. Where it is ignored, it stays so.

    As an exception it comes wherever the program is: inside the store it leaves a lock taken, and in a callback of the
    garbage collector Python drops it.
    """
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    if before != signal.SIG_IGN:
        signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def say(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        err.print(escape(sentence), style="dim", highlight=False)


class Watch:
    """Draws how far a job is: a bar on a terminal, a line for each new stage elsewhere; notes stay on the screen."""

    def __init__(self, job: Job, said: Sequence[str]) -> None:
        self._folder_of = job.id
        self._said = set(said)
        self._position = 0
        self._began = time.monotonic()
        self._stage = ""
        self._first = 0.0, 0.0  # of this stage: when it began, and what was done by then
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
        """Show what has been told since the last time."""
        from playground.jobs import progress
        from playground.store import folders, jobs

        if job.state == "queued":
            ahead = jobs.ahead(job, jobs.all_jobs(("queued", "running"), job.device))
            self._show(
                "waiting for 1 other job" if ahead == 1 else f"waiting for {ahead} jobs" if ahead else "starting"
            )
        events, self._position = progress.read(folders.job(self._folder_of), self._position)
        for event in events:
            match event["kind"]:
                case "stage":
                    self._show(event["stage"], event["done"], event["total"], event["unit"], event["at"])
                case "layer":
                    self._layer = escape(f"{event['name']} {event['error']:.3g}")
                case "memory":
                    self._memory = formatting.size(event["bytes"])
                case "note" if event["text"] not in self._said:
                    say([event["text"]])
        if events:
            self._bar.update(self._task, layer=self._layer, memory=self._memory)

    def _show(self, stage: str, done: float = 0, total: float = 0, unit: str = "", at: float = 0) -> None:
        if stage != self._stage:
            self._first = at, done
        if err.is_terminal:
            count = f"{done:,.0f} of {total:,.0f} {unit}" if total and unit in COUNTED else ""
            left = _left(at - self._first[0], done - self._first[1], total - done)
            self._bar.update(
                self._task, description=escape(stage), completed=done, total=total or None, count=count, left=left
            )
        elif stage != self._stage:
            err.print(escape(f"[{time.monotonic() - self._began:6.1f} s] {stage}"), highlight=False)
        self._stage = stage


def _left(spent: float, done: float, remaining: float) -> str:
    """At the pace of this stage so far; "" before there is one."""
    if done <= 0 or remaining <= 0 or spent < LEFT_AFTER_S:
        return ""
    return formatting.time_left(spent * remaining / done)


def fail(error: PlaygroundError) -> None:
    """One sentence, what to do about it, and the engine's last words if it died."""
    err.print(f"[bold red]Error:[/] {plain(error.message)}", highlight=False)
    if error.hint:
        err.print(plain(error.hint), highlight=False)
    if error.log_tail:
        err.print(plain(error.log_tail), style="dim", highlight=False)


def plain(text: str) -> str:
    return text.replace("[", r"\[")


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


@contextmanager
def open_engines() -> Iterator[Any]:
    from playground.engines.router import Engines

    engine = Engines()
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


def tell_kept(kept: Kept) -> None:
    """On standard error: the run that something became, or why it is none. What was measured stands either way."""
    if kept.id:
        err.print(f"Saved as run {kept.id}", style="dim", highlight=False)
    if kept.error:
        err.print(plain(str(kept.error)), style="yellow", highlight=False)


def with_status(words: str, work: Callable[[], T]) -> T:
    with err.status(words):
        return work()


def absolute(name: str) -> str:
    """The address of a variant, a local model by its path from the root."""
    from playground.models import names

    return str(names.absolute(name))


def source(text: str) -> str:
    """Where text comes from: a file by its path from the root, all else as it is."""
    path = Path(text).expanduser()
    return str(path.absolute()) if path.is_file() else text
