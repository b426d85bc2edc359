"""GGUF headers: what they say of a model, and every way in which they can lie."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from playground import catalog
from playground.catalog import gguf_file
from playground.errors import BrokenCheckpoint, UnsupportedModel


def _text(text: str) -> bytes:
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
    head = _text("general.architecture") + struct.pack("<I", 8) + _text(architecture) + extra
    infos = _text("blk.0.attn_q.weight") + struct.pack("<IQQIQ", 2, 64, 32, kind, offsets[0])
    infos += _text("blk.0.attn_norm.weight") + struct.pack("<IQIQ", 1, 32, 0, offsets[1])
    counts = struct.pack("<IQQ", version, 2 if tensors is None else tensors, fields or 1 + extra_fields)
    data = magic + counts + head + infos
    return data + bytes(-len(data) % 32) + bytes(payload)


def write_gguf(path: Path, **options: object) -> Path:
    path.write_bytes(gguf_bytes(**options))  # type: ignore[arg-type]
    return path


def test_a_gguf_file_is_its_own_reference(tmp_path: Path) -> None:
    found = catalog.variants(str(write_gguf(tmp_path / "m.gguf")))
    assert [variant.scheme for variant in found] == ["Q4_0"]
    assert (found[0].method, found[0].bytes, found[0].parameters) == ("gguf", 1152 + 128, 32 * 64 + 32)
    assert "dequantized to BF16" in found[0].notes[0]
    assert catalog.resolve(str(tmp_path / "m.gguf")).weight_bytes == 2 * (32 * 64 + 32)


def test_the_same_as_the_gguf_package_reads() -> None:
    from gguf import GGUFReader

    from playground.catalog import bundled

    source = bundled.gguf()
    assert source is not None
    theirs, ours = GGUFReader(source), gguf_file.read_header(source)
    assert [(t.name, t.tensor_type.name, t.n_bytes, t.data_offset) for t in theirs.tensors] == [
        (t.name, t.dtype, t.bytes, ours.offsets[t.name]) for t in ours.tensors
    ]
    assert [tuple(reversed(t.shape.tolist())) for t in theirs.tensors] == [t.shape for t in ours.tensors]
    assert ours.fields["tokenizer.ggml.pre"] == "smollm"
    assert ours.weight_type == "Q4_1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"magic": b"GGML"}, "does not start with"),
        ({"version": 9}, "version 9"),
        ({"tensors": 1 << 60}, "claims"),
        ({"fields": 1 << 60}, "claims"),
        ({"tensors": 3}, "overlaps"),
        ({"payload": 1000}, "ends after"),
        ({"offsets": (0, 64)}, "overlaps"),
        ({"offsets": (0, 1 << 60)}, "ends after"),
        ({"kind": 999}, "unknown tensor type"),
        ({"extra": _text("k") + struct.pack("<IIQ", 9, 8, 1 << 62), "extra_fields": 1}, "array claims"),
        ({"extra": _text("k") + struct.pack("<IQ", 8, 1 << 62), "extra_fields": 1}, "string claims"),
        ({"extra": _text("k") + struct.pack("<I", 77), "extra_fields": 1}, "unknown type"),
        ({"extra": _text("k") + struct.pack("<IIQI", 9, 9, 1, 9), "extra_fields": 1}, "unknown type"),
        ({"extra": _text("general.alignment") + struct.pack("<II", 4, 0), "extra_fields": 1}, "alignment"),
        ({"extra": _text("general.architecture") + struct.pack("<IB", 7, 1), "extra_fields": 1}, "twice"),
    ],
)
def test_lies_are_refused(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(BrokenCheckpoint, match=words):
        gguf_file.read_header(write_gguf(tmp_path / "m.gguf", **options))


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = gguf_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "m.gguf").write_bytes(whole[:length])
        with pytest.raises(BrokenCheckpoint):
            gguf_file.read_header(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"architecture": "bert"}, "not a causal"),
        ({"architecture": "unheard-of"}, "cannot read GGUF files of the architecture"),
        ({"extra": _text("split.count") + struct.pack("<IH", 2, 3), "extra_fields": 1}, "one of 3 parts"),
    ],
)
def test_what_transformers_cannot_load(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(UnsupportedModel, match=words):
        catalog.variant(str(write_gguf(tmp_path / "m.gguf", **options)))
