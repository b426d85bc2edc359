"""Which form of a run a file's name asks for, and that file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playground.errors import InvalidRequest
from playground.export.card import model_card
from playground.export.document import as_json
from playground.export.page import html
from playground.export.picture import png
from playground.export.sheet import csv
from playground.store.schema import Run


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
