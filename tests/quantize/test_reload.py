"""A GGUF file in the real llama.cpp against its original in transformers."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import psutil
import pytest
from gguf import GGUFReader

from playground.errors import ReloadMismatch
from playground.methods.recipe import Recipe
from playground.quantize import gguf, reload
from tests.fakes import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' and gguf's own
BYTES = 1_000_000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its head is not its embedding: one whose are the same repeats what it reads, in whatever order they are."""
    return tiny_models.make(tmp_path_factory.mktemp("model") / "llama", "Llama", tie_word_embeddings=False)


def made(source: Path, folder: Path, scheme: str) -> Path:
    gguf.make(source, folder, Recipe(method="gguf", scheme=scheme), (), lambda _: None, lambda: False)
    return folder / gguf.file_name(scheme)


def test_a_good_file_answers_as_the_original(source: Path, tmp_path: Path, home: Path) -> None:
    found = reload.compare(made(source, tmp_path, "Q8_0"), source, "Q8_0", BYTES)
    assert found["positions"] > 20 and found["top1_agreement"] > 0.5 and 0 <= found["regret"] < 0.05
    assert f"in {found['top1_agreement']:.0%} of {found['positions']} positions" in reload.sentence(found)


def test_a_file_that_answers_otherwise_is_refused(source: Path, tmp_path: Path, home: Path) -> None:
    """As from a converter that puts the vocabulary into another order."""
    file = made(source, tmp_path, "Q8_0")
    (embedding,) = [found for found in GGUFReader(file, "r+").tensors if found.name == "token_embd.weight"]
    embedding.data[:] = embedding.data[::-1].copy()
    with pytest.raises(ReloadMismatch, match="does not answer from this file as the original does"):
        reload.compare(file, source, "Q8_0", BYTES)
    assert reload.compare(file, source, "Q2_K", BYTES)["regret"] > 1, "of two bits nobody can say"


def test_a_file_that_llama_cpp_cannot_load_is_refused(source: Path, tmp_path: Path, home: Path) -> None:
    file = made(source, tmp_path, "Q8_0")
    file.write_bytes(file.read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_no.weight"))
    with pytest.raises(ReloadMismatch, match=r"llama\.cpp cannot use the finished file"):
        reload.compare(file, source, "Q8_0", BYTES)


def test_without_memory_for_both_it_says_so(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: namedtuple("Memory", "available")(BYTES))
    found = reload.compare(file, source, "Q8_0", BYTES)
    assert found == {} and "do not fit into memory" in reload.sentence(found)
