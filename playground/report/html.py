"""Render a run as one HTML file that loads nothing and is readable without its script and on paper."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from playground import __version__, formatting
from playground.report import svg
from playground.report.parts import (
    Caveats,
    Conditions,
    Exchange,
    Interval,
    Note,
    Numbers,
    Part,
    Plot,
    Report,
    Sentence,
    Table,
)
from playground.report.plots import figures
from playground.store.schema import Run

HERE = Path(__file__).parent
WIDE, HALF, PHONE = 1040, 492, 320  # width of a plot, pixels


SECTIONS: dict[type[Part], str] = {  # type of a part → section of the template
    Sentence: "verdict", Caveats: "verdict", Numbers: "verdict", Note: "note", Exchange: "exchange", Plot: "plots",
    Table: "table", Conditions: "conditions",
}  # fmt: skip


def html(report: Report, run: Run) -> str:
    """Return the HTML file. `run` must be without paths of this machine."""
    script, style = _static("export.js"), _static("export.css")
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{_sha256(script)}'"
    )
    return _environment().get_template("run.html").render(
        report=report,
        sections=_sections(report),
        pictures=_pictures(report.all(Plot)),
        policy=policy,
        script=script,
        style=style,
        place=formatting.place(run.device),
        packages=formatting.packages(run.versions),
        variants=run.variants,
        when=formatting.when(run.created_at),
        version=__version__,
    )  # fmt: skip


def _sections(report: Report) -> list[tuple[str, list[Part]]]:
    """Return sections as (name, parts): consecutive parts of the same section together."""
    visible = [part for part in report.parts if type(part) in SECTIONS]
    return [(name, list(parts)) for name, parts in groupby(visible, lambda part: SECTIONS[type(part)])]


def _pictures(plots: Sequence[Plot]) -> dict[int, tuple[str, str]]:
    """Return (desk, phone) SVG of each plot by its `id`; the style sheet shows one. "" where drawing failed."""
    pictures = svg.draw([(plot, width) for plot in plots for width in (WIDE if plot.wide else HALF, PHONE)])
    return dict(zip(map(id, plots), zip(pictures[::2], pictures[1::2], strict=True), strict=True))


def _of(parts: Sequence[Part], name: str) -> list[Part]:
    return [part for part in parts if type(part).__name__ == name]


def at(interval: Interval, value: float) -> str:
    """Return the position of a value on the scale of an interval, in percent of its width."""
    share = 0.5 + 0.48 * max(-1.0, min(1.0, value / interval.reach if interval.reach else 0.0))
    return f"{100 * share:.1f}%"


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"at": at, "figures": figures, "of": _of, "id": id, "whole": formatting.whole}
    return environment


@cache
def _static(name: str) -> str:
    return (HERE / "static" / name).read_text(encoding="utf-8")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
