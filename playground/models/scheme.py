"""Read the number format of a checkpoint from its config.json: method, scheme, and how engines run it.

Importing compressed-tensors' presets imports torch, so their names are derived here from the same fields.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground.errors import UnsupportedModel
from playground.metrics.weights import Tensor

LABELS = {"bfloat16": "BF16", "float16": "FP16", "float32": "FP32"}
_TORCH = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float32"}
_TRANSFORMERS_FIRST = ("transformers", "vllm")
_UNPACKED = "transformers unpacks these weights to {} before it multiplies: right for quality, not for speed"


@dataclass(frozen=True, slots=True)
class Scheme:
    """Number format of a checkpoint's weights.

    dtype    torch name of the compute type
    expands  whether transformers holds the weights unpacked to that type on this machine
    engines  engines that run it, the one with better kernels first
    unread   why transformers cannot read it correctly, as the end of a sentence; it is then not among the engines
    """

    method: str
    scheme: str
    label: str
    dtype: str
    group_size: int | None = None
    notes: tuple[str, ...] = ()
    expands: bool = False
    engines: tuple[str, ...] = ("vllm", "transformers")
    unread: str = ""

    @property
    def quantized(self) -> bool:
        return self.method != "cast"


def compute_dtype(config: Mapping[str, Any], tensors: Sequence[Tensor], *, packed: bool) -> str:
    """Return the dtype of the unquantized tensors; of a quantized checkpoint (`packed`) the config's, if it has one."""
    named = str(config.get("dtype") or config.get("torch_dtype") or "").removeprefix("torch.")
    if packed and named in LABELS:
        return named
    count: dict[str, int] = {}
    for tensor in tensors:
        if tensor.dtype in _TORCH:
            count[tensor.dtype] = count.get(tensor.dtype, 0) + tensor.numel
    if not count:
        return named if named in LABELS else "bfloat16"
    return _TORCH[max(count, key=lambda dtype: count[dtype])]


