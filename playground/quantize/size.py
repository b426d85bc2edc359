"""Predict the size of a variant from the names and shapes of the original's tensors; no weight is read.

For compressed-tensors 0.19 every tensor of the quantized checkpoint and the size of its file are exact; tests compare
every scheme with checkpoints that llm-compressor saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from playground.errors import InvalidRecipe
from playground.methods import bitsandbytes, method, on_load
from playground.methods import gguf as methods_gguf
from playground.methods.recipe import Recipe
from playground.methods.schemes import SCHEMES, UNQUANTIZED, Scheme
from playground.metrics import weights
from playground.metrics.weights import Tensor
from playground.models.checkpoint import Checkpoint
from playground.quantize import gguf as quantize_gguf
from playground.quantize import recipes

if TYPE_CHECKING:
    from playground.methods.schemes import Scheme

SAFETENSORS = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
GGUF_VOCABULARY = 40  # bytes per vocabulary token in the metadata of a GGUF file, merges included
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


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of the tensors and of the weight files with their headers, and whether they are exact."""

    tensors: int
    files: int
    exact: bool
    note: str = ""


QuantizedLayers = list[tuple[recipes.Layer, Scheme, int | None]]


def quantized_layers(checkpoint: Checkpoint, recipe: Recipe) -> QuantizedLayers:
    """Return the layers that a completed recipe quantizes, each with its scheme and group size."""
    layers: QuantizedLayers = []
    for layer in recipes.linear_layers(checkpoint.tensors):
        if any(recipes.matches(layer.name, pattern) for pattern in recipe.ignore):
            continue
        names = [scheme_name.upper() for pattern, scheme_name in recipe.keep if recipes.matches(layer.name, pattern)]
        if set(names) & set(UNQUANTIZED):
            continue
        scheme = SCHEMES[names[0] if names else recipe.scheme]
        layers.append((layer, scheme, recipe.group_size if scheme.chooses_group else scheme.group))
    return layers


def size(checkpoint: Checkpoint, recipe: Recipe) -> Size:
    """Return the size of the variant that a completed recipe makes. Raises UnknownVariant, InvalidRecipe."""
    if recipe.method == "gguf":
        return _gguf(checkpoint, recipe)
    if recipe.scheme in SCHEMES:
        return _compressed_tensors(checkpoint, recipe)
    _, entry = on_load(recipe.scheme)
    ignored = _ignored_weights(checkpoint, recipe)
    rest = [tensor for tensor in checkpoint.tensors if tensor not in ignored]
    count = weights.on_load_bytes(rest, entry, checkpoint.form.dtype, tied=checkpoint.tied)
    count += sum(tensor.numel * weights.TORCH_BYTES[checkpoint.form.dtype] for tensor in ignored)
    return Size(count, count, exact=not entry.quantizes, note="within 0.1% of what bitsandbytes saves")


def _ignored_weights(checkpoint: Checkpoint, recipe: Recipe) -> list[Tensor]:
    """Return the linear weights that the recipe excludes. Raises InvalidRecipe for a name that matches no layer."""
    ignored = []
    for name in recipe.ignore:
        matches = [t for t in checkpoint.tensors if bitsandbytes.stays(t.name.removesuffix(".weight"), [name])]
        ignored += [tensor for tensor in matches if tensor not in ignored and weights.is_linear_weight(tensor)]
        if not matches and name != recipes.HEAD:
            raise InvalidRecipe(f"No layer matches {name[:80]!r}.", hint="Give a name like model.layers.0.mlp")
    return ignored


def _compressed_tensors(checkpoint: Checkpoint, recipe: Recipe) -> Size:
    chosen = {layer.name: (scheme, group) for layer, scheme, group in quantized_layers(checkpoint, recipe)}
    dtype = SAFETENSORS[checkpoint.form.dtype]
    unties = recipe.method == "spinquant"  # the rotated head is no longer the embedding
    tensors = quantized_tensors(
        checkpoint.tensors, chosen.get, dtype, tied=checkpoint.tied and not unties, kv_cache=bool(recipe.kv_cache)
    )
    if unties and not any(tensor.name == "lm_head.weight" for tensor in tensors):
        embedding = next((tensor for tensor in checkpoint.tensors if tensor.name.endswith("embed_tokens.weight")), None)
        if embedding is not None:
            tensors.append(Tensor("lm_head.weight", dtype, embedding.shape))
    fused = any(len(tensor.shape) == 3 for tensor in checkpoint.tensors)
    ours = "llmcompressor" in method(recipe.method).requires
    note = "fused experts are saved one by one, with names that are not known beforehand" if fused else ""
    return Size(weights.size_bytes(tensors), file_bytes(tensors), exact=ours and not fused, note=note)


