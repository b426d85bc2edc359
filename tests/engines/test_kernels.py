"""What becomes of the weights: told from the loaded modules alone, and not told where they do not say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from playground.core import Loaded
from playground.engines.host.kernels import weights

WEIGHT_ONLY = SimpleNamespace(input_activations=None)
BOTH = SimpleNamespace(input_activations=SimpleNamespace(num_bits=8))


def model(kind: str, **fields: Any) -> torch.nn.Module:
    """A model with one layer of a class of this name."""
    layer = type(kind, (torch.nn.Linear,), {})(4, 4)
    for name, value in fields.items():
        setattr(layer, name, value)
    whole = torch.nn.Sequential(layer)
    whole.device = torch.device("cpu")
    return whole


def four_bit(packing: bool) -> torch.nn.Module:
    made = model("Linear4bit")
    made[0].weight.quant_state = SimpleNamespace(packing_format_for_cpu=packing)
    return made


@pytest.mark.parametrize(
    ("loaded", "quantized", "expected"),
    [
        (model("Linear"), False, "packed"),
        (model("GPT2Conv1D"), False, "packed"),
        (model("Linear"), True, "unpacked"),  # a GGUF file, or FP8 where there is no kernel
        (four_bit(True), True, "packed"),
        (four_bit(False), True, "unpacked"),
        (model("Linear8bitLt"), True, "packed"),
        (model("CompressedLinear", quantization_scheme=WEIGHT_ONLY), True, "unpacked"),
        (model("Linear", quantization_scheme=BOTH), True, "emulated"),
        (model("FP8Linear"), True, ""),
        (model("QuantLinear"), True, ""),
    ],
)
def test_what_becomes_of_the_weights(loaded: torch.nn.Module, quantized: bool, expected: str) -> None:
    assert weights(loaded, quantized) == expected


def test_what_was_stored_before_is_not_known() -> None:
    row = Loaded("v", "transformers", "cpu", "bfloat16", 1, 1, 1, 1, 1, "hash", True, weights="packed").as_dict()
    assert Loaded.from_dict(row).weights == "packed"
    del row["weights"]
    assert Loaded.from_dict(row).weights == ""
