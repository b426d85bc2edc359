"""Schemes read from quantization_config, for every method that transformers can load."""

from __future__ import annotations

from typing import Any

import pytest

from playground.metrics.weights import Tensor
from playground.models import scheme

HALF = [Tensor("model.norm.weight", "BF16", (64,))]


def _weights(bits: int, kind: str = "int", **more: Any) -> dict[str, Any]:
    return {"num_bits": bits, "type": kind, "symmetric": True, "strategy": "channel", **more}


def _ct(weights: dict[str, Any] | None, inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, **more}


@pytest.mark.parametrize(
    ("quantized", "expected", "group"),
    [
        (_ct(_weights(4, strategy="group", group_size=64)), "W4A16", 64),
        (_ct(_weights(4, strategy="group", group_size=32, symmetric=False)), "W4A16_ASYM", 32),
        (_ct(_weights(3, strategy="group", group_size=32)), "W3A16", 32),
        (_ct(_weights(8)), "W8A16", None),
        (_ct(_weights(8), _weights(8, dynamic=True)), "W8A8", None),
        (_ct(_weights(4), _weights(8, dynamic=True)), "W4A8", None),
        (_ct(_weights(4, strategy="group", group_size=128), _weights(8, "float", dynamic=True)), "W4AFP8", 128),
        (_ct(_weights(8, "float"), _weights(8, "float", dynamic=True)), "FP8_DYNAMIC", None),
        (_ct(_weights(8, "float", strategy="tensor"), _weights(8, "float", dynamic=False)), "FP8", None),
        (_ct(_weights(8, "float", strategy="block"), _weights(8, "float", dynamic=True)), "FP8_BLOCK", None),
        (_ct(_weights(4, "float", strategy="tensor_group", group_size=16)), "NVFP4A16", 16),
        (
            _ct(_weights(4, "float", strategy="tensor_group", group_size=16), _weights(4, "float", dynamic="local")),
            "NVFP4",
            16,
        ),
        (_ct(_weights(4, "float", strategy="group", group_size=32)), "MXFP4A16", 32),
        (_ct(_weights(8, "float", strategy="group", group_size=32), _weights(8, "float", dynamic=True)), "MXFP8", 32),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, "W4A16", 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1, "sym": False}, "W8A16_ASYM", None),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, "W4A16_ASYM", 128),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "zero_point": False}, "W4A16", 64),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 64, "sym": True}, "W4A16", 64),
        ({"quant_method": "fp8", "activation_scheme": "static"}, "FP8", None),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "FP8_BLOCK", None),
        ({"quant_method": "fbgemm_fp8"}, "FP8_DYNAMIC", None),
        ({"quant_method": "mxfp4"}, "MXFP4A16", 32),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "nf4", 64),
        ({"quant_method": "bitsandbytes", "_load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "fp4", 64),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", None),
    ],
)
def test_scheme(quantized: dict[str, Any], expected: str, group: int | None) -> None:
    found = scheme.read("m", {"dtype": "bfloat16", "quantization_config": quantized}, HALF)
    assert (found.scheme, found.group_size) == (expected, group)
    assert found.quantized and found.label


def test_the_same_names_as_the_presets_of_compressed_tensors() -> None:
    from compressed_tensors.quantization.quant_scheme import PRESET_SCHEMES, preset_name_to_scheme

    aliases = {"INT8": "W8A8", "UNQUANTIZED": "", "FP8_BLOCK": "FP8_BLOCK", "NVFP4": "NVFP4"}
    for name in PRESET_SCHEMES:
        group = preset_name_to_scheme(name, ["Linear"]).model_dump(mode="json")
        if group["weights"] is not None:
            assert scheme.group_name(group) == aliases.get(name, name)


def test_notes_of_a_compressed_checkpoint() -> None:
    cache = {"num_bits": 8, "type": "float"}
    config = {"dtype": "bfloat16", "quantization_config": _ct(_weights(4), kv_cache_scheme=cache)}
    assert "key/value cache in FP8" in scheme.read("m", config, HALF).notes[0]
    groups = {"a": {"weights": _weights(4)}, "b": {"weights": _weights(8)}}
    mixed = {"quant_method": "compressed-tensors", "config_groups": groups}
    assert scheme.read("m", {"quantization_config": mixed}, HALF).notes[0] == "mixed: W4A16, W8A16"
    only_cache = {"quant_method": "compressed-tensors", "config_groups": {}, "kv_cache_scheme": cache}
    assert scheme.read("m", {"dtype": "bfloat16", "quantization_config": only_cache}, HALF).scheme == "BF16"


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    gptq = scheme.read("m", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, HALF)
    assert gptq.notes == ("transformers needs `pip install optimum gptqmodel` for it",)
    mxfp4 = scheme.read("m", {"quantization_config": {"quant_method": "mxfp4"}}, HALF)
    assert mxfp4.notes == ("loads as BF16 here, because triton and kernels must be installed for its kernel",)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert scheme.read("m", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, HALF).notes == ()


@pytest.mark.parametrize("method", ["fp8", "mxfp4"])
def test_weights_expand_without_a_gpu(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"quantization_config": {"quant_method": method}}
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    for gpu in (True, False):
        monkeypatch.setattr(scheme, "_nvidia", lambda gpu=gpu: gpu)
        assert scheme.read("m", config, HALF).expands is not gpu


def test_malformed_configs_do_not_escape_as_other_errors() -> None:
    for raw in (
        {"config_groups": []},
        {"config_groups": {"a": 7}},
        {"config_groups": {"a": {"weights": {"num_bits": "x"}}}},
    ):
        config = {"quantization_config": {"quant_method": "compressed-tensors", **raw}}
        assert scheme.read("m", config, HALF).method == "compressed-tensors"


@pytest.mark.parametrize(
    ("method", "engines"),
    [
        ("gptq", ("vllm", "transformers")),
        ("awq", ("vllm", "transformers")),
        ("fp8", ("vllm", "transformers")),
        ("compressed-tensors", ("vllm", "transformers")),
        ("bitsandbytes", ("transformers", "vllm")),
        (None, ("transformers", "vllm")),
    ],
)
def test_the_engine_with_the_better_kernels_comes_first(method: str | None, engines: tuple[str, ...]) -> None:
    config = {"quantization_config": {"quant_method": method, "bits": 4}} if method else {}
    assert scheme.read("m", config, ()).engines == engines
