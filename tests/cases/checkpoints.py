"""Checkpoint folders with a habit that real ones have: each maker changes a folder that is there or makes a new one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.fakes import tiny_models


def edit(file: Path, **changes: Any) -> None:
    """Set fields of a JSON file; one that is not there begins empty."""
    table = json.loads(file.read_bytes()) if file.exists() else {}
    file.write_text(json.dumps(table | changes))


def with_remote_code(folder: Path, name: str = "config.json", *, nested: bool = False) -> Path:
    """`name` says that a Python file of the repository has the model's class."""
    code: dict[str, Any] = {"auto_map": {"AutoModelForCausalLM": "evil.Canary"}}
    edit(folder / name, **({"text_config": code} if nested else code))
    return folder


def with_adapter_file(folder: Path) -> Path:
    """Whole weights, and an adapter's configuration that a merge left beside them."""
    edit(folder / "adapter_config.json")
    return folder


def with_generation_config(folder: Path, **settings: Any) -> Path:
    """generation_config.json has these settings alone."""
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


def with_more_tokens_than_rows(folder: Path, token: str) -> int:
    """The tokenizer knows a token that the model has no embedding for. Returns the token's id."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = len(tokenizer)
    tokenizer.add_tokens([token])
    tokenizer.save_pretrained(folder)
    return rows


def with_padded_rows(folder: Path, rows: int) -> Path:
    """The model has more rows than the tokenizer has tokens, as after padding for speed."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    model.resize_token_embeddings(rows)
    model.save_pretrained(folder)
    return folder


def with_two_ends(folder: Path, place: str) -> int:
    """A Llama that is asked "hi" and soon says a token that ends the answer, which only `place` names.

    `place` is "generation_config.json", "config.json" or "tokenizer"; the others name token 0, which never comes.
    Returns the token's id.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny_models.make(folder, "Llama", tie_word_embeddings=False)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    chat = [{"role": "user", "content": "hi"}]
    prompt = tokenizer(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))["input_ids"]
    plain = [number for number in range(3, len(tokenizer)) if "\ufffd" not in tokenizer.decode([number])]
    head = torch.zeros_like(model.lm_head.weight)
    answer: list[int] = []
    head[plain] = torch.randn((len(plain), head.shape[1]), generator=torch.Generator().manual_seed(3)).to(head.dtype)
    model.lm_head.weight.data = head
    with torch.no_grad():
        for _ in range(8):
            answer.append(int(model(torch.tensor([prompt + answer])).logits[0, -1].argmax()))
    end = next(one for n, one in enumerate(answer) if n > 1 and one not in answer[:n])
    if place == "tokenizer":
        head[[2, end]] = head[[end, 2]].clone()
        end = 2
    model.save_pretrained(folder)
    for file in ("config.json", "generation_config.json"):
        edit(folder / file, eos_token_id=[0, end] if place == file else 0)
    return end


def with_fp8_blocks(folder: Path, hidden: int) -> tuple[Path, Path]:
    """A Llama in FP8 with a scale for each block of 128 x 128, and one in BF16 that holds the very same numbers."""
    import torch
    from safetensors.torch import load_file, save_file

    plain = tiny_models.make(
        folder / "bf16", "Llama", hidden_size=hidden, intermediate_size=2 * hidden, tie_word_embeddings=False
    )
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
    blocks = {"weight_block_size": [128, 128], "activation_scheme": "dynamic"}
    edit(packed / "config.json", quantization_config={"quant_method": "fp8", **blocks})
    return plain, packed
