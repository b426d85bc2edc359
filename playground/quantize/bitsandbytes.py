"""Save a model quantized by bitsandbytes, and measure the error of each weight."""

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
    """Quantize the checkpoint `source` while loading it, save it to `target`, and return the model.

    `recipe.ignore` names modules that are not quantized, beside the output head. `tokens` are not used: no calibration.
    `lost` is called with the error of every quantized weight, measured from the saved files.
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
    # Save before any forward pass: the first one repacks 4-bit weights on processors with BF16 instructions.
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
    """Yield the error of each quantized weight of `saved` against `source`; one weight is in memory at a time.

    `transposed`: the original stores [inputs, outputs] (Conv1D), which bitsandbytes transposes. Weights with another
    name in the original's files are skipped. Raises BrokenCheckpoint for NaN and infinite values.
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
    """Return the file of each tensor of a checkpoint folder."""
    from safetensors import safe_open

    files: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            files |= dict.fromkeys(opened.keys(), file)
    return files


def _read(file: Path, name: str) -> Any:
    """Return one tensor. The file is opened for each: an open one keeps everything that was read in memory."""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return opened.get_tensor(name)


def _scales(name: str) -> str:
    """Return the name of the tensor with an int8 weight's row scales."""
    return f"{name.removesuffix('weight')}SCB"
