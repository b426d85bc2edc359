"""The content hash is of tensors, not of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from playground.errors import BrokenCheckpoint
from playground.metrics.weights import content_hash

A, B = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(4, dtype=np.int8)


def folder(path: Path, files: dict[str, dict[str, np.ndarray]], metadata: dict[str, str] | None = None) -> Path:
    path.mkdir()
    for name, tensors in files.items():
        save_file(tensors, path / name, metadata=metadata)
    return path


def test_files_and_their_order_do_not_count(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", {"model.safetensors": {"a": A, "b": B}}, {"format": "pt"})
    two = folder(tmp_path / "two", {"z.safetensors": {"a": A}, "y.safetensors": {"b": B}})
    assert content_hash(one) == content_hash(two)


@pytest.mark.parametrize(
    "other",
    [
        {"a": A, "c": B},
        {"a": A.reshape(3, 2), "b": B},
        {"a": A, "b": B.view(np.uint8)},
        {"a": A + 1, "b": B},
        {"a": A},
    ],
    ids=["name", "shape", "type", "value", "missing"],
)
def test_everything_else_does(tmp_path: Path, other: dict[str, np.ndarray]) -> None:
    one = folder(tmp_path / "one", {"model.safetensors": {"a": A, "b": B}})
    assert content_hash(one) != content_hash(folder(tmp_path / "two", {"model.safetensors": other}))


def test_a_gguf_is_hashed_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    assert content_hash(tmp_path) == content_hash(file)
    assert content_hash(file) == hashlib.sha256(b"GGUF").hexdigest()


def test_a_truncated_file_has_no_hash(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", {"model.safetensors": {"a": A}})
    file = one / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BrokenCheckpoint):
        content_hash(one)
