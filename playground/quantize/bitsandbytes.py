"""Save what loading with bitsandbytes gives, and measure what each weight lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from playground.core import Progress
from playground.errors import Cancelled
from playground.methods.bitsandbytes import check, quantization_config
from playground.methods.recipe import Recipe
from playground.metrics.weights import LayerError, relative_error
from playground.quantize import compressor
from playground.quantize.recipes import CONV1D


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

    from playground.models.load import load_model, refuse_not_finite

    report(Progress("Loading and quantizing"))
    original = AutoConfig.from_pretrained(source, trust_remote_code=False)
    config = quantization_config(recipe.scheme, str(original.dtype or "bfloat16").removeprefix("torch."))
    if recipe.ignore:
        config.llm_int8_skip_modules = list(dict.fromkeys(("lm_head", *recipe.ignore)))
    model = load_model(source, dtype="auto", quantization_config=config)
    compressor.rehearse(model)
    refuse_not_finite(model)
    if is_cancelled():
        raise Cancelled("Quantizing was stopped.")
    # Before any forward pass: the first one repacks 4-bit weights on processors with BF16 instructions.
    report(Progress("Saving"))
    model.save_pretrained(target)
    compressor.copy(source, target)
    for error in layer_errors(source, target, report, transposed=original.model_type in CONV1D):
        if is_cancelled():
            raise Cancelled("Quantizing was stopped.")
        lost(error)
    return model


def notes(folder: Path, recipe: Recipe) -> tuple[str, ...]:  # noqa: ARG001 the same call for every method
    """Nothing: the files hold what the scheme says."""
    return ()


def layer_errors(
    source: Path, saved: Path, report: Callable[[Progress], None], *, transposed: bool = False
) -> Iterator[LayerError]:
    """What each weight of a saved checkpoint lost, from the files of both: one weight is in memory at a time.

    `transposed`: the original keeps [inputs, outputs] (Conv1D), which bitsandbytes turns. A weight that the original's
    files call otherwise is left out. Raises BrokenCheckpoint for one that holds NaN or infinite values.
    """
    import torch
    from bitsandbytes.functional import QuantState, dequantize_4bit, int8_vectorwise_dequant

    from playground.models.load import not_finite

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
