"""How far each layer's stored weight is from the one that went into the quantizer.

Smoothing (AWQ, SmoothQuant) and rotating (SpinQuant) change a weight without changing the model; what is measured here
is what rounding loses afterwards. Without them it is the distance to the original weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from playground.metrics.weights import LayerError, relative_error


def quantized_modules(model: Any) -> Iterator[tuple[str, Any]]:
    """Every module whose weight has a quantization scheme."""
    for name, module in model.named_modules():
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is not None and scheme.weights is not None and getattr(module, "weight", None) is not None:
            yield name, module


def rounding_errors(model: Any) -> Iterator[LayerError]:
    """For modules that still hold the weight that goes into the quantizer (all but GPTQ's)."""
    import torch
    from compressed_tensors.quantization import forward_quantize

    with torch.no_grad():
        for name, module in quantized_modules(model):
            weight = module.weight
            stored = forward_quantize(module, weight, "weight", module.quantization_scheme.weights)
            yield LayerError(name, relative_error(weight, stored))
