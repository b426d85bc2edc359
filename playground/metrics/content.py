"""What a checkpoint holds, as one hash that does not depend on how it is cut into files or ordered in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playground.metrics.weights import header_length, read_safetensors_header

CHUNK = 1 << 22


def content_hash(path: Path) -> str:
    """sha256, hex: of the tensors of a checkpoint folder, or of the bytes of a file (a folder with one .gguf: of that).

    Over every tensor by name: name, type, shape, bytes. Raises BrokenCheckpoint.
    """
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    if not files:
        return _of_file(path if path.is_file() else next(path.glob("*.gguf")))
    tensors = sorted(
        ((name, entry, file, start) for file in files for name, entry, start in _entries(file)), key=lambda one: one[0]
    )
    digest = hashlib.sha256()
    for name, entry, file, start in tensors:
        begin, end = entry["data_offsets"]
        digest.update(json.dumps([name, entry["dtype"], entry["shape"]], separators=(",", ":")).encode() + b"\n")
        with file.open("rb") as opened:
            opened.seek(start + begin)
            _feed(digest, opened, end - begin)
    return digest.hexdigest()


def _entries(file: Path) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Name, header entry and where the data begins, of every tensor of a file that has been checked."""
    read_safetensors_header(file)
    with file.open("rb") as opened:
        length = header_length(opened.read(8), file.stat().st_size, file.name)
        header = json.loads(opened.read(length))
    header.pop("__metadata__", None)
    yield from ((name, entry, 8 + length) for name, entry in header.items())


def _of_file(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        _feed(digest, opened, file.stat().st_size)
    return digest.hexdigest()


def _feed(digest: Any, opened: Any, count: int) -> None:
    while count > 0 and (chunk := opened.read(min(CHUNK, count))):
        digest.update(chunk)
        count -= len(chunk)
