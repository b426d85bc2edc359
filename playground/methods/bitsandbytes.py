"""bitsandbytes: weights quantized while they load, in seconds, without calibration; or once, and saved.

NF4 and double quantization: Dettmers et al., QLoRA, https://arxiv.org/abs/2305.14314
LLM.int8(): Dettmers et al., https://arxiv.org/abs/2208.07339
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.core import Progress
from playground.errors import Cancelled, InvalidRecipe, UnknownVariant
from playground.methods import side_files
from playground.methods.layers import CONV1D
from playground.methods.recipe import Recipe
from playground.methods.row import Method, OnLoad
from playground.metrics.layer_errors import LayerError, relative_error

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


def make(
    source: Path,
    target: Path,
    recipe: Recipe,
    tokens: Sequence[Sequence[int]],  # noqa: ARG001 the same call for every method
    report: Callable[[Progress], None],
    is_cancelled: Callable[[], bool],
    lost: Callable[[LayerError], None] = lambda _: None,
) -> Any:
    """Save what loading with this scheme gives, so that the next load reads a third of the bytes; returns the model.

    `recipe.ignore` names modules that stay as they are, beside the output head. `tokens` are not used: no calibration.
    `lost` hears of every weight that was quantized, as it was saved.
    Raises InvalidRecipe, UnknownVariant, BrokenCheckpoint, QuantizeFailed, Cancelled.
    """
    check(recipe)
    from transformers import AutoConfig

    from playground.catalog.weights import load_model, refuse_not_finite  # the catalog reads the methods' table

    report(Progress("Loading and quantizing"))
    original = AutoConfig.from_pretrained(source, trust_remote_code=False)
    config = quantization_config(recipe.scheme, str(original.dtype or "bfloat16").removeprefix("torch."))
    if recipe.ignore:
        config.llm_int8_skip_modules = list(dict.fromkeys(("lm_head", *recipe.ignore)))
    model = load_model(source, dtype="auto", quantization_config=config)
    side_files.rehearse(model)
    refuse_not_finite(model)
    if is_cancelled():
        raise Cancelled("Quantizing was stopped.")
    # Before any forward pass: the first one repacks 4-bit weights on processors with BF16 instructions.
    report(Progress("Saving"))
    model.save_pretrained(target)
    side_files.copy(source, target)
    for error in layer_errors(source, target, report, transposed=original.model_type in CONV1D):
        if is_cancelled():
            raise Cancelled("Quantizing was stopped.")
        lost(error)
    return model


def layer_errors(
    source: Path, saved: Path, report: Callable[[Progress], None], *, transposed: bool = False
) -> Iterator[LayerError]:
    """What each weight of a saved checkpoint lost, from the files of both: one weight is in memory at a time.

    `transposed`: the original keeps [inputs, outputs] (Conv1D), which bitsandbytes turns. A weight that the original's
    files call otherwise is left out. Raises BrokenCheckpoint for one that holds NaN or infinite values.
    """
    import torch
    from bitsandbytes.functional import QuantState, dequantize_4bit, int8_vectorwise_dequant

    from playground.catalog.weights import not_finite

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    before, after = _files(source), _files(saved)
    packed = [name for name in after if name in before and ({f"{name}.absmax", _scales(name)} & after.keys())]
    for number, name in enumerate(packed):
        report(Progress("Measuring what each layer lost", number, len(packed), "layers"))
        keys = [key for key in after if key == _scales(name) or key.startswith(f"{name}.")]
        parts = {key: _read(after[key], key).to(device) for key in keys}
        weight = _read(after[name], name).to(device)
        if _scales(name) in parts:
            stored = int8_vectorwise_dequant(weight, parts[_scales(name)])
        else:
            stored = dequantize_4bit(weight, QuantState.from_dict(parts, device=device))
        original = _read(before[name], name).to(device)
        error = relative_error(original.T if transposed else original, stored)
        if not math.isfinite(error):
            raise not_finite(name)
        yield LayerError(name.removesuffix(".weight"), error)


def _files(folder: Path) -> dict[str, Path]:
    """Which file of a checkpoint folder holds which tensor."""
    from safetensors import safe_open

    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            found |= dict.fromkeys(opened.keys(), file)
    return found


def _read(file: Path, name: str) -> Any:
    """One tensor. The file is opened for it alone: one that stays open keeps all that was read of it in memory."""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return opened.get_tensor(name)


def _scales(name: str) -> str:
    """Where an int8 weight keeps the scale of each row."""
    return f"{name.removesuffix('weight')}SCB"
