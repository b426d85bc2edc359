"""How far each layer's stored weight is from the one that went into the quantizer.

Smoothing (AWQ, SmoothQuant) and rotating (SpinQuant) change a weight without changing the model; what is measured here
is what rounding loses afterwards. Without them it is the distance to the original weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LayerError:
    """relative_error: ‖stored - original‖ / ‖original‖ in the Frobenius norm. snr_db: the same as decibels."""

    name: str
    relative_error: float

    @property
    def snr_db(self) -> float | None:
        """None where nothing was lost."""
        return -20 * math.log10(self.relative_error) if self.relative_error > 0 else None

    def as_row(self) -> dict[str, Any]:
        snr = self.snr_db
        return {
            "name": self.name,
            "relative_error": float(f"{self.relative_error:.6g}"),
            "snr_db": None if snr is None else round(snr, 2),
        }


def relative_error(original: Any, stored: Any) -> float:
    """Of two tensors of one shape; 0 for two zero tensors."""
    wide = original.float()
    norm = float(wide.norm())
    lost = float((stored.float() - wide).norm())
    return lost / norm if norm else lost


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
