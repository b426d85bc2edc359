"""Samples of a .jsonl, .json or .txt file, read as a stream of at most READ_LIMIT bytes.

Errors name the file and the line.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from playground.errors import InvalidCalibration
from playground.texts.rows import Sample, sample

READ_LIMIT = 64 * 2**20
MAX_LINE = 4 * 2**20
PIECE = 64 * 2**10
SUFFIXES = (".jsonl", ".json", ".txt")
OnBytes = Callable[[int], None]


def read(path: Path, block: int, on_bytes: OnBytes) -> Iterator[Sample | None]:
    """The samples of a file in its order, None for a row that cannot be used. Raises InvalidCalibration.

    block     length of a sample cut from plain text, characters
    on_bytes  called with the number of bytes read so far
    """
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist" if not path.exists() else "is no regular file"
        raise InvalidCalibration(f"The file {path} {problem}.", hint="Check the path.")
    try:
        with path.open("rb") as file:
            yield from _READERS[path.suffix.lower()](file, path.name, block, on_bytes)
    except OSError as error:
        raise InvalidCalibration(
            f"{path.name} cannot be read: {error.strerror or error}.", hint="Check its permissions and the disk."
        ) from error


def blocks(pieces: Iterable[str], size: int) -> Iterator[str]:
    """Cut a stream of text into blocks of at most `size` characters.

    Cuts are at a blank line in the second half of a block, else at the end of a line, else at a space. Only white space
    at the cuts is lost.
    """
    pending = ""
    for piece in pieces:
        pending, start = pending + piece, 0
        while len(pending) - start > size:
            end = _cut(pending, start, size)
            if block := pending[start:end].strip():
                yield block
            start = end
        pending = pending[start:]
    if pending.strip():
        yield pending.strip()


def _cut(text: str, start: int, size: int) -> int:
    middle, end = start + size // 2, start + size
    for border in ("\n\n", "\n", " "):
        if (position := text.rfind(border, middle, end)) > start:
            return position + len(border)
    return end


def _jsonl(file: BinaryIO, name: str, _block: int, on_bytes: OnBytes) -> Iterator[Sample | None]:
    position = number = 0
    while position < READ_LIMIT and (line := file.readline(MAX_LINE + 1)):
        position, number = position + len(line), number + 1
        if len(line) > MAX_LINE:
            raise InvalidCalibration(
                f"Line {number} of {name} is longer than {MAX_LINE // 2**20} MiB.",
                hint="A .jsonl file has one sample on each line; plain text goes into a .txt file.",
            )
        text = _decoded(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line, name, number)
        if text.strip():
            yield sample(_parsed(text, name, number), f"Line {number} of {name}")
        on_bytes(position)


def _json(file: BinaryIO, name: str, block: int, on_bytes: OnBytes) -> Iterator[Sample | None]:
    head = file.read(PIECE).removeprefix(codecs.BOM_UTF8).lstrip()
    file.seek(0)
    if not head.startswith(b"["):
        yield from _jsonl(file, name, block, on_bytes)  # many .json files hold one object on each line
        return
    raw = file.read(READ_LIMIT + 1)
    if len(raw) > READ_LIMIT:
        raise InvalidCalibration(
            f"{name} is a JSON list of more than {READ_LIMIT // 2**20} MiB, which would have to be read whole.",
            hint="Save it as .jsonl, one sample on each line: that is read as a stream.",
        )
    rows = _parsed(_decoded(raw.removeprefix(codecs.BOM_UTF8), name, 0), name, 0)
    for number, row in enumerate(rows, 1):
        yield sample(row, f"Entry {number} of {name}")
    on_bytes(len(raw))


def _text(file: BinaryIO, name: str, block: int, on_bytes: OnBytes) -> Iterator[Sample | None]:
    for block_text in blocks(_pieces(file, name, on_bytes), block):
        yield sample(block_text, name)


def _pieces(file: BinaryIO, name: str, on_bytes: OnBytes) -> Iterator[str]:
    """The decoded text in pieces of at most `PIECE` bytes, also of longer lines."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    position = line = 0
    while position < READ_LIMIT and (piece := file.readline(PIECE)):
        position += len(piece)
        line += piece.endswith(b"\n")
        try:
            text = decoder.decode(piece)
        except UnicodeDecodeError as error:
            raise _not_text(name, line) from error
        if "\0" in text:
            raise _not_text(name, line)
        yield text.replace("\r\n", "\n")
        on_bytes(position)


def _decoded(raw: bytes, name: str, line: int) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_text(name, line or raw.count(b"\n", 0, error.start) + 1) from error
    if "\0" in text:
        raise _not_text(name, line)
    return text


def _not_text(name: str, line: int) -> InvalidCalibration:
    location = f" (line {line})" if line else ""
    return InvalidCalibration(
        f"{name} is not UTF-8 text{location}.", hint="Save it as UTF-8; binary files cannot be used."
    )


def _parsed(text: str, name: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidCalibration(
            f"Line {line or error.lineno} of {name} is not valid JSON: {error.msg} at column {error.colno}.",
            hint="Correct or remove the line.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidCalibration(
            f"{f'Line {line}' if line else 'The list'} of {name} is JSON that cannot be read: it is nested too deeply, "
            "or a number in it is too long.",
            hint="Correct or remove it.",
        ) from error


_READERS = {".jsonl": _jsonl, ".json": _json, ".txt": _text}
