"""Tiny checkpoints."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 96,
    "tie_word_embeddings": True,
    "dtype": "bfloat16",
}
WIDTH = {"BF16": 2, "F16": 2, "F32": 4, "I32": 4, "I64": 8, "U8": 1, "I8": 1, "F8_E4M3": 1}


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """A file of zeros with this header: tensor name to (type, shape)."""
    table: dict[str, Any] = {}
    position = 0
    for name, (dtype, shape) in tensors.items():
        size = WIDTH[dtype]
        for length in shape:
            size *= length
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    header = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(position))


def llama_tensors(dtype: str = "BF16") -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of LLAMA: 80,192 parameters."""
    found = {"model.embed_tokens.weight": (dtype, (96, 64)), "model.norm.weight": (dtype, (64,))}
    for layer in (f"model.layers.{number}" for number in range(2)):
        shapes = {"q": (64, 64), "k": (32, 64), "v": (32, 64), "o": (64, 64)}
        found |= {f"{layer}.self_attn.{name}_proj.weight": (dtype, shape) for name, shape in shapes.items()}
        found |= {f"{layer}.mlp.{name}_proj.weight": (dtype, (128, 64)) for name in ("gate", "up")}
        found[f"{layer}.mlp.down_proj.weight"] = (dtype, (64, 128))
        found |= {f"{layer}.{name}_layernorm.weight": (dtype, (64,)) for name in ("input", "post_attention")}
    return found


def make_folder(folder: Path, config: Mapping[str, Any] | None = None, dtype: str = "BF16") -> Path:
    """A checkpoint folder of zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**LLAMA, **(config or {})}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (folder / "tokenizer.json").write_text("{}")
    write_safetensors(folder / "model.safetensors", llama_tensors(dtype))
    return folder


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "llama")
