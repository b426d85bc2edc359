"""bitsandbytes: weights quantized while they load, in seconds, without calibration; or once, and saved.

NF4 and double quantization: Dettmers et al., QLoRA, https://arxiv.org/abs/2305.14314
LLM.int8(): Dettmers et al., https://arxiv.org/abs/2208.07339
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from playground.errors import InvalidRecipe, UnknownVariant
from playground.methods.base import Method, OnLoad
from playground.methods.recipe import Recipe

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

BLOCK = 64  # values per scale; bitsandbytes' default on every device
NESTED_BLOCK = 256  # scales per second-level scale under double quantization
STATE, NESTED_STATE = 80, 170  # bytes of the JSON that a saved 4-bit weight carries, give or take 3


def four_bit_bytes(n: int) -> int:
    """Packed halves, one FP32 scale per block of 64, the 16-entry code, the quantization state."""
    return (n + 1) // 2 + 4 * -(-n // BLOCK) + 4 * 16 + STATE


def four_bit_double_bytes(n: int) -> int:
    """Packed halves, one 8-bit scale per block, one FP32 scale per 256 of those, both codes, the quantization state."""
    scales = -(-n // BLOCK)
    return (n + 1) // 2 + scales + 4 * -(-scales // NESTED_BLOCK) + 4 * 16 + 4 * 256 + NESTED_STATE


def int8_bytes(n: int) -> int:
    """One byte a value; the caller, who knows the rows, adds an FP32 scale for each."""
    return n


ROW = Method(
    name="bitsandbytes",
    title="bitsandbytes",
    schemes=("nf4", "nf4-single", "fp4", "int8"),
    needs_calibration=False,
    output_format="safetensors in bitsandbytes' layout, or nothing: quantized while loading",
    engines=("transformers",),
    devices=("cuda", "cpu"),
    paper="https://arxiv.org/abs/2305.14314",
    good_at="No calibration, no waiting: a 4-bit model in the time it takes to load it.",
    bad_at="Dequantizes inside every matrix product: saves memory first, time only where that is the limit.",
    requires=("bitsandbytes",),
    group_size="fixed: 64 values per scale, int8 a scale for each row",
    hardware="NVIDIA GPUs; on processors with AVX512 nearly as fast as BF16, int8 slower.",
    job=True,
    on_load=(
        OnLoad("nf4", "nf4", "nf4", "4-bit NormalFloat, double quantization", stored_bytes=four_bit_double_bytes),
        OnLoad("nf4-single", "nf4 single", "nf4", "4-bit NormalFloat, plain FP32 scales", stored_bytes=four_bit_bytes),
        OnLoad("fp4", "fp4", "fp4", "4-bit floating point, double quantization", stored_bytes=four_bit_double_bytes),
        OnLoad("int8", "int8", "int8", "LLM.int8(): 8-bit rows, outlier columns kept wide", stored_bytes=int8_bytes),
    ),
)


def quantization_config(name: str, compute_dtype: str) -> BitsAndBytesConfig:
    """The transformers configuration behind an on-load name of this row."""
    import torch
    from transformers import BitsAndBytesConfig

    if name == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    if name not in ("nf4", "nf4-single", "fp4"):
        raise UnknownVariant(f"bitsandbytes has no scheme {name!r}.", hint=f"Known: {', '.join(ROW.schemes)}.")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="fp4" if name == "fp4" else "nf4",
        bnb_4bit_use_double_quant=name != "nf4-single",
        bnb_4bit_compute_dtype=getattr(torch, compute_dtype),
    )


def check(recipe: Recipe) -> None:
    """Refuse what cannot be asked of bitsandbytes, before anything runs. Raises InvalidRecipe."""
    if recipe.keep:
        raise InvalidRecipe(
            "bitsandbytes has one scheme for all layers.", hint="Put the layers that must stay as they are in ignore."
        )
    if patterns := [pattern for pattern in recipe.ignore if pattern.startswith("re:")]:
        raise InvalidRecipe(
            f"bitsandbytes takes names, not patterns: {patterns[0][:80]!r}.", hint="For example model.layers.0.mlp."
        )


def stays(module: str, ignore: Sequence[str]) -> bool:
    """Whether transformers leaves a module as it is: what is ignored is its name, begins it or ends it."""
    return any(module.startswith(name) or module.endswith(name) for name in ignore)
