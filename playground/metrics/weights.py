"""What a checkpoint weighs: logical parameters, bytes, and the MBU they imply.

Pure arithmetic on the names, types and shapes that `metrics.headers` reads; nothing heavy is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from playground.metrics.headers import (
    MAX_HEADER,
    Tensor,
    header_length,
    merge_shards,
    parse_index,
    parse_safetensors_header,
    read_safetensors_header,
    read_tensors,
)

if TYPE_CHECKING:
    from playground.methods import OnLoad

__all__ = [
    "MAX_HEADER",
    "Tensor",
    "header_length",
    "is_linear_weight",
    "mbu",
    "merge_shards",
    "on_load_bytes",
    "parameters",
    "parse_index",
    "parse_safetensors_header",
    "read_safetensors_header",
    "read_tensors",
    "size_bytes",
    "weight_bits",
]

TORCH_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
FLOATS = frozenset({"BF16", "F16", "F32", "F64"})

_AUXILIARY = re.compile(
    r"(^|[._])("
    r"weight_scale|weight_zero_point|weight_g_idx|weight_shape|weight_global_scale|weight_scale_inv|weight_scale_2"
    r"|(input|output|q|k|v)_(scale|zero_point|global_scale)"
    r"|activation_scale|qzeros|scales|g_idx|zeros|scale_inv"
    r"|absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+|SCB|weight_format"
    r")$|_scales$"
)
_NOT_LINEAR = re.compile(r"(^|[._])(embed\w*|\w*embeddings?|wte|wpe|token_embd|lm_head|experts)([._]|$)|^output\.")
_QUANT_STATE = ".quant_state."


def size_bytes(tensors: Iterable[Tensor]) -> int:
    """All tensors of the checkpoint, in bytes: weights, scales, zero points, everything an engine has to hold."""
    return sum(tensor.bytes for tensor in tensors)


def parameters(tensors: Sequence[Tensor], quantization_config: Mapping[str, Any] | None = None) -> int:
    """Logical parameters: packed values count unpacked; scales, zero points and codebooks do not count."""
    names = {tensor.name: tensor for tensor in tensors}
    quantized = quantization_config or {}
    four_bit = {tensor.name.split(_QUANT_STATE)[0] for tensor in tensors if _QUANT_STATE in tensor.name}
    return sum(_logical(tensor, names, quantized, four_bit) for tensor in tensors)


def _logical(
    tensor: Tensor, names: Mapping[str, Tensor], quantized: Mapping[str, Any], four_bit: frozenset[str] | set[str]
) -> int:
    name = tensor.name
    if not quantized:
        return tensor.numel
    if name in four_bit:
        return 2 * tensor.bytes
    module, _, leaf = name.rpartition(".")
    if leaf == "weight_packed":
        if tensor.dtype != "I32":
            return 2 * tensor.numel
        bits = weight_bits(quantized, module)
        words = tensor.shape[-1] if tensor.shape else 1
        rows, columns = tensor.numel // max(words, 1), words * 32 // bits
        scale, group = names.get(f"{module}.weight_scale"), _group(quantized, module)
        if group and scale is not None and scale.shape:
            exact = scale.shape[-1] * group
            # compressed-tensors packs densely now; earlier versions kept whole values in a word
            if words in (-(-exact * bits // 32), -(-exact // (32 // bits))):
                columns = exact
        return rows * columns
    if leaf == "qweight":
        return tensor.numel * 32 // weight_bits(quantized, module)
    if leaf.endswith("_blocks"):
        return 2 * tensor.numel
    return 0 if _AUXILIARY.search(name) else tensor.numel


def _groups(quantized: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    groups = quantized.get("config_groups")
    found = groups.values() if isinstance(groups, dict) else []
    return [group for group in found if isinstance(group, dict) and isinstance(group.get("weights"), dict)]


def _group_of(quantized: Mapping[str, Any], module: str) -> Mapping[str, Any]:
    """The compressed-tensors group that holds `module`: by name or pattern first, else the one for a whole class."""
    groups = _groups(quantized)
    for group in groups:
        for target in group.get("targets") or ():
            pattern = str(target).removeprefix("re:")
            try:
                named = re.match(pattern, module) if str(target).startswith("re:") else module == target
            except re.error:
                named = None
            if named:
                return group
    return next((group for group in groups if "Linear" in (group.get("targets") or ())), groups[0] if groups else {})


def weight_bits(quantized: Mapping[str, Any], module: str = "") -> int:
    """Bits per packed value of `module` (4 where a config does not say)."""
    raw = (_group_of(quantized, module).get("weights") or {}).get("num_bits") or quantized.get("bits")
    raw = raw or quantized.get("w_bit")
    return raw if isinstance(raw, int) and 1 <= raw <= 16 else 4


def _group(quantized: Mapping[str, Any], module: str) -> int | None:
    raw = (_group_of(quantized, module).get("weights") or {}).get("group_size")
    return raw if isinstance(raw, int) and raw > 0 else None


def is_linear_weight(tensor: Tensor) -> bool:
    """Whether bitsandbytes would quantize it: a 2-D `.weight` that is no embedding, output head or fused expert.

    transformers skips the output embedding, everything tied to it and the last module, and it keeps the experts of a
    mixture in one 3-D parameter, which is not a linear layer.
    """
    return tensor.name.endswith(".weight") and len(tensor.shape) == 2 and not _NOT_LINEAR.search(tensor.name)


def on_load_bytes(tensors: Sequence[Tensor], entry: OnLoad, dtype: str, *, tied: bool = False) -> int:
    """Bytes that the variant `entry` would have if it were saved. `dtype` is the torch name of the compute type.

    `tied`: the output head is the input embedding and is stored once.
    """
    wide = TORCH_BYTES[entry.dtype or dtype]
    total = 0
    for tensor in tensors:
        if tied and tensor.name == "lm_head.weight":
            continue
        if tensor.dtype not in FLOATS:
            total += tensor.bytes
        elif entry.stored_bytes is None or not is_linear_weight(tensor):
            total += tensor.numel * wide
        elif entry.scheme == "int8":
            total += entry.stored_bytes(tensor.numel) + 4 * tensor.shape[0] + 1
        else:
            total += entry.stored_bytes(tensor.numel)
    return total


def mbu(
    weight_bytes_streamed: float, kv_bytes_per_token: float, mean_context: float, tok_s: float, bandwidth: float
) -> float:
    """Model bandwidth utilisation: bytes that decoding reads per second over the measured bandwidth (bytes/s).

    https://www.databricks.com/blog/llm-inference-performance-engineering-best-practices
    """
    if bandwidth <= 0:
        raise ValueError("bandwidth must be positive")
    return (weight_bytes_streamed + kv_bytes_per_token * mean_context) * tok_s / bandwidth