def quantization(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the quantization_config of a config.json, under any of its names and places; None without one."""
    text = config.get("text_config")
    for table in (config, text if isinstance(text, dict) else {}):
        for key in ("quantization_config", "compression_config"):
            if isinstance(entry := table.get(key), dict) and entry:
                return entry
    return None


def read(model: str, config: Mapping[str, Any], tensors: Sequence[Tensor]) -> Scheme:
    """Return the scheme of a safetensors checkpoint. Raises UnsupportedModel for an unknown method."""
    quantized = quantization(config)
    dtype = compute_dtype(config, tensors, packed=quantized is not None)
    if quantized is None:
        if odd := next((tensor for tensor in tensors if tensor.dtype.startswith("F8") and len(tensor.shape) > 1), None):
            raise UnsupportedModel(
                f"The weights of {model} are {odd.dtype} and its config.json does not say how they were quantized.",
                hint="Use a checkpoint with a quantization_config.",
            )
        return Scheme("cast", LABELS[dtype], LABELS[dtype], dtype, engines=_TRANSFORMERS_FIRST)
    method = str(quantized.get("quant_method") or ("bitsandbytes" if "load_in_4bit" in quantized else ""))
    reader = _READERS.get(method.lower().replace("_", "-"))
    if reader is None:
        raise UnsupportedModel(
            f"{model} is quantized with {method[:40] or 'an unnamed method'}, which nothing here can run.",
            hint=f"Known: {', '.join(_READERS)}.",
        )
    if method == "fp8":
        _refuse_other_blocks(model, quantized, tensors)
    return reader(quantized, dtype)


def _refuse_other_blocks(model: str, quantized: Mapping[str, Any], tensors: Sequence[Tensor]) -> None:
    """Raise UnsupportedModel for FP8 weights whose scales do not match the blocks of the configuration."""
    block = quantized.get("weight_block_size")
    if not isinstance(block, list) or len(block) != 2 or not all(_int(size) for size in block):
        return
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    for tensor in tensors:
        scales = shapes.get(f"{tensor.name}_scale_inv", ())
        if not tensor.dtype.startswith("F8") or len(tensor.shape) < 2 or len(scales) < 2:
            continue
        needed = tuple(-(-size // by) for size, by in zip(tensor.shape[-2:], block, strict=True))
        if scales[-2:] != needed:
            raise UnsupportedModel(
                f"{tensor.name} of {model} has {scales[-2]} x {scales[-1]} scales, but its blocks of {block[0]} x "
                f"{block[1]} need {needed[0]} x {needed[1]}.",
                hint="Correct weight_block_size in its config.json, or export it again.",
            )


def _nvidia() -> bool:
    """Return whether there is an NVIDIA device, without importing torch."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _missing(*packages: str) -> list[str]:
    return [package for package in packages if importlib.util.find_spec(package) is None]


def _int(value: object, default: int | None = None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def group_name(group: Mapping[str, Any]) -> str:
    """Return the preset name of one compressed-tensors group: "W4A16", "W8A8", "FP8_DYNAMIC", "NVFP4" …"""
    weights, inputs = _dict(group.get("weights")), _dict(group.get("input_activations"))
    bits, strategy, size = _int(weights.get("num_bits"), 8), weights.get("strategy"), weights.get("group_size")
    if weights.get("type") == "float":
        if bits == 4 or (bits == 8 and strategy in ("group", "tensor_group") and size == 32):
            name = "NVFP4" if size == 16 else f"MXFP{bits}"
            return name if inputs else f"{name}A16"
        if not inputs:
            return f"FP{bits}A16"
        if strategy == "block":
            return f"FP{bits}_BLOCK"
        return f"FP{bits}_DYNAMIC" if inputs.get("dynamic") else f"FP{bits}"
    suffix = "" if weights.get("symmetric", True) else "_ASYM"
    if inputs.get("type") == "float":
        return f"W{bits}AFP{_int(inputs.get('num_bits'), 8)}{suffix}"
    return f"W{bits}A{_int(inputs.get('num_bits'), 16) if inputs else 16}{suffix}"


def _compressed_tensors(quantized: Mapping[str, Any], dtype: str) -> Scheme:
    raw = quantized.get("config_groups")
    groups = [group for group in (raw.values() if isinstance(raw, dict) else ()) if _dict(_dict(group).get("weights"))]
    names = list(dict.fromkeys(group_name(group) for group in groups))
    notes = [_UNPACKED.format(LABELS[dtype])] if groups else []
    scheme = names[0] if names else LABELS[dtype]
    if len(names) > 1:
        notes.insert(0, f"mixed: {', '.join(names)}")
    if cache := _dict(quantized.get("kv_cache_scheme")):
        kind = "FP" if cache.get("type") == "float" else "INT"
        notes.insert(0, f"calibrated for a key/value cache in {kind}{_int(cache.get('num_bits'), 8)}")
    if _dict(quantized.get("sparsity_config")).get("format", "dense") != "dense":
        notes.insert(0, "sparse as well")
    size = _int(_dict(groups[0]["weights"]).get("group_size")) if groups else None
    return Scheme("compressed-tensors", scheme, scheme, dtype, size, tuple(notes), expands=bool(groups))


def _packed(method: str, quantized: Mapping[str, Any], dtype: str, *needs: str) -> Scheme:
    bits = _int(quantized.get("bits") or quantized.get("w_bit"), 4)
    size = _int(quantized.get("group_size") or quantized.get("q_group_size"))
    symmetric = not quantized.get("zero_point", True) if method == "awq" else quantized.get("sym", True)
    scheme = f"W{bits}A16" + ("" if symmetric else "_ASYM")
    missing = _missing(*needs)
    notes = (f"transformers needs `pip install {' '.join(missing)}` for it",) if missing else ()
    return Scheme(method, scheme, f"{method.upper()} {scheme}", dtype, size, notes)


def _gptq(quantized: Mapping[str, Any], dtype: str) -> Scheme:
    return _packed("gptq", quantized, dtype, "optimum", "gptqmodel")


def _awq(quantized: Mapping[str, Any], dtype: str) -> Scheme:
    return _packed("awq", quantized, dtype, "gptqmodel")


def _autoround(quantized: Mapping[str, Any], dtype: str) -> Scheme:
    return _packed("autoround", quantized, dtype, "auto_round")


def _fp8(quantized: Mapping[str, Any], dtype: str) -> Scheme:
    block = quantized.get("weight_block_size")
    scheme = "FP8_BLOCK" if block else "FP8" if quantized.get("activation_scheme") == "static" else "FP8_DYNAMIC"
    note = (
        f"stays FP8 on NVIDIA GPUs from compute capability 8.9 and on Intel GPUs; elsewhere it loads as {LABELS[dtype]}"
    )
    return Scheme("fp8", scheme, scheme, dtype, None, (note,), expands=not _nvidia())


def _fbgemm(_: Mapping[str, Any], __: str) -> Scheme:
    notes = ["runs only on an NVIDIA GPU of compute capability 9.0 or newer, or an Intel GPU"]
    if missing := _missing("fbgemm_gpu"):
        notes.append(f"transformers needs the package {missing[0].replace('_', '-')} for it on NVIDIA")
    return Scheme("fbgemm_fp8", "FP8_DYNAMIC", "FP8_DYNAMIC", "bfloat16", None, tuple(notes))


def _mxfp4(_: Mapping[str, Any], dtype: str) -> Scheme:
    missing = _missing("triton", "kernels")
    note = f"loads as BF16 here, because {' and '.join(missing)} must be installed for its kernel" if missing else ""
    notes = (note,) if note else ("loads as BF16 where the device has no MXFP4 kernel",)
    return Scheme("mxfp4", "MXFP4A16", "MXFP4", dtype, 32, notes, expands=bool(missing) or not _nvidia())


def _bitsandbytes(quantized: Mapping[str, Any], dtype: str) -> Scheme:
    notes = tuple(f"transformers needs `pip install {package}` for it" for package in _missing("bitsandbytes"))
    if not (quantized.get("load_in_4bit") or quantized.get("_load_in_4bit")):
        return Scheme("bitsandbytes", "int8", "int8", dtype, None, notes, engines=_TRANSFORMERS_FIRST)
    kind = str(quantized.get("bnb_4bit_quant_type", "fp4"))
    single = "" if quantized.get("bnb_4bit_use_double_quant") else " single"
    return Scheme("bitsandbytes", kind, kind + single, dtype, 64, notes, engines=_TRANSFORMERS_FIRST)


def gguf(weight_type: str, file_type: object = None, dtype: str = "bfloat16", unread: str = "") -> Scheme:
    """Return the scheme of a GGUF file whose matrices are mostly of this block type.

    file_type  llama.cpp's number of the mixture (15 is Q4_K_M), used if it fits the block type
    dtype      torch name of the type that transformers unpacks it to
    unread     why transformers cannot read it correctly, as the end of a sentence
    """
    name = _mixture(file_type)
    full = {"BF16": "BF16", "F16": "FP16", "F32": "FP32"}.get(weight_type, weight_type)
    if name.startswith(f"{weight_type}_"):
        full = name
    note = f"transformers dequantizes it to {LABELS[dtype]} while it loads"
    if unread:
        note = f"transformers cannot read it: {unread}"
    engines = ("llamacpp",) if unread else ("llamacpp", "transformers")
    return Scheme("gguf", full, full, dtype, None, (note,), expands=True, engines=engines, unread=unread)


def _mixture(file_type: object) -> str:
    from gguf.constants import LlamaFileType

    try:
        return str(LlamaFileType(file_type).name).removeprefix("MOSTLY_")
    except ValueError:
        return ""


_READERS = {
    "compressed-tensors": _compressed_tensors,
    "gptq": _gptq,
    "awq": _awq,
    "auto-round": _autoround,
    "fp8": _fp8,
    "fbgemm-fp8": _fbgemm,
    "mxfp4": _mxfp4,
    "bitsandbytes": _bitsandbytes,
}
