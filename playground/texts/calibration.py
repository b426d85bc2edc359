"""The calibration source (bundled, a file, a hub data set, or pasted text), and drawing samples from it.

Samples are drawn uniformly without replacement in one pass (every row gets a random key, the smallest keys are kept),
so memory does not grow with the source. The same seed gives the same samples in the same order, and a larger number of
samples begins with the smaller one's.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from playground.core import Progress
from playground.errors import Cancelled, InvalidCalibration, InvalidRequest
from playground.spec import Spec, Whole
from playground.texts import files, hub
from playground.texts.rows import MIN_CHARACTERS, Sample, sample

BUNDLED = "bundled"
PASTED = "pasted"
DATA = Path(__file__).parent / "data"
MAX_SAMPLES = 2048
MIN_LENGTH, MAX_LENGTH = 16, 32_768
MAX_PASTED = 4 * 2**20
REPORT_EVERY = 2**20
CHARACTERS_PER_TOKEN = 4  # of English text, roughly; sets the length of samples cut from plain text
SOURCES = "bundled, a .jsonl, .json or .txt file, or a hub data set as owner/name[:config][:split]"
READING = "Reading the calibration text"

OnProgress = Callable[[Progress], None]
IsCancelled = Callable[[], bool]


class Calibration(Spec):
    """The calibration of a recipe. Raises InvalidRequest.

    source      "bundled", "pasted", a path, or `owner/name[:config][:split]` on the hub
    text        the pasted text, else ""
    samples     number of sequences
    max_length  limit of a sequence, tokens
    seed        selects the samples and their order
    """

    source: str = Field(default=BUNDLED, title="Calibration source")
    text: str = Field(default="", title="Calibration text")
    samples: Whole = Field(default=32, ge=1, le=MAX_SAMPLES, title="Calibration samples")
    max_length: Whole = Field(default=256, ge=MIN_LENGTH, le=MAX_LENGTH, title="Calibration max length")
    seed: Whole = Field(default=0, ge=0, le=2**32 - 1, title="Calibration seed")

    @model_validator(mode="after")
    def _source_and_text(self) -> Self:
        if self.source == PASTED and not self.text.strip():
            raise InvalidRequest(
                "The pasted calibration text is empty.", hint="Paste some, or use the bundled samples."
            )
        if self.source != PASTED and self.text:
            raise InvalidRequest("Calibration text was pasted, but another source is chosen.", hint="Use one of them.")
        if len(self.text) > MAX_PASTED:
            raise InvalidRequest(
                f"The pasted calibration text has {len(self.text):,} characters; {MAX_PASTED:,} are allowed.",
                hint="Upload it as a .txt file.",
            )
        if self.source not in (BUNDLED, PASTED) and self.path is None and hub.parse(self.source) is None:
            raise InvalidRequest(f"{self.source[:200]!r} is no calibration source.", hint=f"Use {SOURCES}.")
        return self

    @property
    def path(self) -> Path | None:
        """The source's file; None if it is no file."""
        if self.source in (BUNDLED, PASTED) or not self.source.isprintable():
            return None
        path = Path(self.source)
        return path if path.suffix.lower() in files.SUFFIXES else None

    @property
    def label(self) -> str:
        """The source's name in messages."""
        if self.source == BUNDLED:
            return "The bundled text"
        if self.source == PASTED:
            return "The pasted text"
        return self.source if self.path is None else self.path.name

    @property
    def is_prose(self) -> bool:
        """Whether samples are cut from plain text, so that their number depends on `max_length`."""
        return self.source == PASTED or (self.path is not None and self.path.suffix.lower() == ".txt")


@dataclass(frozen=True, slots=True)
class Draw:
    """The drawn samples.

    seen     usable rows that were read
    skipped  rows that cannot be used
    note     a sentence if a limit ended the reading, else ""
    """

    samples: tuple[Sample, ...]
    seen: int
    skipped: int
    note: str = ""


def draw(
    calibration: Calibration,
    on_progress: OnProgress = lambda _: None,
    is_cancelled: IsCancelled = lambda: False,
) -> Draw:
    """Draw exactly `calibration.samples` samples.

    Raises InvalidCalibration (also if the source has fewer), HubUnreachable, Cancelled.
    """
    rows = _polled(_rows(calibration, on_progress), is_cancelled)
    chosen, seen, skipped = choose(rows, calibration.samples, calibration.seed)
    if len(chosen) < calibration.samples:
        raise _too_few(calibration, seen, skipped)
    return Draw(tuple(chosen), seen, skipped, _limit_met(calibration, seen + skipped))


