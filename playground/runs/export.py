"""Export a run: one HTML file, JSON with a schema, CSV, a picture, a section of a model card.

Each is a function of the run alone, and none holds a path of this machine.
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
from playground.store.schema import Run

__all__ = ["FORMS", "Form", "as_json", "csv", "form_of", "html", "model_card", "png", "report", "schema", "write"]


def _feature(kind: str) -> Feature:
    """Raises InvalidRequest for a kind of a later version."""
    if kind not in KINDS:
        raise InvalidRequest(f"A run of the kind {kind[:40]!r} cannot be exported.", hint=f"Known: {', '.join(KINDS)}.")
    return KINDS[kind].feature


def report(run: Run, title: str = "", note: str = "") -> Report:
    """What a run says, without paths of this machine. `title` and `note` are the owner's words, where there are any."""
    parts, shown = _feature(run.kind).parts, without_machine_paths(run)
    title = title or shown.title
    return Report(title_of(run.kind), title, shown.model, shown.id, shown.created_at, parts(shown), note)


def html(run: Run, title: str = "", note: str = "") -> str:
    """The file. `title` and `note` are the owner's words, where there are any. Raises InvalidRequest."""
    return report_html.html(report(run, title, note), without_machine_paths(run))


def png(run: Run, title: str = "") -> bytes:
    """The picture. Raises InvalidRequest."""
    return picture.png(report(run, title))


def model_card(run: Run, title: str = "", note: str = "") -> str:
    """Markdown that can be pasted into a README.md; the YAML belongs into its front matter. Raises InvalidRequest."""
    return card.model_card(report(run, title, note), without_machine_paths(run))


def as_json(run: Run) -> dict[str, Any]:
    """Everything that is stored of it, without paths of this machine, as `schema()` says. Raises InvalidRequest."""
    _feature(run.kind)
    return card.as_json(without_machine_paths(run))


def csv(run: Run) -> str:
    """One tidy table: a line for each thing that was measured, a column for each number, units in the names, after a
    line of column names. Raises InvalidRequest.
    """
    feature = _feature(run.kind)
    return formatting.as_csv(feature.COLUMNS, feature.rows(without_machine_paths(run)))


@dataclass(frozen=True, slots=True)
class Form:
    """One form. `make` takes the run, its title and its note as the owner wrote them."""

    ending: str
    media_type: str
    make: Callable[[Run, str, str], bytes]


def _json(run: Run, title: str, note: str) -> bytes:
    found = as_json(run) | ({"title": title} if title else {}) | ({"note": note} if note else {})
    return _utf8(json.dumps(found, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def _utf8(text: str) -> bytes:
    """Half characters, which a model may write, become question marks."""
    return text.encode("utf-8", "replace")


FORMS = {
    form.ending: form
    for form in (
        Form("html", "text/html; charset=utf-8", lambda run, title, note: _utf8(html(run, title, note))),
        Form("json", "application/json", _json),
        Form("csv", "text/csv; charset=utf-8", lambda run, _title, _note: _utf8(csv(run))),
        Form("png", "image/png", lambda run, title, _note: png(run, title)),
        Form("md", "text/markdown; charset=utf-8", lambda run, title, note: _utf8(model_card(run, title, note))),
    )
}


def form_of(name: str) -> Form:
    """By the ending of a file's name. Raises InvalidRequest."""
    ending = name.rpartition(".")[2].lower()
    if ending not in FORMS:
        raise InvalidRequest(
            f"A run is not written as {Path(name).name[:80]!r}.",
            hint=f"The name of the file ends in {', '.join(f'.{one}' for one in FORMS)}.",
        )
    return FORMS[ending]


def write(run: Run, path: Path | str, title: str = "", note: str = "") -> Path:
    """The file, complete or not at all. What was there before is replaced. Raises InvalidRequest, OSError."""
    target = Path(path).expanduser()
    body = form_of(target.name).make(run, title, note)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as aside:
        aside.write(body)
    try:
        Path(aside.name).chmod(0o666 & ~_umask())
        Path(aside.name).replace(target)
    except OSError:
        Path(aside.name).unlink(missing_ok=True)
        raise
    return target


def _umask() -> int:
    """What new files of this process are not readable by; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
