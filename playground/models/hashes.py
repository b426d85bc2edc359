"""The content hash of a checkpoint, kept beside the sizes and times of its files: reading gigabytes once is enough.

For what is recorded after every comparison. What is measured for hours (evaluations) reads the bytes again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from playground.metrics.weights import content_hash
from playground.settings import settings


def known(path: Path) -> str:
    """`content_hash` of a folder or file, from the cache while no file of it has changed. Raises BrokenCheckpoint."""
    place = settings().cache / "hashes" / _key(path)
    with contextlib.suppress(OSError):
        if len(found := place.read_text()) == 64:
            return found
    digest = content_hash(path)
    with contextlib.suppress(OSError):  # a full or read-only disk costs the next caller the time, nothing else
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=place.parent, delete=False) as file:
            file.write(digest)
        Path(file.name).replace(place)
    return digest


def _key(path: Path) -> str:
    """Of where the files are, how large they are, and when they were written."""
    files = [path] if path.is_file() else sorted([*path.glob("*.safetensors"), *path.glob("*.gguf")])
    facts = [(os.path.realpath(file), stat.st_size, stat.st_mtime_ns) for file in files if (stat := file.stat())]
    return hashlib.sha256(json.dumps([str(path), facts]).encode()).hexdigest()
