"""Export a run: one HTML file, JSON with a schema, CSV, a picture, a section of a model card.

Each format depends on the run alone and contains no path of this machine.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground import formatting
from playground.errors import InvalidRequest
from playground.report import card, picture
from playground.report import html as report_html
from playground.report.card import schema
from playground.report.parts import Report
from playground.report.paths import without_machine_paths
from playground.runs.kinds import KINDS, Feature
from playground.runs.kinds import title as title_of
from playground.runs.titles import words
from playground.store.schema import Run

__all__ = ["FORMS", "Form", "as_json", "csv", "form_of", "html", "model_card", "png", "report", "schema", "write"]


def _feature(kind: str) -> Feature:
    """Return the module of a kind of run. Raises InvalidRequest for a kind of a later version."""
    if kind not in KINDS:
        raise InvalidRequest(f"A run of the kind {kind[:40]!r} cannot be exported.", hint=f"Known: {', '.join(KINDS)}.")
    return KINDS[kind].feature


def report(run: Run, title: str = "", note: str = "") -> Report:
    """Return the report of a run, without paths of this machine. `title` and `note` are the owner's, if any."""
    parts, portable = _feature(run.kind).parts, without_machine_paths(run)
    return Report(
        title_of(run.kind), title or words(run), portable.model, portable.id, portable.created_at, parts(portable), note
    )


def html(run: Run, title: str = "", note: str = "") -> str:
    """Return the HTML file. `title` and `note` are the owner's, if any. Raises InvalidRequest."""
    return report_html.html(report(run, title, note), without_machine_paths(run))


def png(run: Run, title: str = "") -> bytes:
    """Return a PNG of the verdict. Raises InvalidRequest."""
    return picture.png(report(run, title))


def model_card(run: Run, title: str = "", note: str = "") -> str:
    """Return Markdown for a README.md, with YAML for its front matter. Raises InvalidRequest."""
    return card.model_card(report(run, title, note), without_machine_paths(run))


def as_json(run: Run) -> dict[str, Any]:
    """Return everything stored of a run, without paths of this machine, valid by `schema()`. Raises InvalidRequest."""
    _feature(run.kind)
    return card.as_json(without_machine_paths(run))


def csv(run: Run) -> str:
    """Return one tidy CSV table: column names with units, then a line per measurement. Raises InvalidRequest."""
    feature = _feature(run.kind)
    return formatting.as_csv(feature.COLUMNS, feature.rows(without_machine_paths(run)))


@dataclass(frozen=True, slots=True)
class Form:
    """An export format. `make` takes the run, and the title and note that the owner wrote."""

    extension: str
    media_type: str
    make: Callable[[Run, str, str], bytes]


def _json(run: Run, title: str, note: str) -> bytes:
    document = as_json(run) | ({"title": title} if title else {}) | ({"note": note} if note else {})
    return _utf8(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def _utf8(text: str) -> bytes:
    """Return UTF-8; surrogates, which a model may generate, become question marks."""
    return text.encode("utf-8", "replace")


FORMS = {
    form.extension: form
    for form in (
        Form("html", "text/html; charset=utf-8", lambda run, title, note: _utf8(html(run, title, note))),
        Form("json", "application/json", _json),
        Form("csv", "text/csv; charset=utf-8", lambda run, _title, _note: _utf8(csv(run))),
        Form("png", "image/png", lambda run, title, _note: png(run, title)),
        Form("md", "text/markdown; charset=utf-8", lambda run, title, note: _utf8(model_card(run, title, note))),
    )
}


def form_of(name: str) -> Form:
    """Return the format of a file name's extension. Raises InvalidRequest."""
    extension = name.rpartition(".")[2].lower()
    if extension not in FORMS:
        raise InvalidRequest(
            f"A run is not written as {Path(name).name[:80]!r}.",
            hint=f"The name of the file ends in {', '.join(f'.{extension}' for extension in FORMS)}.",
        )
    return FORMS[extension]


def write(run: Run, path: Path | str, title: str = "", note: str = "") -> Path:
    """Write a run to a file, whole or not at all; an older file is replaced. Raises InvalidRequest, OSError."""
    target = Path(path).expanduser()
    content = form_of(target.name).make(run, title, note)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as partial:
        partial.write(content)
    try:
        Path(partial.name).chmod(0o666 & ~_umask())
        Path(partial.name).replace(target)
    except OSError:
        Path(partial.name).unlink(missing_ok=True)
        raise
    return target


def _umask() -> int:
    """Return the umask of this process; POSIX can only read it by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
