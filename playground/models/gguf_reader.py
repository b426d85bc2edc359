"""What transformers' GGUF reader makes of a file, and what it loses.

The reader rebuilds a configuration from the keys of the header that its table maps; whatever else the header says is
dropped without a word: scaled rotary positions, windows, experts. The tensors are right, the model is another one.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from playground.models import checkpoint
from playground.models.gguf import GgufHeader

# Model types whose GGUF file, read with the configuration of the original, gives the original's logits in every variant
# that scripts/prove/gguf_reader.py tries. Not Mistral and Mixtral, which the reader then refuses, nor Falcon, whose
# grouped heads it then reads in another order.
WITH_CONFIG = frozenset(
    {
        *("bloom", "gemma2", "gemma3_text", "gpt2", "llama", "mamba", "phi3"),
        *("qwen2", "qwen3", "qwen3_moe", "stablelm", "starcoder2"),
    }
)
_SPELT = {"qwen3moe": "qwen3_moe"}  # in a file, in the reader's table; the reader fails on the others that differ
_TEXT_PART = {"gemma3": "gemma3_text", "gemma4": "gemma4_text"}  # in a file, in the reader's table of tokenizers
# What tokenizer.ggml.model must be for what the reader's converter takes from the file: merges or scores.
_TOKENIZER = {"GGUFQwen2Converter": "gpt2", "GGUFGPTConverter": "gpt2", "GGUFGemmaConverter": "llama"}
_IGNORED_WINDOW = ("phi3",)  # llama.cpp reads the key and attends to everything
# Keys that are of no account, that the reader takes from the tensors, or that do not fit the tensors where they differ.
_SILENT = frozenset(
    {
        *("attention.value_length", "context_length", "expert_feed_forward_length"),
        *("expert_shared_feed_forward_length", "feed_forward_length", "rope.scaling.original_context_length"),
        *("rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow", "tensor_data_layout", "use_parallel_residual"),
        "vocab_size",
    }
)
# What the classes of transformers take where the reader gives them nothing.
CLASS_VALUES: Mapping[str, Mapping[str, float]] = {
    "falcon": {"attention.head_count_kv": 1, "attention.layer_norm_epsilon": 1e-5},
    "gemma2": {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "gemma3": {"rope.freq_base": 1e6, "rope.freq_base_swa": 1e4},
    "nemotron": {"attention.layer_norm_epsilon": 1e-5},
    "qwen3": {"attention.key_length": 128},
    "stablelm": {"rope.freq_base": 1e4},
    "starcoder2": {"rope.freq_base": 1e4},
}
ROTARY = {"nemotron": 0.5, "stablelm": 0.25}  # the part of each head that is rotated, where it is not all of it
QUERY_SCALE = 256  # query_pre_attn_scalar of Gemma 2 and 3, which no file states
_WIDE_LAYERS = {"gemma2": 46, "gemma3": 62}  # the 27B models, which llama.cpp scales by width / heads
MISTRAL_WINDOW = 4096  # of a config.json that leaves out what its class takes anyway


@lru_cache(maxsize=1)
def architectures() -> frozenset[str]:
    """The GGUF architectures the installed transformers reads; empty if that cannot be found out."""
    fast = checkpoint.literal("transformers.integrations.gguf.gguf_conversion_mapping", "GGUF_ARCHS")
    keys = fast.keys if isinstance(fast, ast.Dict) else ()
    spelt = (name for name, here in _SPELT.items() if here in _table())
    return frozenset({*_table(), *spelt, *(str(key.value) for key in keys if isinstance(key, ast.Constant))})


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, str | None]]:
    """The reader's: architecture → key of the header without it → field of the configuration, None where dropped."""
    table = checkpoint.literal("transformers.integrations.ggml", "GGUF_CONFIG_MAPPING")
    return ast.literal_eval(table) if isinstance(table, ast.Dict) else {}


@lru_cache(maxsize=1)
def _converters() -> dict[str, str]:
    """The reader's converters of tokenizers: architecture → name of the class."""
    table = checkpoint.literal("transformers.integrations.ggml", "GGUF_TO_FAST_CONVERTERS")
    pairs = zip(table.keys, table.values, strict=True) if isinstance(table, ast.Dict) else ()
    return {
        str(key.value): value.id
        for key, value in pairs
        if isinstance(key, ast.Constant) and isinstance(value, ast.Name)
    }


def _reads_tokenizer(header: GgufHeader) -> bool:
    architecture = _SPELT.get(header.architecture, header.architecture)
    kind, known = header.fields.get("tokenizer.ggml.model"), _converters()
    if not known or kind is None or architecture not in _table():  # else it has a reader of its own
        return True
    converter = known.get(_TEXT_PART.get(architecture, architecture))
    return converter is not None and _TOKENIZER.get(converter, kind) == kind


