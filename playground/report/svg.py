"""Plots as SVG: drawn in a child process, kept by content in the cache folder.

A picture is light and dark: its colours are the variables of the page's style sheet.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from playground import process
from playground.errors import EngineUnavailable
from playground.report.parts import Plot
from playground.report.plots import theme
from playground.settings import settings

TIMEOUT_S = 60.0
KEPT = 1000  # pictures in the cache folder, about 10 kB each
log = logging.getLogger(__name__)


def drawn(plots: Sequence[tuple[Plot, int]]) -> list[str]:
    """An SVG element for each plot and width in pixels; "" for one that could not be drawn.

    Those that are not in the cache folder are drawn together, by one child process.
    """
    requests = [[{**plot.spec, "config": theme(width), "width": width}, plot.alt] for plot, width in plots]
    files = [_file(request) for request in requests]
    pictures = [_read(file) for file in files]
    missing = [number for number, svg in enumerate(pictures) if not svg]
    if missing:
        made = _made([requests[number] for number in missing])
        for number, svg in zip(missing, made, strict=True):
            pictures[number] = svg or ""
            if svg:
                _keep(files[number], svg)
    return pictures


def _made(requests: Sequence[Any]) -> list[str | None]:
    try:
        return process.ask(
            "playground.report.vega",
            lambda pictures: [str(svg) if svg else None for svg in pictures],
            TIMEOUT_S,
            "Plots were not drawn",
            "Plots were not drawn",
            json.dumps(requests),
        )
    except EngineUnavailable as error:
        log.warning("%s %s", error.message, error.log_tail)
        return [None] * len(requests)


def _file(request: Any) -> Path:
    """Named by the content of the request and by its renderer."""
    whole = json.dumps([request, *_renderer()], sort_keys=True)
    return settings().cache / "plots" / f"{hashlib.sha256(whole.encode()).hexdigest()[:32]}.svg"


def _renderer() -> list[str]:
    """What a picture depends on beside its specification."""
    own = hashlib.sha256(Path(__file__).with_name("vega.py").read_bytes()).hexdigest()
    try:
        return [own, metadata.version("vl-convert-python")]
    except metadata.PackageNotFoundError:  # its process says so
        return [own]


def _read(file: Path) -> str:
    try:
        svg = file.read_text(encoding="utf-8")
        file.touch()
    except OSError:
        return ""
    return svg


def _keep(file: Path, svg: str) -> None:
    """Complete or not at all. A folder that cannot be written costs the next export its time, nothing else."""
    aside = file.with_suffix(".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(svg, encoding="utf-8")
        aside.replace(file)
        old = sorted(file.parent.glob("*.svg"), key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]
    except OSError as error:
        log.warning("A plot was not kept: %s", error)
        return
    for path in old:
        with contextlib.suppress(OSError):
            path.unlink()
