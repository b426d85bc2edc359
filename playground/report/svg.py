"""Draw plots as SVG in a subprocess, and cache them by the hash of their content.

One picture serves both themes: its colours are the variables of the page's style sheet.
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
from playground.files import write_whole
from playground.report.parts import Plot
from playground.report.plots import theme
from playground.settings import settings

TIMEOUT_S = 60.0
MAX_FILES = 1000  # in the cache folder, about 10 kB each
log = logging.getLogger(__name__)


def draw(plots: Sequence[tuple[Plot, int]]) -> list[str]:
    """Return an SVG element for each plot and width in pixels; "" where drawing failed.

    One subprocess draws all plots that are not in the cache folder.
    """
    requests = [[{**plot.spec, "config": theme(width), "width": width}, plot.alt] for plot, width in plots]
    files = [_file(request) for request in requests]
    pictures = [_read(file) for file in files]
    missing = [number for number, svg in enumerate(pictures) if not svg]
    if missing:
        svgs = _render([requests[number] for number in missing])
        for number, svg in zip(missing, svgs, strict=True):
            pictures[number] = svg or ""
            if svg:
                _write(files[number], svg)
    return pictures


def _render(requests: Sequence[Any]) -> list[str | None]:
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
    """Return the cache file of a request: its name is the hash of the request and of the renderer."""
    whole = json.dumps([request, *_renderer()], sort_keys=True)
    return settings().cache / "plots" / f"{hashlib.sha256(whole.encode()).hexdigest()[:32]}.svg"


def _renderer() -> list[str]:
    """Return what a picture depends on beside its specification: the script's hash and vl-convert's version."""
    script_hash = hashlib.sha256(Path(__file__).with_name("vega.py").read_bytes()).hexdigest()
    try:
        return [script_hash, metadata.version("vl-convert-python")]
    except metadata.PackageNotFoundError:  # the subprocess reports it
        return [script_hash]


def _read(file: Path) -> str:
    try:
        svg = file.read_text(encoding="utf-8")
        file.touch()
    except OSError:
        return ""
    return svg


def _write(file: Path, svg: str) -> None:
    """Write a picture to the cache and remove the oldest files. An error is only logged."""
    try:
        write_whole(file, svg)
        old = sorted(file.parent.glob("*.svg"), key=lambda path: path.stat().st_mtime, reverse=True)[MAX_FILES:]
    except OSError as error:
        log.warning("A plot was not kept: %s", error)
        return
    for path in old:
        with contextlib.suppress(OSError):
            path.unlink()