def unread(header: GgufHeader, original: Mapping[str, Any] | None = None) -> str:
    """What transformers loses of this file, as the end of a sentence; "" where its numbers are those of the weights.

    original  the config.json of the model that the file was made from, where that is known
    """
    known = architectures()
    if known and header.architecture not in known:
        return f"its GGUF reader does not know the architecture {header.architecture[:40]}"
    if not _reads_tokenizer(header):
        kind = str(header.fields["tokenizer.ggml.model"])
        return f"its GGUF reader does not know the tokenizer ({kind[:40]}) of {header.architecture}"
    if original is not None and original.get("model_type") in WITH_CONFIG:
        return ""
    if lost := next(_lost(header), None):
        return f"its GGUF reader ignores {lost[:80]}"
    if original is not None and (tokens := lost_window(header, original)):
        return f"the file does not carry the original's sliding window of {tokens:,} tokens"
    return ""


def _lost(header: GgufHeader) -> Iterator[str]:
    """What of the header means something, is not what transformers takes anyway, and is dropped."""
    architecture, fields = header.architecture, header.fields
    yield from (tensor.name for tensor in header.tensors if tensor.name.startswith(("rope_freqs", "rope_factors")))
    table = _table().get(_SPELT.get(architecture, architecture))
    taken = _taken(header, table or {})
    for name, value in fields.items():
        prefix, _, key = name.partition(".")
        if prefix != architecture or key in _SILENT or not value or value == "none" or isinstance(value, list):
            continue
        # An architecture outside the table has a function of its own, which names each key but those of the scaling.
        read = table.get(key) is not None if table is not None else not key.startswith("rope.scaling.")
        if key in CLASS_VALUES.get(architecture, {}) or not read:
            default = taken.get(key)
            if default is None or isinstance(value, str) or not math.isclose(value, default, rel_tol=1e-6):
                yield f"{key} ({value})"
    scale = _query_scale(header)
    if scale not in (None, QUERY_SCALE):
        yield f"the scale of the queries ({scale:g} instead of {QUERY_SCALE})"


def _taken(header: GgufHeader, table: Mapping[str, str | None]) -> dict[str, float]:
    """What transformers takes for keys that the reader drops, given those that it reads."""
    own = CLASS_VALUES.get(header.architecture, {})
    heads = _number(header, "attention.head_count", 1)
    size = own.get("attention.key_length", _number(header, "embedding_length") // heads)
    for key in ("attention.key_length", "rope.dimension_count"):
        if table.get(key) == "head_dim":
            size = _number(header, key, size)
    return {
        "attention.head_count_kv": heads,
        "attention.key_length": size,
        "rope.dimension_count": size * ROTARY.get(header.architecture, 1.0),
        "rope.scaling.attn_factor": 1.0,
        "rope.scaling.factor": 1.0,
        **own,
    }


def _query_scale(header: GgufHeader) -> float | None:
    """The length that llama.cpp divides a query by, squared; None where transformers does the same by itself."""
    if header.architecture not in _WIDE_LAYERS:
        return None
    if _number(header, "block_count") == _WIDE_LAYERS[header.architecture]:
        return _number(header, "embedding_length") / _number(header, "attention.head_count", 1)
    return _number(header, "attention.key_length", QUERY_SCALE)


def _number(header: GgufHeader, key: str, default: float = 0) -> float:
    """What the header says of its architecture under `key`; `default` where that is no positive number."""
    value = header.fields.get(f"{header.architecture}.{key}")
    return value if isinstance(value, int | float) and value > 0 else default


def lost_window(header: GgufHeader, original: Mapping[str, Any]) -> int | None:
    """Tokens that the original looks back, where llama.cpp attends to all with this file; None where it does not."""
    tokens = _window(original)
    stated = f"{header.architecture}.attention.sliding_window" in header.fields
    return None if stated and header.architecture not in _IGNORED_WINDOW else tokens


def _window(config: Mapping[str, Any]) -> int | None:
    """Tokens that some layer of the model looks back; None where all layers see the whole context."""
    model_type = str(config.get("model_type", ""))
    kinds = config.get("layer_types")
    if not config.get("use_sliding_window", not model_type.startswith("qwen")):
        return None
    if isinstance(kinds, list) and "sliding_attention" not in kinds:
        return None
    tokens = config.get("sliding_window", MISTRAL_WINDOW if model_type == "mistral" else None)
    context = config.get("max_position_embeddings")
    if not isinstance(tokens, int) or (isinstance(context, int) and tokens >= context):
        return None
    return tokens or None
