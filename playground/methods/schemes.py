"""The number formats that llm-compressor knows by name, as plain data: bits, groups, what is quantized besides weights.

compressed-tensors' own presets live behind an import of torch; a test holds this table against them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from playground.errors import InvalidRecipe

GROUP_SIZES = (128, 64, 32)  # tried in this order: fewer scales first
UNQUANTIZED = ("BF16", "FP16")  # what `keep` may name for layers that stay as they are

Strategy = Literal["group", "tensor_group", "channel", "tensor", "block"]
Activations = Literal["", "token", "tensor", "group", "local"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """One preset.

    bits         per weight, without scales
    strategy     which weights share a scale: a group of a row, a whole row (channel), the tensor, a 128×128 block
    group        fixed size of a group; None where it is chosen, or where there is no group
    symmetric    False: a zero point for each scale
    activations  how inputs are quantized: "" not at all, "token" and "group" while running, "tensor" with a scale from
                 calibration, "local" with a calibrated global scale and groups while running
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
        """Whether the scheme alone, whatever the method, needs data: for scales of activations fixed beforehand."""
        return self.activations in ("tensor", "local")

    @property
    def loads_in_experts(self) -> bool:
        """Whether transformers 5.17 reads the experts of a mixture in this format.

        It finds packed weights and FP8 with one scale; int8 weights, zero points and second scales it does not find
        (`update_weight_conversions` of its quantizer for compressed-tensors).
        """
        if self.kind == "int":
            return self.symmetric and not self.activations
        return self.name in ("MXFP4A16", "MXFP4") or (self.stored_as_weight and self.group is None)

    @property
    def stored_as_weight(self) -> bool:
        """Whether a weight is stored as `weight`, like one that is not quantized; the others are `weight_packed`."""
        return self.kind == "float" and self.bits == 8

    @property
    def divides(self) -> int | None:
        """Every targeted layer's input dimension must be a multiple of this; None: of anything."""
        return 128 if self.strategy == "block" else self.group


def _integers() -> list[Scheme]:
    found = []
    for bits in range(2, 9):
        found.append(Scheme(f"W{bits}A16", "int", bits, "group"))
        if bits < 8:
            found.append(Scheme(f"W{bits}A8", "int", bits, "group", activations="token"))
        if bits <= 4:
            found.append(Scheme(f"W{bits}A4", "int", bits, "group", activations="token"))
    return found


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
    """The preset called `name`, in any case. Raises InvalidRecipe."""
    found = SCHEMES.get(name.upper())
    if found is None:
        from playground.formatting import did_you_mean

        raise InvalidRecipe(f"There is no scheme {name[:40]!r}.", hint=did_you_mean(name.upper()[:40], list(SCHEMES)))
    return found


_SCALES = {16: "torch.float8_e4m3fn", 32: "torch.uint8"}  # type of a floating format's scales, by its group


def weight_arguments(found: Scheme, group_size: int | None) -> dict[str, Any]:
    """compressed-tensors' QuantizationArgs of the weights; `group_size` counts where the scheme lets it be chosen."""
    arguments: dict[str, Any] = {
        "num_bits": found.bits,
        "type": found.kind,
        "strategy": found.strategy,
        "symmetric": found.symmetric,
        "dynamic": False,
    }
    if found.strategy == "block":
        arguments["block_structure"] = [128, 128]
    if size := found.group or (group_size if found.chooses_group else None):
        arguments["group_size"] = size
    return arguments | _scale_types(found)


def input_arguments(found: Scheme) -> dict[str, Any] | None:
    """compressed-tensors' QuantizationArgs of the inputs; None: they are not quantized."""
    if not found.activations:
        return None
    floating = found.kind == "float" or found.name == "W4AFP8"
    arguments: dict[str, Any] = {
        "num_bits": found.bits if found.kind == "float" else 8 if floating else int(found.name.rpartition("A")[2]),
        "type": "float" if floating else "int",
        "strategy": "tensor_group" if found.activations == "local" else found.activations,
        "symmetric": True,
        "dynamic": {"tensor": False, "local": "local"}.get(found.activations, True),
    }
    if found.needs_calibration:
        arguments["observer"] = "static_minmax"
    if found.activations in ("group", "local"):
        arguments["group_size"] = found.group or 128
    return arguments | _scale_types(found)


def _scale_types(found: Scheme) -> dict[str, str]:
    kind = _SCALES.get(found.group or 0)
    return {"scale_dtype": kind, "zp_dtype": kind} if kind else {}
