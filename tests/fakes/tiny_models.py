"""Tiny random models of several architectures, with the tokenizer of `tests.fakes.model`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakes.model import make_tiny

_SIZES = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
_MORE: dict[str, dict[str, Any]] = {
    "Llama": {"tie_word_embeddings": True},
    "Qwen2": {},
    "Qwen3": {"head_dim": 32},
    "Gemma3Text": {"head_dim": 32, "sliding_window": 64, "query_pre_attn_scalar": 32},
    "Qwen3Moe": {"head_dim": 32, "moe_intermediate_size": 64, "num_experts": 4, "num_experts_per_tok": 2},
    "Mistral": {"sliding_window": 64},
    "GPT2": {},
    "Afmoe": {"head_dim": 32, "moe_intermediate_size": 64, "num_experts": 4, "num_experts_per_tok": 2},
    "Mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
}


def make(folder: Path, kind: str, **changes: Any) -> Path:
    """A checkpoint folder of `kind` ("Llama", "Qwen3Moe" …): hidden size 128, two layers, BF16, seeded."""
    import torch
    import transformers

    make_tiny(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = getattr(transformers, f"{kind}Config")(vocab_size=len(tokenizer), **_SIZES | _MORE[kind] | changes)
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The folder with other tensors: `change` edits the table of name to tensor in place."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder
