"""What a variant will weigh, from the names and shapes of the original's tensors: no weight is read, nothing is run."""

from __future__ import annotations

from dataclasses import dataclass

from playground.errors import InvalidRecipe
from playground.methods import bitsandbytes, method, on_load
from playground.methods import gguf as methods_gguf
from playground.methods.recipe import Recipe
from playground.methods.schemes import SCHEMES, UNQUANTIZED, Scheme
from playground.metrics import weights
from playground.metrics.weights import Tensor
from playground.models.checkpoint import Checkpoint
from playground.quantize import gguf as quantize_gguf
from playground.quantize import gguf_types, layers, packed

SAFETENSORS = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
GGUF_VOCABULARY = 40  # bytes a token of the vocabulary takes in the metadata of a GGUF file, merges included


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of the tensors, of the weight files with their headers, and whether they are exact or an approximation."""

    tensors: int
    files: int
    exact: bool
    note: str = ""


Assigned = list[tuple[layers.Layer, Scheme, int | None]]


def assigned(checkpoint: Checkpoint, recipe: Recipe) -> Assigned:
    """The layers that a completed recipe quantizes, each with its scheme and group size."""
    found: Assigned = []
    for layer in layers.linear_layers(checkpoint.tensors):
        if any(layers.matches(layer.name, pattern) for pattern in recipe.ignore):
            continue
        named = [kept.upper() for pattern, kept in recipe.keep if layers.matches(layer.name, pattern)]
        if set(named) & set(UNQUANTIZED):
            continue
        scheme = SCHEMES[named[0] if named else recipe.scheme]
        found.append((layer, scheme, recipe.group_size if scheme.chooses_group else scheme.group))
    return found


def size(checkpoint: Checkpoint, recipe: Recipe) -> Size:
    """Bytes of what a completed recipe makes of the checkpoint. Raises UnknownVariant, InvalidRecipe."""
    if recipe.method == "gguf":
        return _gguf(checkpoint, recipe)
    if recipe.scheme in SCHEMES:
        return _compressed_tensors(checkpoint, recipe)
    _, entry = on_load(recipe.scheme)
    kept = _left_out(checkpoint, recipe)
    rest = [tensor for tensor in checkpoint.tensors if tensor not in kept]
    count = weights.on_load_bytes(rest, entry, checkpoint.form.dtype, tied=checkpoint.tied)
    count += sum(tensor.numel * weights.TORCH_BYTES[checkpoint.form.dtype] for tensor in kept)
    return Size(count, count, exact=not entry.quantizes, note="within 0.1 % of what bitsandbytes saves")


def _left_out(checkpoint: Checkpoint, recipe: Recipe) -> list[Tensor]:
    """The weights that bitsandbytes would quantize, were they not ignored. Raises InvalidRecipe."""
    found = []
    for name in recipe.ignore:
        of = [t for t in checkpoint.tensors if bitsandbytes.stays(t.name.removesuffix(".weight"), [name])]
        found += [tensor for tensor in of if tensor not in found and weights.is_linear_weight(tensor)]
        if not of and name != layers.HEAD:
            raise InvalidRecipe(f"No layer matches {name[:80]!r}.", hint="Give a name like model.layers.0.mlp")
    return found


def _compressed_tensors(checkpoint: Checkpoint, recipe: Recipe) -> Size:
    chosen = {layer.name: (scheme, group) for layer, scheme, group in assigned(checkpoint, recipe)}
    dtype = SAFETENSORS[checkpoint.form.dtype]
    unties = recipe.method == "spinquant"  # the rotated head is no longer the embedding
    found = packed.quantized_tensors(
        checkpoint.tensors, chosen.get, dtype, tied=checkpoint.tied and not unties, kv_cache=bool(recipe.kv_cache)
    )
    if unties and not any(tensor.name == "lm_head.weight" for tensor in found):
        embedding = next((one for one in checkpoint.tensors if one.name.endswith("embed_tokens.weight")), None)
        if embedding is not None:
            found.append(Tensor("lm_head.weight", dtype, embedding.shape))
    fused = any(len(tensor.shape) == 3 for tensor in checkpoint.tensors)
    ours = "llmcompressor" in method(recipe.method).requires
    note = "fused experts are saved one by one, with names that are not known beforehand" if fused else ""
    return Size(weights.size_bytes(found), packed.file_bytes(found), exact=ours and not fused, note=note)


def _gguf(checkpoint: Checkpoint, recipe: Recipe) -> Size:
    """One file with llama.cpp's names; norms and biases are FP32 there."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    config = checkpoint.config
    held = [one for one in checkpoint.tensors if not (checkpoint.tied and one.name == "lm_head.weight")]
    names, known = _gguf_names(config.get("model_type"), int(config.get("num_hidden_layers") or 0), held)
    shape = gguf_types.Shape(
        architecture=str(config.get("model_type", "")),
        layers=int(config.get("num_hidden_layers") or 0),
        heads=int(config.get("num_attention_heads") or 0),
        kv_heads=int(config.get("num_key_value_heads") or config.get("num_attention_heads") or 0),
        experts=int(config.get("num_local_experts") or config.get("num_experts") or 0),
        tied=checkpoint.tied,
    )
    matrices = {
        name: tensor.shape[-1]
        for name, tensor in zip(names, held, strict=True)
        if gguf_types.quantizable(name, len(tensor.shape))
    }
    kinds = dict.fromkeys(matrices, recipe.scheme)
    if recipe.scheme in methods_gguf.BASE:
        choices = gguf_types.choose(recipe.scheme, shape, list(matrices.items()))
        kinds = {name: choice.kind for name, choice in choices.items()}
    for pattern, wanted in recipe.keep if known else ():
        kinds |= {name: gguf_types.fits(wanted, matrices[name]) for name in quantize_gguf.matching(pattern, matrices)}
    for pattern in recipe.ignore if known else ():
        kinds |= dict.fromkeys(quantize_gguf.matching(pattern, matrices), SAFETENSORS[checkpoint.form.dtype])
    total = 0
    for name, tensor in zip(names, held, strict=True):
        block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kinds.get(name, "F32")]]
        total += tensor.numel // block * block_bytes
    mixture = recipe.scheme.endswith(("_M", "_S", "_K"))
    note = "the mixture of block types follows llama.cpp's rules" if mixture else ""
    metadata = GGUF_VOCABULARY * int(config.get("vocab_size") or 0)
    return Size(total, total + metadata, exact=known and not mixture, note=note)


def _gguf_names(family: object, count: int, held: list[Tensor]) -> tuple[list[str], bool]:
    """llama.cpp's names of the tensors, and whether it has one for each."""
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map

    architecture = next((arch for arch, name in MODEL_ARCH_NAMES.items() if name == family), MODEL_ARCH.LLAMA)
    table = get_tensor_name_map(architecture, count)
    found = [table.get_name(tensor.name, try_suffixes=(".weight", ".bias")) for tensor in held]
    return [name or tensor.name for name, tensor in zip(found, held, strict=True)], all(found)
