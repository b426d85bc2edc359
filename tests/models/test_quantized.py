"""Checkpoints that real libraries wrote, described by `models`: what is counted is what was there before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from playground import models
from playground.errors import UnknownVariant, UnsupportedModel
from tests.models.conftest import make_folder, write_safetensors

SHAPE = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("original")
    config = LlamaConfig(**SHAPE, num_key_value_heads=2, vocab_size=512, tie_word_embeddings=True)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("scheme", "group", "packed_bits"),
    [
        ("W4A16", 128, 4),
        ("W3A16", 128, 3),
        ("W8A8", None, 8),
        ("FP8_DYNAMIC", None, 8),
        ("NVFP4A16", 16, 4),
        ("MXFP4A16", 32, 4),
    ],
)
def test_llm_compressor(original: Path, tmp_path: Path, scheme: str, group: int | None, packed_bits: int) -> None:
    import torch
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(original, dtype=torch.bfloat16)
    oneshot(
        model=model,
        recipe=QuantizationModifier(targets="Linear", scheme=scheme, ignore=["lm_head"]),
        tokenizer=None,
        pipeline="datafree",
    )
    model.save_pretrained(tmp_path, save_compressed=True)
    before, found = models.variant(str(original)), models.variant(str(tmp_path))
    assert (found.method, found.scheme, found.group_size) == ("compressed-tensors", scheme, group)
    assert before.engines == ("transformers", "vllm") and found.engines == ("vllm", "transformers")
    assert found.parameters == before.parameters
    assert before.bytes is not None and found.bytes is not None
    linear = 2 * (128 * 128 * 2 + 64 * 128 * 2 + 3 * 128 * 256)
    expected = before.bytes - 2 * linear + linear * packed_bits / 8
    assert expected <= found.bytes < expected * 1.15
    assert models.resolve(str(tmp_path)).weight_bytes == before.bytes
    assert [variant.id for variant in models.variants(str(tmp_path))] == [str(tmp_path)]
    with pytest.raises(UnknownVariant, match="already quantized"):
        models.resolve(f"{tmp_path}:nf4")


def test_bitsandbytes(original: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from playground.methods.bitsandbytes import quantization_config

    quantized = AutoModelForCausalLM.from_pretrained(
        original, quantization_config=quantization_config("nf4", "bfloat16"), dtype=torch.bfloat16
    )
    quantized.save_pretrained(tmp_path)
    found, estimate = models.variant(str(tmp_path)), models.variant(f"{original}:nf4")
    assert (found.method, found.scheme, found.label, found.dtype) == ("bitsandbytes", "nf4", "nf4", "bfloat16")
    assert found.parameters == estimate.parameters
    assert found.bytes == pytest.approx(estimate.bytes, rel=1e-3)


LAYOUTS: dict[str, tuple[dict[str, Any], dict[str, tuple[str, tuple[int, ...]]], str, int]] = {
    "gptq": (
        {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True},
        {
            "model.layers.0.mlp.up_proj.qweight": ("I32", (8, 128)),
            "model.layers.0.mlp.up_proj.qzeros": ("I32", (2, 16)),
            "model.layers.0.mlp.up_proj.scales": ("F16", (2, 128)),
            "model.layers.0.mlp.up_proj.g_idx": ("I32", (64,)),
        },
        "GPTQ W4A16",
        64 * 128,
    ),
    "awq": (
        {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True},
        {
            "model.layers.0.mlp.up_proj.qweight": ("I32", (64, 16)),
            "model.layers.0.mlp.up_proj.qzeros": ("I32", (2, 16)),
            "model.layers.0.mlp.up_proj.scales": ("F16", (2, 128)),
        },
        "AWQ W4A16_ASYM",
        64 * 128,
    ),
    "mxfp4": (
        {"quant_method": "mxfp4"},
        {
            "model.layers.0.mlp.experts.gate_up_proj_blocks": ("U8", (2, 64, 2, 16)),
            "model.layers.0.mlp.experts.gate_up_proj_scales": ("U8", (2, 64, 2)),
        },
        "MXFP4",
        2 * 64 * 64,
    ),
    "fp8": (
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        {
            "model.layers.0.mlp.up_proj.weight": ("F8_E4M3", (128, 64)),
            "model.layers.0.mlp.up_proj.weight_scale_inv": ("F32", (1, 1)),
        },
        "FP8_BLOCK",
        128 * 64,
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_hand_written_layouts(tmp_path: Path, name: str) -> None:
    quantized, tensors, label, count = LAYOUTS[name]
    folder = make_folder(tmp_path / "m", {"quantization_config": quantized})
    write_safetensors(folder / "model.safetensors", {"model.embed_tokens.weight": ("BF16", (96, 64)), **tensors})
    found = models.variant(str(folder))
    assert (found.label, found.parameters) == (label, count + 96 * 64)
    header = 8 + int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")
    assert found.bytes == (folder / "model.safetensors").stat().st_size - header
    assert json.dumps(found.as_row())


def test_fp8_scales_that_are_not_one_for_each_block_are_refused(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path / "m", {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    )
    layer = "model.layers.0.mlp.up_proj.weight"
    tensors = {layer: ("F8_E4M3", (256, 192)), f"{layer}_scale_inv": ("F32", (4, 2))}
    write_safetensors(folder / "model.safetensors", {"model.embed_tokens.weight": ("BF16", (96, 64)), **tensors})
    with pytest.raises(UnsupportedModel, match=f"{layer} of .* has 4 x 2 scales, but .* 128 x 128 need 2 x 2"):
        models.variant(str(folder))