def _gguf(checkpoint: Checkpoint, recipe: Recipe) -> Size:
    """Return the size of the GGUF file; norms and biases are FP32 in it."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    config = checkpoint.config
    tensors = [tensor for tensor in checkpoint.tensors if not (checkpoint.tied and tensor.name == "lm_head.weight")]
    names, all_named = _gguf_names(config.get("model_type"), int(config.get("num_hidden_layers") or 0), tensors)
    shape = quantize_gguf.Shape(
        architecture=str(config.get("model_type", "")),
        layers=int(config.get("num_hidden_layers") or 0),
        heads=int(config.get("num_attention_heads") or 0),
        kv_heads=int(config.get("num_key_value_heads") or config.get("num_attention_heads") or 0),
        experts=int(config.get("num_local_experts") or config.get("num_experts") or 0),
        tied=checkpoint.tied,
    )
    matrices = {
        name: tensor.shape[-1]
        for name, tensor in zip(names, tensors, strict=True)
        if quantize_gguf.quantizable(name, len(tensor.shape))
    }
    kinds = dict.fromkeys(matrices, recipe.scheme)
    if recipe.scheme in methods_gguf.BASE:
        choices = quantize_gguf.choose(recipe.scheme, shape, list(matrices.items()))
        kinds = {name: choice.kind for name, choice in choices.items()}
    for pattern, kind in recipe.keep if all_named else ():
        kinds |= {name: quantize_gguf.fits(kind, matrices[name]) for name in quantize_gguf.matching(pattern, matrices)}
    for pattern in recipe.ignore if all_named else ():
        kinds |= dict.fromkeys(quantize_gguf.matching(pattern, matrices), SAFETENSORS[checkpoint.form.dtype])
    total = 0
    for name, tensor in zip(names, tensors, strict=True):
        block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kinds.get(name, "F32")]]
        total += tensor.numel // block * block_bytes
    mixture = recipe.scheme.endswith(("_M", "_S", "_K"))
    note = "the mixture of block types follows llama.cpp's rules" if mixture else ""
    metadata = GGUF_VOCABULARY * int(config.get("vocab_size") or 0)
    return Size(total, total + metadata, exact=all_named and not mixture, note=note)


def _gguf_names(family: object, count: int, tensors: list[Tensor]) -> tuple[list[str], bool]:
    """Return llama.cpp's names of the tensors, and whether every tensor has one."""
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map

    architecture = next((arch for arch, name in MODEL_ARCH_NAMES.items() if name == family), MODEL_ARCH.LLAMA)
    table = get_tensor_name_map(architecture, count)
    names = [table.get_name(tensor.name, try_suffixes=(".weight", ".bias")) for tensor in tensors]
    return [name or tensor.name for name, tensor in zip(names, tensors, strict=True)], all(names)


# Tensors and file sizes of compressed-tensors.


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor)


def layer_tensors(
    module: str, rows: int, columns: int, scheme: Scheme, group: int | None, dtype: str
) -> tuple[Tensor, ...]:
    """Return the tensors that replace `module`.weight of [rows, columns].

    group  columns that share a scale, for schemes with groups
    dtype  type of the original, and of scales

    Raises ValueError if the groups do not divide the columns.
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
        parts = _integers(rows, columns, scale, scheme, dtype)
    elif scheme.bits == 4:
        parts = [("weight_packed", "U8", (rows, columns // 2))]
        if scheme.strategy == "tensor_group":
            parts += [("weight_scale", "F8_E4M3", scale), ("weight_global_scale", "F32", (1,))]
        else:
            parts.append(("weight_scale", "U8", scale))
    else:
        microscaled = scheme.strategy == "group" and scheme.group == 32
        parts = [("weight", "F8_E4M3", (rows, columns)), ("weight_scale", "U8" if microscaled else dtype, scale)]
    if scheme.activations == "local":
        parts.append(("input_global_scale", "F32", (1,)))
    elif scheme.activations == "tensor":
        parts.append(("input_scale", dtype, (1,)))
    return tuple(Tensor(f"{module}.{name}", kind, shape) for name, kind, shape in parts)


def _integers(
    rows: int, columns: int, scale: tuple[int, ...], scheme: Scheme, dtype: str
) -> list[tuple[str, str, tuple[int, ...]]]:
    if scheme.activations:
        # With quantized inputs compressed-tensors packs nothing: W4A8 takes the bytes of W8A8.
        return [("weight", "I8", (rows, columns)), ("weight_scale", dtype, scale)]
    parts = [
        ("weight_packed", "I32", (rows, _ceil(columns * scheme.bits, WORD))),
        ("weight_scale", dtype, scale),
        ("weight_shape", "I64", (2,)),
    ]
    if not scheme.symmetric:
        parts.append(("weight_zero_point", "I32", (_ceil(rows * scheme.bits, WORD), scale[-1])))
    return parts


def quantized_tensors(
    tensors: Iterable[Tensor], chosen: Chosen, dtype: str, *, tied: bool, kv_cache: bool = False
) -> list[Tensor]:
    """Return the tensors of the quantized checkpoint.

    chosen    returns scheme and group size of a module, None for one that is not quantized
    dtype     safetensors name of the type the model is loaded in
    tied      the output head is the input embedding and is stored once
    kv_cache  whether attention layers have a scale for keys and one for values
    """
    quantized: list[Tensor] = []
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
            quantized.append(Tensor(tensor.name, dtype if tensor.dtype in FLOATS else tensor.dtype, tensor.shape))
            continue
        *copies, rows, columns = tensor.shape
        # fused experts are saved as one linear layer each
        names = [f"{name}.{copy}" for copy in range(copies[0])] if copies else [name]
        for copy_name in names:
            quantized += layer_tensors(copy_name, rows, columns, *choice, dtype)
    if kv_cache:
        quantized += [Tensor(f"{name}.{part}_scale", dtype, (1,)) for name in attentions for part in "kv"]
    return quantized


def header_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes before the first weight of a .safetensors file: 8 for the length, and the padded JSON."""
    table: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for tensor in sorted(tensors, key=lambda tensor: (-_RANK[tensor.dtype], tensor.name)):
        end = position + tensor.bytes
        table[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    length = len(json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + _ceil(length, HEADER_ALIGNMENT) * HEADER_ALIGNMENT


def file_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the size of a .safetensors file; several shards take some kilobytes more."""
    tensors = list(tensors)
    return header_bytes(tensors) + sum(tensor.bytes for tensor in tensors)
