"""The bytes of quantized checkpoints, against small ones that llm-compressor saves: every tensor, every byte."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.methods.schemes import SCHEMES, Scheme
from playground.metrics.weights import Tensor, read_tensors
from playground.quantize import size

GROUP = 64
KV = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False, "symmetric": True}


def save_original(folder: Path) -> Path:
    """Two tied Llama layers whose dimensions every scheme divides, with biases and grouped heads."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from tests.fakes.model import make_tiny

    make_tiny(folder)
    vocabulary = len(AutoTokenizer.from_pretrained(folder))
    shape = {"hidden_size": 256, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        **shape, num_key_value_heads=2, vocab_size=vocabulary, tie_word_embeddings=True, attention_bias=True
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("llmcompressor")
    return save_original(tmp_path_factory.mktemp("original"))


def save_quantized(original: Path, target: Path, *, calibrated: bool = False, **quantization: Any) -> Path:
    """What llm-compressor makes of it with a plain QuantizationModifier."""
    import torch
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(original, dtype=torch.bfloat16)
    rows = {"input_ids": [[1, 2, 3, 4] * 4] * 2, "attention_mask": [[1] * 16] * 2}
    data = {"dataset": Dataset.from_dict(rows), "num_calibration_samples": 2, "max_seq_length": 16}
    oneshot(
        model=model,
        processor=AutoTokenizer.from_pretrained(original),
        recipe=QuantizationModifier(ignore=["lm_head"], **quantization),
        **(data if calibrated else {}),
    )
    model.save_pretrained(target)
    return target


def by_scheme(scheme: str, group: int | None = None) -> Callable[[str], tuple[Scheme, int | None] | None]:
    def chosen(module: str) -> tuple[Scheme, int | None] | None:
        return None if "embed" in module or module == "lm_head" else (SCHEMES[scheme], group)

    return chosen


def same(estimated: list[Tensor], saved: Path) -> None:
    real = read_tensors(saved)
    assert {(t.name, t.dtype, t.shape) for t in estimated} == {(t.name, t.dtype, t.shape) for t in real}
    assert size.file_bytes(estimated) == (saved / "model.safetensors").stat().st_size


pytestmark = pytest.mark.filterwarnings("ignore")  # what llm-compressor and its parts warn of is not ours


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_to_the_byte(original: Path, tmp_path: Path, scheme: str) -> None:
    calibrated = SCHEMES[scheme].needs_calibration
    saved = save_quantized(original, tmp_path / "made", calibrated=calibrated, scheme=scheme, targets="Linear")
    tensors = read_tensors(original)
    same(size.quantized_tensors(tensors, by_scheme(scheme, 128), "BF16", tied=True), saved)


def test_mixed_schemes_and_kv_cache_scales(original: Path, tmp_path: Path) -> None:
    def weights(bits: int, *, symmetric: bool = True) -> dict[str, Any]:
        return {
            "num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group", "group_size": GROUP,
        }  # fmt: skip

    groups = {
        "a": {"targets": ["re:.*down_proj$"], "weights": weights(8)},
        "b": {"targets": ["Linear"], "weights": weights(4, symmetric=False)},
    }
    saved = save_quantized(original, tmp_path / "made", calibrated=True, config_groups=groups, kv_cache_scheme=KV)

    def chosen(module: str) -> tuple[Scheme, int | None] | None:
        return by_scheme("W8A16" if module.endswith("down_proj") else "W4A16_ASYM", GROUP)(module)

    estimated = size.quantized_tensors(read_tensors(original), chosen, "BF16", tied=True, kv_cache=True)
    same(estimated, saved)


def test_groups_that_do_not_divide_are_an_error() -> None:
    with pytest.raises(ValueError, match="576 columns"):
        size.layer_tensors("l", 8, 576, SCHEMES["W4A16"], 128, "BF16")


@functools.cache
def bytes_of(scheme: str, rows: int, columns: int, group: int) -> int:
    found = size.layer_tensors("layer", rows, columns, SCHEMES[scheme], group, "BF16")
    return sum(tensor.bytes for tensor in found)


@given(
    bits=st.integers(2, 7),
    rows=st.integers(1, 64).map(lambda n: 32 * n),
    columns=st.integers(1, 32).map(lambda n: 128 * n),
    group=st.sampled_from((128, 64, 32)),
)
def test_more_bits_more_bytes_larger_groups_fewer(bits: int, rows: int, columns: int, group: int) -> None:
    assert bytes_of(f"W{bits}A16", rows, columns, group) < bytes_of(f"W{bits + 1}A16", rows, columns, group)
    assert bytes_of("W4A16", rows, columns, group) < bytes_of("W4A16_ASYM", rows, columns, group)
    if group > 32:
        assert bytes_of(f"W{bits}A16", rows, columns, group) < bytes_of(f"W{bits}A16", rows, columns, group // 2)
    assert bytes_of(f"W{bits}A16", rows, columns, group) < bytes_of(f"W{bits}A16", rows + 32, columns, group)


def test_fused_experts_are_taken_apart() -> None:
    tensors = [Tensor("model.layers.0.mlp.experts.down_proj", "BF16", (4, 64, 128))]
    found = size.quantized_tensors(tensors, lambda _: (SCHEMES["W8A8"], None), "BF16", tied=False)
    assert sum(tensor.bytes for tensor in found) == 4 * (64 * 128 + 2 * 64)
    assert len(found) == 8
