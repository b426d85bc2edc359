"""Table of llm-compressor's preset schemes: bits, groups, quantization of activations.

Importing compressed-tensors' presets imports torch; a test compares this table with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from playground.errors import InvalidRecipe

GROUP_SIZES = (128, 64, 32)  # tried in this order
UNQUANTIZED = ("BF16", "FP16")  # names in `keep` for layers that are not quantized

Strategy = Literal["group", "tensor_group", "channel", "tensor", "block"]
Activations = Literal["", "token", "tensor", "group", "local"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """One preset scheme.

    bits         per weight, without scales
    strategy     weights that share a scale: a group in a row, a row (channel), the tensor, a 128×128 block
    group        fixed group size; None if it can be chosen, or without groups
    symmetric    False: a zero point for each scale
    activations  quantization of inputs: "" none, "token" and "group" dynamic, "tensor" with a calibrated scale, "local"
                 with a calibrated global scale and dynamic groups
    """

    name: str
    kind: Literal["int", "float"]
    bits: int
    strategy: Strategy
    group: int | None = None
    symmetric: bool = True
    activations: Activations = ""

    @property
    def chooses_group(self) -> bool:
        return self.strategy == "group" and self.group is None

    @property
    def needs_calibration(self) -> bool:
        """Whether the scheme needs calibration data for static scales of activations, regardless of the method."""
        return self.activations in ("tensor", "local")

    @property
    def loads_in_experts(self) -> bool:
        """Whether transformers 5.17 loads the experts of a mixture in this format.

        It loads packed weights and FP8 with one scale, but no int8 weights, zero points or second scales
        (`update_weight_conversions` of its quantizer for compressed-tensors).
        """
        if self.kind == "int":
            return self.symmetric and not self.activations
        return self.name in ("MXFP4A16", "MXFP4") or (self.stored_as_weight and self.group is None)

    @property
    def stored_as_weight(self) -> bool:
        """Whether a weight is stored as `weight`, like an unquantized one, and not as `weight_packed`."""
        return self.kind == "float" and self.bits == 8

    @property
    def divides(self) -> int | None:
        """Divisor that the input dimension of every targeted layer must have; None: any dimension."""
        return 128 if self.strategy == "block" else self.group


def _integers() -> list[Scheme]:
    schemes = []
    for bits in range(2, 9):
        schemes.append(Scheme(f"W{bits}A16", "int", bits, "group"))
        if bits < 8:
            schemes.append(Scheme(f"W{bits}A8", "int", bits, "group", activations="token"))
        if bits <= 4:
            schemes.append(Scheme(f"W{bits}A4", "int", bits, "group", activations="token"))
    return schemes


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        *_integers(),
        Scheme("W4A16_ASYM", "int", 4, "group", symmetric=False),
        Scheme("W8A8", "int", 8, "channel", activations="token"),
        Scheme("W4AFP8", "int", 4, "group", activations="token"),
        Scheme("FP8", "float", 8, "tensor", activations="tensor"),
        Scheme("FP8_DYNAMIC", "float", 8, "channel", activations="token"),
        Scheme("FP8_BLOCK", "float", 8, "block", activations="group"),
        Scheme("NVFP4A16", "float", 4, "tensor_group", 16),
        Scheme("NVFP4", "float", 4, "tensor_group", 16, activations="local"),
        Scheme("MXFP4A16", "float", 4, "group", 32),
        Scheme("MXFP4", "float", 4, "group", 32, activations="group"),
        Scheme("MXFP8A16", "float", 8, "group", 32),
        Scheme("MXFP8", "float", 8, "group", 32, activations="group"),
    )
}


def scheme(name: str) -> Scheme:
    """Return the preset called `name`, in upper or lower case. Raises InvalidRecipe."""
    preset = SCHEMES.get(name.upper())
    if preset is None:
        from playground.formatting import did_you_mean

        raise InvalidRecipe(f"There is no scheme {name[:40]!r}.", hint=did_you_mean(name.upper()[:40], list(SCHEMES)))
    return preset


_SCALES = {16: "torch.float8_e4m3fn", 32: "torch.uint8"}  # dtype of a floating-point format's scales, by group size


def weight_arguments(preset: Scheme, group_size: int | None) -> dict[str, Any]:
    """Return compressed-tensors' QuantizationArgs of the weights; `group_size` is used if the scheme fixes none."""
    arguments: dict[str, Any] = {
        "num_bits": preset.bits,
        "type": preset.kind,
        "strategy": preset.strategy,
        "symmetric": preset.symmetric,
        "dynamic": False,
    }
    if preset.strategy == "block":
        arguments["block_structure"] = [128, 128]
    if size := preset.group or (group_size if preset.chooses_group else None):
        arguments["group_size"] = size
    return arguments | _scale_types(preset)


def input_arguments(preset: Scheme) -> dict[str, Any] | None:
    """Return compressed-tensors' QuantizationArgs of the inputs; None if they are not quantized."""
    if not preset.activations:
        return None
    floating = preset.kind == "float" or preset.name == "W4AFP8"
    arguments: dict[str, Any] = {
        "num_bits": preset.bits if preset.kind == "float" else 8 if floating else int(preset.name.rpartition("A")[2]),
        "type": "float" if floating else "int",
        "strategy": "tensor_group" if preset.activations == "local" else preset.activations,
        "symmetric": True,
        "dynamic": {"tensor": False, "local": "local"}.get(preset.activations, True),
    }
    if preset.needs_calibration:
        arguments["observer"] = "static_minmax"
    if preset.activations in ("group", "local"):
        arguments["group_size"] = preset.group or 128
    return arguments | _scale_types(preset)


def _scale_types(preset: Scheme) -> dict[str, str]:
    kind = _SCALES.get(preset.group or 0)
    return {"scale_dtype": kind, "zp_dtype": kind} if kind else {}
