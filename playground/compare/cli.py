"""Panes side by side in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from playground.compare.run import Event, PaneResult
from playground.compare.verdict import verdict
from playground.core import ForcedSummary, Progress

HEIGHT = 18


class SideBySide:
    """Draws one column per variant while events arrive, and a verdict line at the end.

    On something that is no terminal nothing moves: the finished texts are printed once, and beside JSON (`console`
    writing to standard error) not even those.
    """

    def __init__(self, variants: Sequence[str], console: Console) -> None:
        self._console = console
        self._panes = [PaneResult(name) for name in variants]
        self._measuring = ""
        self._live = Live(console=console, refresh_per_second=12, get_renderable=self._draw, transient=False)

    def __enter__(self) -> SideBySide:
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()
        elif not self._console.stderr and error is None:
            for pane in self._panes:
                self._console.print(_title(pane), style="bold", highlight=False)
                self._console.print(_body(pane), highlight=False)
                if numbers := _numbers(pane):
                    self._console.print(numbers, style="dim", highlight=False)
        if error is None and not (self._console.stderr and not self._console.is_terminal):
            for outcome in verdict(self._panes):
                words = (outcome.headline, outcome.detail, outcome.explanation, f"({', '.join(outcome.caveats)})")
                self._console.print(Text(" ".join(word for word in words if word)), highlight=False)

    def on_event(self, event: Event) -> None:
        self._panes[event.pane].add(event.item)

    def on_measuring(self, progress: Progress) -> None:
        """What goes on once the texts are there."""
        share = f" {progress.done / progress.total:.0%}" if progress.total else ""
        self._measuring = f"{progress.stage}{share} …"

    def _draw(self) -> Layout:
        layout = Layout(size=HEIGHT)
        columns = [
            Layout(Panel(_body(pane), title=Text(_title(pane)), subtitle=Text(_numbers(pane)), height=HEIGHT))
            for pane in self._panes
        ]
        layout.split_row(*columns)
        root = Layout()
        root.split_column(layout, Layout(Text(self._measuring, style="dim"), size=1, visible=bool(self._measuring)))
        return root


def _title(pane: PaneResult) -> str:
    return pane.variant_id


def _body(pane: PaneResult) -> Text:
    if pane.error:
        return Text(str(pane.error), style="red")
    if pane.tokens:
        return Text(pane.text)
    if pane.progress:
        share = f" {pane.progress.done / pane.progress.total:.0%}" if pane.progress.total else ""
        return Text(f"{pane.progress.stage}{share} …", style="dim")
    return Text("…", style="dim")


def _numbers(pane: PaneResult) -> str:
    times = pane.timing()
    parts = []
    if times.decode_tok_s is not None:
        parts.append(f"{times.decode_tok_s:.1f} tok/s")
    if times.ttft_s is not None:
        parts.append(f"TTFT {times.ttft_s * 1000:.0f} ms")
    if pane.finish:
        parts.append(pane.finish.reason)
        parts += ["contended"] if pane.finish.contended else []
    return " · ".join(parts)


def divergence_words(row: Mapping[str, Any]) -> str:
    """One line for `divergence` of a pane."""
    words = ""
    if row["tokens"]:
        found = ForcedSummary(row["kld_mean"], row["top1_agreement"], row["tokens"])
        words = f"{found} over {found.tokens} tokens of the reference's answer (this prompt only)"
    return " ".join(part for part in (words, row.get("reason", "")) if part)
