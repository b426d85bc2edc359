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


def with_fp8_blocks(folder: Path, hidden: int) -> tuple[Path, Path]:
    """A Llama in FP8 with a scale for each block of 128 x 128, and one in BF16 that holds the very same numbers."""
    import json
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    plain = make(folder / "bf16", "Llama", hidden_size=hidden, intermediate_size=2 * hidden, tie_word_embeddings=False)
    packed = Path(shutil.copytree(plain, folder / "fp8"))
    tensors = load_file(plain / "model.safetensors")
    random = torch.Generator().manual_seed(1)
    stored, meant = dict(tensors), dict(tensors)
    for name, weight in tensors.items():
        if not name.endswith("_proj.weight"):
            continue
        # Rows of very different size, or a wrong block would hardly show.
        wide = weight.float() * torch.exp(2 * torch.randn(len(weight), 1, generator=random))
        bands = wide.split(128)
        scales = torch.tensor([[part.abs().max() / 448 for part in band.split(128, 1)] for band in bands])
        each = scales.repeat_interleave(128, 0)[: len(wide)].repeat_interleave(128, 1)[:, : wide.shape[1]]
        stored[name] = (wide / each).to(torch.float8_e4m3fn)
        stored[f"{name}_scale_inv"] = scales
        meant[name] = (stored[name].float() * each).to(torch.bfloat16)
    save_file(stored, packed / "model.safetensors", {"format": "pt"})
    save_file(meant, plain / "model.safetensors", {"format": "pt"})
    config = json.loads((packed / "config.json").read_text())
    blocks = {"weight_block_size": [128, 128], "activation_scheme": "dynamic"}
    config["quantization_config"] = {"quant_method": "fp8", **blocks}
    (packed / "config.json").write_text(json.dumps(config))
    return plain, packed
