"""GGUF files of a few hundred bytes: a true header, and every lie a test asks for."""

from __future__ import annotations

import struct
from pathlib import Path


def text_field(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def gguf_bytes(
    *,
    architecture: str = "llama",
    magic: bytes = b"GGUF",
    version: int = 3,
    tensors: int | None = None,
    fields: int | None = None,
    extra: bytes = b"",
    extra_fields: int = 0,
    offsets: tuple[int, ...] = (0, 1152),
    kind: int = 2,
    payload: int = 1152 + 128,
) -> bytes:
    """A file with one Q4_0 matrix of 32 × 64 and one FP32 vector of 32."""
    head = text_field("general.architecture") + struct.pack("<I", 8) + text_field(architecture) + extra
    infos = text_field("blk.0.attn_q.weight") + struct.pack("<IQQIQ", 2, 64, 32, kind, offsets[0])
    infos += text_field("blk.0.attn_norm.weight") + struct.pack("<IQIQ", 1, 32, 0, offsets[1])
    counts = struct.pack("<IQQ", version, 2 if tensors is None else tensors, fields or 1 + extra_fields)
    data = magic + counts + head + infos
    return data + bytes(-len(data) % 32) + bytes(payload)


def write_gguf(path: Path, **options: object) -> Path:
    path.write_bytes(gguf_bytes(**options))  # type: ignore[arg-type]
    return path
