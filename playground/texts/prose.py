"""Text to measure divergence on: the bundled prose, a file, or a data set on the hub.

It must differ from calibration text: on the text that it was calibrated on, a method looks better than it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from playground import texts
from playground.errors import EvaluationError, InvalidCalibration
from playground.texts import Sample, files, hub
from playground.texts.calibration import bundled as bundled_calibration
from playground.texts.rows import MIN_CHARACTERS

BUNDLED = "bundled"
PROSE = Path(__file__).parent / "data/prose"
BLOCK = 2048  # characters of a document cut from plain text: about one window, for many clusters in standard errors
MAX_CHARACTERS = 4 * 2**20
SOURCES = "bundled, a .jsonl or .txt file, or a hub data set as owner/name[:config][:split]"


@dataclass(frozen=True, slots=True)
class Text:
    """Documents in a fixed order.

    name   "bundled prose", the file's name, or the data set as requested
    hash   SHA-256, hex, of all documents
    notes  sentences on what was left out, and on overlap with calibration text
    """

    name: str
    hash: str
    documents: list[str]
    notes: tuple[str, ...] = ()


def text(source: str) -> Text:
    """Read `source`: "bundled", the path of a .jsonl, .json or .txt file, or `owner/name[:config][:split]` on the hub.

    Raises EvaluationError, HubUnreachable.
    """
    name, rows = _rows(source)
    try:
        documents, notes = _bounded(rows, name)
    except InvalidCalibration as error:  # raised by the readers, which calibration shares
        raise EvaluationError(error.message, hint=error.hint) from error
    shared = shared_documents(documents, (sample.plain for sample in bundled_calibration()))
    if shared:
        notes.append(
            f"{shared:,} of the {len(documents):,} documents of {name} share text with the bundled calibration samples."
        )
    return Text(name, _hash(documents), documents, tuple(notes))


def on_hub(source: str) -> bool:
    """Whether reading the source needs the hub."""
    return source != BUNDLED and Path(source).suffix.lower() not in files.SUFFIXES and hub.parse(source) is not None


def bundled() -> list[Sample]:
    """The bundled prose, one document of each domain in turn, so that any part of it is as mixed as the whole."""
    domains = [files.read(path, 0, lambda _: None) for path in sorted(PROSE.glob("*.jsonl"))]
    return [sample for sample in chain.from_iterable(zip_longest(*domains)) if sample is not None]


def shared_documents(documents: Sequence[str], calibration_text: Iterable[str]) -> int:
    """The number of documents that share a run of 13 words with the calibration text."""
    return len({match.evaluation for match in texts.overlap(calibration_text, documents)})


def _rows(source: str) -> tuple[str, Iterator[Sample | None]]:
    """The name of a source, and its samples; None for a row that cannot be used. Raises EvaluationError."""
    if source == BUNDLED:
        return "bundled prose", iter(bundled())
    path = Path(source).expanduser() if source.isprintable() else Path()
    if path.suffix.lower() in files.SUFFIXES:
        return path.name, files.read(path, BLOCK, lambda _: None)
    if path.is_file():
        raise EvaluationError(
            f"{path.name} is no text file by its name.", hint=f"It ends in {', '.join(files.SUFFIXES)}."
        )
    if (dataset := hub.parse(source)) is None:
        raise EvaluationError(f"{source[:200]!r} is no text to measure on.", hint=f"Use {SOURCES}.")
    return source, hub.read(dataset)


def _bounded(rows: Iterable[Sample | None], name: str) -> tuple[list[str], list[str]]:
    """Documents of at most MAX_CHARACTERS in total, and notes on what was left out. Raises EvaluationError."""
    documents: list[str] = []
    notes: list[str] = []
    remaining, skipped = MAX_CHARACTERS, 0
    for row in rows:
        if row is None:
            skipped += 1
            continue
        if len(row.plain) > remaining:
            notes.append(f"Only the first {MAX_CHARACTERS / 1e6:.1f} million characters of {name} are used.")
            break
        documents.append(row.plain)
        remaining -= len(row.plain)
    if not documents:
        problem = f"has no document of at least {MIN_CHARACTERS} characters" if skipped else "is empty"
        raise EvaluationError(f"{name} {problem}.", hint=f"Use other text: {SOURCES}.")
    if skipped:
        notes.append(f"{skipped:,} documents of {name} are too short to be used.")
    return documents, notes


def _hash(documents: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(documents, ensure_ascii=False).encode()).hexdigest()
