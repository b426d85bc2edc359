"""Local folders: their variants, and everything that is refused before an engine sees them."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from playground import models
from playground.errors import (
    BrokenCheckpoint,
    CatalogError,
    UnknownModel,
    UnknownVariant,
    UnsafeModel,
    UnsupportedModel,
)
from tests.cases import checkpoints
from tests.models.conftest import llama_tensors, make_folder, write_safetensors


def test_variants_of_a_folder(llama: Path) -> None:
    found = {variant.name: variant for variant in models.variants(str(llama))}
    assert list(found) == ["reference", "fp16", "fp32", "nf4", "nf4-single", "fp4", "int8"]
    reference = found["reference"]
    assert (reference.label, reference.dtype, reference.bytes, reference.parameters) == (
        "BF16", "bfloat16", 2 * 80_192, 80_192,
    )  # fmt: skip
    assert reference.is_reference and not reference.bytes_are_estimated and reference.bits_per_weight == 16
    assert found["fp32"].bytes == 4 * 80_192 and found["fp32"].quantize is None
    assert found["nf4"].quantize == "nf4" and found["nf4"].bytes_are_estimated
    sizes = [variant.bytes or 0 for variant in found.values()]
    assert max(sizes[3:]) < sizes[0] < sizes[2]
    assert all(variant.id == f"{llama}:{name}" for name, variant in found.items() if name != "reference")


@pytest.mark.parametrize(
    ("dtype", "label", "own"), [("F16", "FP16", "fp16"), ("F32", "FP32", "fp32"), ("BF16", "BF16", "bf16")]
)
def test_the_cast_to_the_own_type_is_the_reference(tmp_path: Path, dtype: str, label: str, own: str) -> None:
    folder = make_folder(tmp_path / "m", dtype=dtype)
    assert models.variant(f"{folder}:{own}") == models.variant(str(folder))
    assert models.variant(str(folder)).label == label
    assert models.resolve(f"{folder}:{own}").id == str(folder)
    assert own not in [variant.name for variant in models.variants(str(folder))]


def test_resolve_says_what_an_engine_needs(llama: Path) -> None:
    spec = models.resolve(f"{llama}:int8")
    assert (spec.id, spec.path, spec.dtype, spec.quantize) == (f"{llama}:int8", str(llama), "bfloat16", "int8")
    assert spec.weight_bytes == models.variant(f"{llama}:int8").bytes
    assert models.resolve(f"{llama}:fp32").dtype == "float32"


@pytest.mark.parametrize(
    ("config", "generation", "ends"),
    [
        ({}, None, ()),
        ({"eos_token_id": 2}, None, (2,)),
        ({"eos_token_id": [2, 7]}, {"eos_token_id": 5}, (2, 5, 7)),
        ({"eos_token_id": None}, {"eos_token_id": [9, 5, 9]}, (5, 9)),
        ({"eos_token_id": "</s>"}, {"eos_token_id": [-1, True, 3]}, (3,)),
    ],
)
def test_an_answer_ends_at_what_either_config_names(
    tmp_path: Path, config: dict[str, object], generation: dict[str, object] | None, ends: tuple[int, ...]
) -> None:
    folder = make_folder(tmp_path / "m", config)
    if generation is not None:
        checkpoints.with_generation_config(folder, **generation)
    assert models.resolve(str(folder)).end_ids == models.resolve(f"{folder}:nf4").end_ids == ends


def test_a_broken_generation_config_is_named(llama: Path) -> None:
    (llama / "generation_config.json").write_text("{")
    with pytest.raises(BrokenCheckpoint, match=r"generation_config\.json is not valid JSON"):
        models.variant(str(llama))


def test_a_link_to_a_folder_works_and_a_loop_does_not(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(llama)
    assert models.variant(str(tmp_path / "link")).path == str(llama)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UnknownModel):
        models.variant(str(tmp_path / "loop"))


def test_a_link_to_missing_weights_is_missing_weights(llama: Path) -> None:
    (llama / "model.safetensors").unlink()
    (llama / "model.safetensors").symlink_to(llama / "gone")
    with pytest.raises(BrokenCheckpoint):
        models.variant(str(llama))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("nested", [False, True])
def test_remote_code_is_refused(llama: Path, name: str, nested: bool) -> None:
    checkpoints.with_remote_code(llama, name, nested=nested)
    for act in (models.variant, models.variants, models.resolve):
        with pytest.raises(UnsafeModel, match=f"auto_map in {name}"):
            act(str(llama))


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".pkl", ".ckpt"])
def test_pickle_weights_are_refused_with_the_reason(llama: Path, suffix: str) -> None:
    (llama / "model.safetensors").rename(llama / f"pytorch_model{suffix}")
    with pytest.raises(UnsafeModel, match="can run code when it is opened"):
        models.resolve(str(llama))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "not a causal"),
        ({"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, "an encoder-decoder"),
        ({"architectures": ["BartForCausalLM"], "is_encoder_decoder": True}, "an encoder-decoder"),
        ({"architectures": ["ViTForImageClassification"]}, "not a causal"),
        ({"architectures": ["LlavaForConditionalGeneration"]}, "not a causal"),
        ({"architectures": ["BrandNewForCausalLM"]}, "does not know BrandNewForCausalLM"),
        ({"architectures": []}, "names no architecture"),
        ({"architectures": None}, "names no architecture"),
        ({"architectures": [7]}, "names no architecture"),
        ({"quantization_config": {"quant_method": "quark"}}, "quantized with quark"),
        ({"quantization_config": {"bits": 4}}, "an unnamed method"),
    ],
)
def test_models_that_cannot_run(tmp_path: Path, change: dict[str, object], words: str) -> None:
    folder = make_folder(tmp_path / "m", change)
    with pytest.raises(UnsupportedModel, match=words) as caught:
        models.variants(str(folder))
    assert caught.value.hint


def test_known_architectures_come_from_the_installed_transformers() -> None:
    from playground.models.checkpoint import causal_architectures
    from playground.models.gguf import architectures

    assert {"LlamaForCausalLM", "Qwen2ForCausalLM", "GPT2LMHeadModel", "GptOssForCausalLM"} <= causal_architectures()
    assert {"llama", "qwen2", "qwen3moe", "qwen35"} <= architectures()


def test_an_adapter_is_refused_even_beside_weights(llama: Path) -> None:
    with pytest.raises(UnsupportedModel, match="PEFT adapter"):
        models.variant(str(checkpoints.with_adapter_file(llama)))


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({}, UnsupportedModel, "no config.json"),
        ({"config.json": b"{"}, BrokenCheckpoint, "no weights"),
        ({"config.json": b"{", "model.safetensors": b""}, BrokenCheckpoint, "not valid JSON"),
        ({"config.json": b"[]", "model.safetensors": b""}, BrokenCheckpoint, "not a table"),
        ({"config.json": b"[" * 100_000, "model.safetensors": b""}, BrokenCheckpoint, "not valid JSON"),
        ({"config.json": b"{}", "model-00001-of-00002.safetensors": b""}, BrokenCheckpoint, "neither"),
        ({"m.gguf": b""}, UnsupportedModel, "holds GGUF files"),
    ],
)
def test_incomplete_folders(tmp_path: Path, files: dict[str, bytes], error: type[CatalogError], words: str) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=words):
        models.variant(str(tmp_path))


def test_paths_that_are_not_models(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(UnknownModel, match="no folder or file"):
        models.variant(str(tmp_path / "nope"))
    with pytest.raises(UnsupportedModel, match="a single file"):
        models.variant(str(tmp_path / "file.txt"))
    with pytest.raises(UnknownModel):
        models.variant(str(tmp_path / ("x" * 300)))
    (tmp_path / "fake.gguf").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(BrokenCheckpoint, match="does not start with 'GGUF'"):
        models.variant(str(tmp_path / "fake.gguf"))


def test_shards(llama: Path) -> None:
    (llama / "model.safetensors").unlink()
    tensors = list(llama_tensors().items())
    shards = {f"model-0000{n}-of-00002.safetensors": dict(half) for n, half in ((1, tensors[:5]), (2, tensors[5:]))}
    for name, half in shards.items():
        write_safetensors(llama / name, half)
    index = llama / "model.safetensors.index.json"
    weight_map = {tensor: name for name, half in shards.items() for tensor in half}
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert models.variant(str(llama)).parameters == 80_192
    second = llama / "model-00002-of-00002.safetensors"
    second.rename(llama / "kept")
    with pytest.raises(BrokenCheckpoint, match="1 of 2 weight files are missing, model-00002"):
        models.resolve(str(llama))
    write_safetensors(second, dict(tensors[5:-1]))
    with pytest.raises(BrokenCheckpoint, match="lacks"):
        models.resolve(str(llama))
    for bad in ("../../etc/passwd.safetensors", "/etc/x.safetensors", "a/b.safetensors", "x.bin", 7):
        index.write_text(json.dumps({"weight_map": {"a": bad}}))
        with pytest.raises(BrokenCheckpoint, match="not a file name"):
            models.variant(str(llama))


def test_truncated_weights_are_refused(llama: Path) -> None:
    data = (llama / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    for size in (0, 5, 8, 20, 8 + length, len(data) - 1):
        (llama / "model.safetensors").write_bytes(data[:size])
        with pytest.raises(BrokenCheckpoint, match="not a complete safetensors"):
            models.resolve(str(llama))


def test_a_quantized_checkpoint_is_its_own_reference(tmp_path: Path) -> None:
    quantized = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    folder = make_folder(tmp_path / "m", {"quantization_config": quantized})
    assert [variant.scheme for variant in models.variants(str(folder))] == ["FP8_BLOCK"]
    for suffix in ("nf4", "int8", "fp32", "bf16"):
        with pytest.raises(UnknownVariant, match="already quantized \\(FP8_BLOCK\\)") as caught:
            models.variant(f"{folder}:{suffix}")
        assert "original checkpoint" in caught.value.hint


def test_describing_loads_neither_torch_nor_transformers(llama: Path) -> None:
    code = (
        "import sys; from playground import models as catalog; catalog.models(); catalog.describe('smollm2');"
        f"catalog.variants('smollm2'); catalog.resolve({str(llama)!r});"
        "print([name for name in ('torch', 'transformers', 'gradio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
