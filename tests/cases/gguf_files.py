"""GGUF files that are true and cannot be used as they are."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.fakes.gguf import text_field, write_gguf


def split(file: Path, parts: int) -> Path:
    """The first of several parts, as llama.cpp's gguf-split writes them."""
    return write_gguf(file, extra=text_field("split.count") + struct.pack("<IH", 2, parts), extra_fields=1)
