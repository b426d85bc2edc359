"""Find out from a loaded model's modules which kernels multiply its weights: as a keyword and as a sentence."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from playground.core import Weights

_COUNTED = ("Linear", "linear", "Conv1D", "Experts")
_FOUR_BIT = ("Linear4bit", "LinearFP4", "LinearNF4")


def weights(model: Any, quantized: bool) -> Weights:
    """Return how the weights are held in memory: a value of `core.Weights`. Call it after a forward pass.

    quantized  whether the checkpoint stores them in a quantized format
    """
    modules = [module for module in model.modules() if any(name in type(module).__name__ for name in _COUNTED)]
    kinds = {type(module).__name__ for module in modules}
    four_bit = [module for module in modules if type(module).__name__ in _FOUR_BIT]
    if four_bit:
        return "packed" if all(_multiplied_packed(module) for module in four_bit) else "unpacked"
    if "Linear8bitLt" in kinds:
        return "packed"
    schemes = [scheme for module in modules if (scheme := getattr(module, "quantization_scheme", None)) is not None]
    if schemes:
        imitated = any(getattr(scheme, "input_activations", None) is not None for scheme in schemes)
        return "emulated" if imitated else "unpacked"
    if not quantized:
        return "packed"
    others = kinds - {"Linear", "Conv1D"}
    if "FP8Linear" in others and model.device.type == "cuda":
        return "packed"
    return "" if others else "unpacked"


def _multiplied_packed(module: Any) -> bool:
    """Return whether bitsandbytes multiplies these 4-bit weights directly; else it unpacks them for each product."""
    state = getattr(module.weight, "quant_state", None)
    return module.weight.device.type != "cpu" or bool(getattr(state, "packing_format_for_cpu", False))


def kernel(model: Any) -> str:
    """Return a sentence on the matrix products of `model`. Call it after a forward pass, which selects some kernels."""
    modules = [module for module in model.modules() if any(name in type(module).__name__ for name in _COUNTED)]
    kinds = Counter(type(module).__name__ for module in modules)
    if not kinds:
        return ""
    four_bit = next((m for m in modules if type(m).__name__ in _FOUR_BIT), None)
    if four_bit is not None:
        return _four_bit(four_bit)
    if "Linear8bitLt" in kinds:
        return _int8(model.device)
    if (text := _compressed(modules)) is not None:
        return text
    quantized = {name: count for name, count in kinds.items() if name not in ("Linear", "Conv1D")}
    if quantized:
        names = ", ".join(sorted(quantized))
        return f"the quantized layers run as {names} of transformers' integration."
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return f"plain {dtype} matrix products; every token reads all the weights at full width."


def _four_bit(module: Any) -> str:
    if module.weight.device.type == "cpu":
        if _multiplied_packed(module):
            return (
                "bitsandbytes multiplies the 4-bit weights directly, by an AVX512-BF16 kernel; on small layers its "
                "unpacking and the calls around it can cost more time than the saved memory traffic gains."
            )
        return (
            "bitsandbytes has no 4-bit kernel for this processor: it unpacks every weight matrix to floating point "
            "before each product, which costs more than it saves."
        )
    return (
        "bitsandbytes unpacks the 4-bit weights inside its kernel; below a layer width of about 4096 that costs more "
        "than the saved memory traffic gains."
    )


def _int8(device: torch.device) -> str:
    if device.type == "cpu":
        return (
            "LLM.int8() quantizes the activations anew for every product, multiplies in integers, and scales back; "
            "at one token at a time these extra passes cost more than the smaller weights save."
        )
    return (
        "LLM.int8() splits every product into integer rows and wide outlier columns; at batch 1 the extra kernels "
        "cost more than the smaller weights save."
    )


def _compressed(modules: list[Any]) -> str | None:
    schemes = [module for module in modules if getattr(module, "quantization_scheme", None) is not None]
    if not schemes:
        return None
    status = str(getattr(schemes[0], "quantization_status", "")).lower()
    if "compressed" in status and "de" not in status.rsplit(".", 1)[-1][:2]:
        return "compressed-tensors keeps the weights packed and unpacks them inside every product."
    return (
        "transformers unpacked these weights to full width, and simulates the quantization: right for quality, "
        "no gain in speed or memory. An engine with kernels for this format is where its speed shows."
    )
