"""Bytes and parameters, against hand-counted layouts, against saved checkpoints, and against hostile headers."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from playground.errors import BrokenCheckpoint
from playground.methods import TABLE, on_load
from playground.metrics import weights
from playground.metrics.weights import Tensor


def header(table: dict[str, Any] | bytes, data: int = 0, length: int | None = None) -> bytes:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(data)


def entry(begin: int, end: int, shape: list[Any] | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def test_a_header_reads_back(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {
        "b": torch.zeros(3, 4, dtype=torch.bfloat16),
        "a": torch.zeros(2, dtype=torch.int64),
        "scalar": torch.zeros((), dtype=torch.uint8),
        "empty": torch.zeros(0, 5),
        "f8": torch.zeros(4, 4).to(torch.float8_e4m3fn),
    }
    save_file(tensors, tmp_path / "m.safetensors", {"format": "pt"})
    found = {tensor.name: tensor for tensor in weights.read_safetensors_header(tmp_path / "m.safetensors")}
    assert {name: (tensor.shape, tensor.bytes) for name, tensor in found.items()} == {
        name: (tuple(tensor.shape), tensor.nbytes) for name, tensor in tensors.items()
    }
    assert (found["b"].dtype, found["f8"].dtype) == ("BF16", "F8_E4M3")
    assert weights.size_bytes(found.values()) == sum(tensor.nbytes for tensor in tensors.values())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (b"\x00" * 7, "7 bytes"),
        (b"PK\x03\x04" + bytes(60), "header claims"),
        (header({}, length=1 << 63), "more than the"),
        (header({}, length=100_000_001), "more than the"),
        (header({}, length=50), "the file has"),
        (header(b"{]"), "cannot be read"),
        (header(b"\xff\xfe{}"), "cannot be read"),
        (header(b"[" * 50_000), "cannot be read"),
        (header(b"[]"), "not a table"),
        (header({"a": entry(0, 4)}), "has .* of .* bytes"),
        (header({"a": entry(0, 4)}, 8), "has .* of .* bytes"),
        (header({"a": entry(0, 8), "b": entry(4, 12)}, 12), "starts at 4 where 8"),
        (header({"a": entry(0, 4), "b": entry(0, 4)}, 4), "starts at 0 where 4"),
        (header({"a": entry(0, 4), "b": entry(8, 12)}, 12), "starts at 8 where 4"),
        (header({"a": entry(4, 8)}, 8), "starts at 4 where 0"),
        (header({"a": entry(0, 1 << 60)}, 8), "has .* of .* bytes"),
        (header({"a": entry(0, 8, [3])}, 8), "its shape needs 12"),
        (header({"a": entry(0, 8, [1 << 40, 1 << 40])}, 8), "its shape needs"),
        (header({"a": entry(0, 4, [-1])}, 4), "no valid shape"),
        (header({"a": entry(0, 4, [1.0])}, 4), "no valid shape"),
        (header({"a": entry(0, 4, [True])}, 4), "no valid shape"),
        (header({"a": entry(0, 4, [1] * 40)}, 4), "no valid shape"),
        (header({"a": entry(0, 4, [1], "F31")}, 4), "no known type"),
        (header({"a": entry(0, 1, [1], "F4")}, 1), "its shape needs 1|bytes"),
        (header({"a": 7}), "no known type"),
        (header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, 4), "no valid offsets"),
        (header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, 4), "no valid offsets"),
        (header({"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, 4), "no known type"),
        (header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{}}', 4), "occurs twice"),
    ],
)
def test_hostile_headers(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    with pytest.raises(BrokenCheckpoint, match=words) as caught:
        weights.read_safetensors_header(path)
    assert str(tmp_path) not in str(caught.value) and len(str(caught.value)) < 300


def test_a_missing_file_is_broken(tmp_path: Path) -> None:
    with pytest.raises(BrokenCheckpoint, match="cannot be read"):
        weights.read_safetensors_header(tmp_path / "nope.safetensors")


def packed(bits: int, **more: Any) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": "int", "group_size": 32, "strategy": "group", **more}
    return {"quant_method": "compressed-tensors", "config_groups": {"g": {"targets": ["Linear"], "weights": weights}}}


@pytest.mark.parametrize(
    ("tensors", "quantized", "expected"),
    [
        ([Tensor("l.weight", "BF16", (8, 64)), Tensor("n.weight", "BF16", (64,))], None, 576),
        (
            [
                Tensor("l.weight_packed", "I32", (8, 8)),
                Tensor("l.weight_scale", "BF16", (8, 2)),
                Tensor("l.weight_zero_point", "I32", (1, 2)),
                Tensor("l.weight_shape", "I64", (2,)),
                Tensor("l.weight_g_idx", "I32", (64,)),
                Tensor("embed.weight", "BF16", (10, 64)),
            ],
            packed(4),
            8 * 64 + 640,
        ),
        # 96 columns of 3 bits: nine words when packed densely, ten when a word holds ten whole values
        ([Tensor("l.weight_packed", "I32", (8, 9)), Tensor("l.weight_scale", "BF16", (8, 3))], packed(3), 8 * 96),
        ([Tensor("l.weight_packed", "I32", (8, 10)), Tensor("l.weight_scale", "BF16", (8, 3))], packed(3), 8 * 96),
        ([Tensor("l.weight_packed", "I32", (8, 16)), Tensor("l.weight_scale", "BF16", (8, 1))], packed(8), 512),
        (
            [
                Tensor("l.weight_packed", "U8", (8, 32)),
                Tensor("l.weight_scale", "F8_E4M3", (8, 4)),
                Tensor("l.weight_global_scale", "F32", (1,)),
                Tensor("l.input_global_scale", "F32", (1,)),
            ],
            packed(4, type="float"),
            512,
        ),
        (
            [
                Tensor("l.qweight", "I32", (8, 16)),
                Tensor("l.qzeros", "I32", (2, 2)),
                Tensor("l.scales", "F16", (2, 16)),
                Tensor("l.g_idx", "I32", (64,)),
                Tensor("l.bias", "F16", (16,)),
            ],
            {"quant_method": "gptq", "bits": 4},
            64 * 16 + 16,
        ),
        ([Tensor("l.qweight", "I32", (12, 16))], {"quant_method": "gptq", "bits": 3}, 128 * 16),
        (
            [
                Tensor("l.qweight", "I32", (64, 2)),
                Tensor("l.qzeros", "I32", (2, 2)),
                Tensor("l.scales", "F16", (2, 16)),
            ],
            {"quant_method": "awq", "w_bit": 4},
            64 * 16,
        ),
        (
            [
                Tensor("l.weight", "U8", (256, 1)),
                Tensor("l.weight.absmax", "U8", (8,)),
                Tensor("l.weight.nested_absmax", "F32", (1,)),
                Tensor("l.weight.nested_quant_map", "F32", (256,)),
                Tensor("l.weight.quant_map", "F32", (16,)),
                Tensor("l.weight.quant_state.bitsandbytes__nf4", "U8", (169,)),
            ],
            {"quant_method": "bitsandbytes", "load_in_4bit": True},
            512,
        ),
        (
            [
                Tensor("l.weight", "BF16", (128, 1)),
                Tensor("l.weight.quant_state.bitsandbytes__nf4", "U8", (169,)),
            ],
            {"quant_method": "bitsandbytes", "load_in_4bit": True},
            512,
        ),
        (
            [Tensor("l.weight", "I8", (8, 64)), Tensor("l.SCB", "F32", (8,)), Tensor("l.weight_format", "U8", ())],
            {"quant_method": "bitsandbytes", "load_in_8bit": True},
            512,
        ),
        (
            [
                Tensor("mlp.experts.gate_up_proj_blocks", "U8", (4, 8, 2, 16)),
                Tensor("mlp.experts.gate_up_proj_scales", "U8", (4, 8, 2)),
                Tensor("mlp.experts.gate_up_proj_bias", "BF16", (4, 8)),
                Tensor("self_attn.sinks", "BF16", (64,)),
            ],
            {"quant_method": "mxfp4"},
            4 * 8 * 2 * 32 + 32 + 64,
        ),
        (
            [
                Tensor("l.weight", "F8_E4M3", (8, 64)),
                Tensor("l.weight_scale_inv", "F32", (1, 1)),
                Tensor("l.input_scale", "F32", ()),
                Tensor("attn.k_scale", "F32", ()),
                Tensor("attn.k_proj.weight", "BF16", (4, 4)),
            ],
            {"quant_method": "fp8"},
            512 + 16,
        ),
    ],
)
def test_logical_parameters(tensors: list[Tensor], quantized: dict[str, Any] | None, expected: int) -> None:
    assert weights.parameters(tensors, quantized) == expected


def test_mixed_precision_uses_the_group_of_each_module() -> None:
    quantized = {
        "quant_method": "compressed-tensors",
        "config_groups": {
            "rest": {"targets": ["Linear"], "weights": {"num_bits": 4}},
            "down": {"targets": ["re:.*down_proj$"], "weights": {"num_bits": 8}},
            "bad": {"targets": ["re:(", 7], "weights": {"num_bits": 2}},
        },
    }
    assert weights.weight_bits(quantized, "model.layers.0.mlp.down_proj") == 8
    assert weights.weight_bits(quantized, "model.layers.0.mlp.up_proj") == 4


@pytest.mark.parametrize(
    ("name", "shape", "linear"),
    [
        ("model.layers.0.self_attn.q_proj.weight", (8, 8), True),
        ("transformer.h.0.mlp.c_fc.weight", (8, 8), True),
        ("gpt_neox.layers.0.attention.query_key_value.weight", (8, 8), True),
        ("model.layers.0.self_attn.o_proj.weight", (8, 8), True),
        ("model.layers.0.attention.output.dense.weight", (8, 8), True),
        ("gpt_neox.embed_in.weight", (8, 8), False),
        ("embed_out.weight", (8, 8), False),
        ("model.embed_tokens.weight", (8, 8), False),
        ("transformer.wte.weight", (8, 8), False),
        ("lm_head.weight", (8, 8), False),
        ("model.norm.weight", (8,), False),
        ("model.layers.0.self_attn.q_proj.bias", (8,), False),
        ("model.layers.0.mlp.experts.3.up_proj.weight", (8, 8), False),
    ],
)
def test_which_weights_are_linear_layers(name: str, shape: tuple[int, ...], linear: bool) -> None:
    assert weights.is_linear_weight(Tensor(name, "BF16", shape)) is linear


def llama(**change: Any) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        **{**shape, "num_key_value_heads": 2, "vocab_size": 512, "tie_word_embeddings": True, **change}
    )
    return LlamaForCausalLM(config).to(torch.bfloat16)


def gpt2() -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=128, n_layer=2, n_head=4, vocab_size=512, n_positions=64)
    return GPT2LMHeadModel(config).to(torch.bfloat16)


def mixtral() -> Any:
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MixtralConfig(**{**shape, "num_key_value_heads": 2, "vocab_size": 512, "num_local_experts": 4})
    return MixtralForCausalLM(config).to(torch.bfloat16)


MODELS = {
    "tied": llama,
    "untied": lambda: llama(tie_word_embeddings=False),
    "biased": lambda: llama(attention_bias=True),
    "gpt2": gpt2,
    "mixtral": mixtral,
}


@pytest.mark.filterwarnings("ignore:MatMul8bitLt")
@pytest.mark.parametrize("model", MODELS)
def test_estimates_against_what_bitsandbytes_saves(tmp_path: Path, model: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from playground.methods.bitsandbytes import quantization_config

    made = MODELS[model]()
    made.save_pretrained(tmp_path / "original")
    tensors = weights.read_tensors(tmp_path / "original")
    count = sum(parameter.numel() for parameter in made.parameters())
    assert weights.parameters(tensors) == count
    tied = bool(made.config.tie_word_embeddings)
    tolerance = 5e-3 if model == "gpt2" else 1e-3  # its matrices are stored transposed: other rows, other scales
    for name in ("nf4", "nf4-single", "fp4", "int8"):
        quantized = AutoModelForCausalLM.from_pretrained(
            tmp_path / "original", quantization_config=quantization_config(name, "bfloat16"), dtype=torch.bfloat16
        )
        quantized.save_pretrained(tmp_path / name)
        saved = weights.read_tensors(tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text())["quantization_config"]
        estimate = weights.on_load_bytes(tensors, on_load(name)[1], "bfloat16", tied=tied)
        assert estimate == pytest.approx(weights.size_bytes(saved), rel=tolerance), (model, name)
        assert weights.parameters(saved, config) == count, (model, name)


def test_casts_are_exact() -> None:
    tensors = [
        Tensor("model.l.weight", "BF16", (4, 8)),
        Tensor("lm_head.weight", "BF16", (10, 8)),
        Tensor("ids", "I64", (3,)),
    ]
    for name, width in (("fp32", 4), ("fp16", 2), ("bf16", 2)):
        assert weights.on_load_bytes(tensors, on_load(name)[1], "bfloat16") == 112 * width + 24
    assert weights.on_load_bytes(tensors, on_load("fp32")[1], "bfloat16", tied=True) == 32 * 4 + 24


def test_every_quantizing_entry_is_smaller_than_the_type_it_replaces() -> None:
    large = [Tensor("model.l.weight", "BF16", (1024, 1024))]
    for entry in (entry for row in TABLE for entry in row.on_load if entry.quantizes):
        assert weights.on_load_bytes(large, entry, "bfloat16") < 2 * 1024 * 1024 * 0.6


def test_mbu() -> None:
    assert weights.mbu(269e6, 46_080, 0, 50, 28e9) == pytest.approx(269e6 * 50 / 28e9)
    assert weights.mbu(269e6, 46_080, 1000, 50, 28e9) == pytest.approx((269e6 + 46.08e6) * 50 / 28e9)
    with pytest.raises(ValueError, match="positive"):
        weights.mbu(1, 1, 1, 1, 0)