def samples(
    calibration: Calibration,
    on_progress: OnProgress = lambda _: None,
    is_cancelled: IsCancelled = lambda: False,
) -> list[Sample]:
    """The samples of `draw` alone."""
    return list(draw(calibration, on_progress, is_cancelled).samples)


def bundled() -> Iterator[Sample]:
    """The bundled samples, file by file."""
    for path in sorted(DATA.glob("*.jsonl")):
        yield from (row for row in files.read(path, 0, lambda _: None) if row is not None)


def choose(rows: Iterable[Sample | None], count: int, seed: int) -> tuple[list[Sample], int, int]:
    """At most `count` random rows in random order, the number of usable rows, and the number of None."""
    generator = random.Random(seed)  # noqa: S311 - for a draw that can be repeated
    sample_heap: list[tuple[float, int, Sample]] = []
    seen = skipped = 0
    for row in rows:
        if row is None:
            skipped += 1
            continue
        seen += 1
        entry = (-generator.random(), -seen, row)
        if len(sample_heap) < count:
            heapq.heappush(sample_heap, entry)
        else:
            heapq.heappushpop(sample_heap, entry)
    return [row for _, _, row in sorted(sample_heap, key=lambda entry: entry[:2], reverse=True)], seen, skipped


def _rows(calibration: Calibration, on_progress: OnProgress) -> Iterator[Sample | None]:
    block = CHARACTERS_PER_TOKEN * calibration.max_length
    if calibration.source == BUNDLED:
        return bundled()
    if calibration.source == PASTED:
        return (sample(block_text, "The pasted text") for block_text in files.blocks([calibration.text], block))
    if calibration.path is not None:
        return _file(calibration.path.expanduser(), block, on_progress)
    dataset = hub.parse(calibration.source)
    assert dataset is not None, "checked when the calibration was made"  # noqa: S101
    on_progress(Progress(f"Reading {dataset.repo} from the hub"))
    return hub.read(dataset)


def _file(path: Path, block: int, on_progress: OnProgress) -> Iterator[Sample | None]:
    size = min(path.stat().st_size, files.READ_LIMIT) if path.is_file() else 0

    reported = 0

    def on_bytes(done: int) -> None:
        nonlocal reported
        if done - reported >= REPORT_EVERY or done >= size:
            reported = done
            on_progress(Progress(READING, min(done, size), size, "bytes"))

    return files.read(path, block, on_bytes)


def _polled(rows: Iterator[Sample | None], is_cancelled: IsCancelled) -> Iterator[Sample | None]:
    for row in rows:
        if is_cancelled():
            raise Cancelled("Reading the calibration text was cancelled.")
        yield row


def _limit_met(calibration: Calibration, rows: int) -> str:
    """A sentence on what was not read; "" if everything was."""
    if calibration.path is not None:
        size = calibration.path.expanduser().stat().st_size
        if size > files.READ_LIMIT:
            return (
                f"Only the first {files.READ_LIMIT // 2**20} MiB of {calibration.label} were read "
                f"(it has {size / 2**20:,.0f}); the samples were drawn from there."
            )
    elif calibration.source not in (BUNDLED, PASTED) and rows >= hub.HUB_ROWS:
        return f"The samples were drawn from the first {hub.HUB_ROWS:,} rows of {calibration.label}."
    return ""


def _too_few(calibration: Calibration, seen: int, skipped: int) -> InvalidCalibration:
    if not seen:
        if skipped:
            reason = f"has no usable sample: {skipped:,} rows have less than {MIN_CHARACTERS} characters or use tools."
            return InvalidCalibration(f"{calibration.label} {reason}", hint="Use other text, or the bundled samples.")
        return InvalidCalibration(f"{calibration.label} is empty.", hint="Use other text, or the bundled samples.")
    have = "1 usable sample" if seen == 1 else f"{seen:,} usable samples"
    left_out = f" (and {skipped:,} too short or with tools)" if skipped else ""
    request = "Ask for 1 sample" if seen == 1 else f"Ask for {seen:,} samples"
    hint = f"{request}, or add text."
    if calibration.is_prose:
        block = CHARACTERS_PER_TOKEN * calibration.max_length
        hint = (
            f"A sample of {calibration.max_length} tokens takes about {block:,} characters: add text, "
            f"or a{request.removeprefix('A')} or a smaller length."
        )
    return InvalidCalibration(
        f"{calibration.label} has {have}{left_out}, and {calibration.samples:,} were asked for.", hint=hint
    )
