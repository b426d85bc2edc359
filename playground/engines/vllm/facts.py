"""What a checkpoint's files say about what vLLM will hold: bytes of weights, of KV cache, and the context."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from playground.errors import BrokenCheckpoint
from playground.metrics.weights import TORCH_BYTES, Tensor
from playground.models import scheme

_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in)\.weight$")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def config(folder: Path) -> dict[str, Any]:
    """config.json of a local checkpoint. Raises BrokenCheckpoint."""
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise BrokenCheckpoint(f"{folder.name} has no readable config.json.", hint="Download it again.") from error
    return dict(found)


def _text(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part about the language model, where a config has several."""
    inner = found.get("text_config")
    return inner if isinstance(inner, dict) else found


def context(found: Mapping[str, Any]) -> int | None:
    """Longest sequence the model was made for, tokens; None where the config does not say."""
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    return next((value for name in names if isinstance(value := _text(found).get(name), int) and value > 0), None)


def is_mixture(found: Mapping[str, Any]) -> bool:
    return any(isinstance(n := _text(found).get(name), int) and n > 1 for name in _EXPERTS)


def multiplies_fp8(found: Mapping[str, Any]) -> bool:
    """Whether both sides of its products are FP8."""
    quantized = scheme.quantization(found) or {}
    groups = quantized.get("config_groups")
    rows = groups.values() if isinstance(groups, dict) else ()
    names = [scheme.group_name(row) for row in rows if isinstance(row, dict)]
    return quantized.get("quant_method") == "fp8" or any(name in ("FP8", "FP8_DYNAMIC", "FP8_BLOCK") for name in names)


def streamed_bytes(found: Mapping[str, Any], tensors: Sequence[Tensor], weight_bytes: int) -> int | None:
    """Bytes every decoded token reads: all weights, less an untied input embedding. None for a mixture."""
    if is_mixture(found):
        return None
    if found.get("tie_word_embeddings", _text(found).get("tie_word_embeddings", False)):
        return weight_bytes
    return weight_bytes - sum(tensor.bytes for tensor in tensors if _EMBEDDING.search(tensor.name))


def kv_bytes_per_token(found: Mapping[str, Any], dtype: str, kv_cache: str) -> int:
    """Bytes of keys and values one position adds. `kv_cache` is vLLM's setting: auto follows the checkpoint."""
    text = _text(found)
    heads = int(text.get("num_attention_heads") or text.get("n_head") or 1)
    kv_heads = int(text.get("num_key_value_heads") or heads)
    hidden = int(text.get("hidden_size") or text.get("n_embd") or 0)
    head = int(text.get("head_dim") or hidden // heads)
    layers = int(text.get("num_hidden_layers") or text.get("n_layer") or 0)
    quantized = (found.get("quantization_config") or {}).get("kv_cache_scheme") is not None
    if kv_cache == "auto":
        width = 1 if quantized else TORCH_BYTES[dtype]
    else:
        width = 1 if re.match(r"fp8|int8", kv_cache) else TORCH_BYTES.get(kv_cache, TORCH_BYTES[dtype])
    return 2 * layers * kv_heads * head * width
