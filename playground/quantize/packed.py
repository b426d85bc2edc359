"""The tensors that compressed-tensors 0.19 writes for a quantized checkpoint, and the bytes of the file they are in.

Exact arithmetic on names, types and shapes: no weight is read, nothing heavy is imported. One tensor more or less per
layer shows: tests hold every scheme against checkpoints that llm-compressor saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from playground.metrics.weights import Tensor

if TYPE_CHECKING:
    from playground.methods.schemes import Scheme

BLOCK = 128  # rows and columns that share a scale in FP8_BLOCK
WORD = 32  # bits of a packed integer
HEADER_ALIGNMENT = 8
FLOATS = frozenset({"BF16", "F16", "F32", "F64"})
# safetensors writes tensors by type, in the reverse of this order, then by name
_ORDER = (
    *("BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"),
    *("I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64", "I64", "U64"),
)
_RANK = {name: rank for rank, name in enumerate(_ORDER)}

Chosen = Callable[[str], "tuple[Scheme, int | None] | None"]


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor)


def layer_tensors(
    module: str, rows: int, columns: int, scheme: Scheme, group: int | None, dtype: str
) -> tuple[Tensor, ...]:
    """What takes the place of `module`.weight of [rows, columns]. `dtype` is the type of the original, and of scales.

    `group` is the number of columns that share a scale, where the scheme has groups.
    """
    group = scheme.group or group
    if scheme.strategy in ("group", "tensor_group"):
        if not group or columns % group:
            raise ValueError(f"{module} has {columns} columns, which groups of {group} do not divide")
        scale: tuple[int, ...] = (rows, columns // group)
    elif scheme.strategy == "channel":
        scale = (rows, 1)
    elif scheme.strategy == "block":
        scale = (_ceil(rows, BLOCK), _ceil(columns, BLOCK))
    else:
        scale = (1,)
    if scheme.kind == "int":
        found = _integers(rows, columns, scale, scheme, dtype)
    elif scheme.bits == 4:
        found = [("weight_packed", "U8", (rows, columns // 2))]
        if scheme.strategy == "tensor_group":
            found += [("weight_scale", "F8_E4M3", scale), ("weight_global_scale", "F32", (1,))]
        else:
            found.append(("weight_scale", "U8", scale))
    else:
        microscaled = scheme.strategy == "group" and scheme.group == 32
        found = [("weight", "F8_E4M3", (rows, columns)), ("weight_scale", "U8" if microscaled else dtype, scale)]
    if scheme.activations == "local":
        found.append(("input_global_scale", "F32", (1,)))
    elif scheme.activations == "tensor":
        found.append(("input_scale", dtype, (1,)))
    return tuple(Tensor(f"{module}.{name}", kind, shape) for name, kind, shape in found)


def _integers(
    rows: int, columns: int, scale: tuple[int, ...], scheme: Scheme, dtype: str
) -> list[tuple[str, str, tuple[int, ...]]]:
    if scheme.activations:
        # With quantized inputs compressed-tensors packs nothing: W4A8 takes the bytes of W8A8.
        return [("weight", "I8", (rows, columns)), ("weight_scale", dtype, scale)]
    found = [
        ("weight_packed", "I32", (rows, _ceil(columns * scheme.bits, WORD))),
        ("weight_scale", dtype, scale),
        ("weight_shape", "I64", (2,)),
    ]
    if not scheme.symmetric:
        found.append(("weight_zero_point", "I32", (_ceil(rows * scheme.bits, WORD), scale[-1])))
    return found


def quantized_tensors(
    tensors: Iterable[Tensor], chosen: Chosen, dtype: str, *, tied: bool, kv_cache: bool = False
) -> list[Tensor]:
    """The tensors of the checkpoint after quantizing.

    chosen    scheme and group size of a module, None for what stays as it is
    dtype     safetensors name of the type the model is loaded in
    tied      the output head is the input embedding and is stored once
    kv_cache  a scale for the keys and one for the values of every attention layer
    """
    found: list[Tensor] = []
    attentions: dict[str, None] = {}
    for tensor in tensors:
        module, _, leaf = tensor.name.rpartition(".")
        if tied and tensor.name == "lm_head.weight":
            continue
        if module.endswith((".k_proj", ".qkv_proj")) and leaf == "weight":
            attentions[module.rpartition(".")[0]] = None
        name = module if leaf == "weight" else tensor.name
        choice = chosen(name) if len(tensor.shape) in (2, 3) else None
        if choice is None:
            found.append(Tensor(tensor.name, dtype if tensor.dtype in FLOATS else tensor.dtype, tensor.shape))
            continue
        *copies, rows, columns = tensor.shape
        # fused experts are taken apart: one linear layer each
        names = [f"{name}.{copy}" for copy in range(copies[0])] if copies else [name]
        for one in names:
            found += layer_tensors(one, rows, columns, *choice, dtype)
    if kv_cache:
        found += [Tensor(f"{name}.{part}_scale", dtype, (1,)) for name in attentions for part in "kv"]
    return found


def header_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes before the first weight of one .safetensors file: 8 for the length, and the JSON, padded to a multiple."""
    table: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for tensor in sorted(tensors, key=lambda one: (-_RANK[one.dtype], one.name)):
        end = position + tensor.bytes
        table[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    length = len(json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + _ceil(length, HEADER_ALIGNMENT) * HEADER_ALIGNMENT


def file_bytes(tensors: Iterable[Tensor]) -> int:
    """The whole .safetensors file; several shards are some kilobytes more."""
    held = list(tensors)
    return header_bytes(held) + sum(tensor.bytes for tensor in held)
