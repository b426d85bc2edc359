"""Restore the bundled model: `python -m playground.models.restore GGUF FOLDER SHA256`.

Runs in a child process and prints one JSON object per line: progress (`stage`, `done`, `total`, `unit`), then
`result` with the checksums, or `error`. Uses numpy and `gguf.dequantize`: four seconds instead of the forty that
transformers takes to load and save the same file, with bit-identical weights.

The tokenizer is written as in the original repository. A conversion from GGUF metadata names `<|im_start|>` as end of
sequence and drops the splitting of digits, which changes how runs of spaces before a number are tokenized.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.errors import BrokenCheckpoint, PlaygroundError, to_wire
from playground.metrics.weights import Tensor
from playground.models.bundled import INSTALL, sha256
from playground.models.gguf import GgufHeader, read_header
from playground.process import say

if TYPE_CHECKING:
    import numpy as np
WEIGHTS = "model.safetensors"
_CONTROL = 3  # token_type of special tokens
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
Report = Callable[[str, float, float], None]


def original_name(name: str) -> str:
    """Return transformers' name for a tensor of a Llama GGUF. Raises BrokenCheckpoint."""
    if name in _TOP:
        return _TOP[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _LAYER:
        return f"model.layers.{parts[1]}.{_LAYER[parts[2]]}.{parts[3]}"
    raise BrokenCheckpoint(f"The bundled file holds a tensor {name[:80]!r} that its architecture does not have.")


def config(fields: dict[str, Any]) -> dict[str, Any]:
    """Return config.json from the GGUF metadata."""
    heads = fields["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": fields["llama.vocab_size"],
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": fields["llama.embedding_length"] // heads,
        "max_position_embeddings": fields["llama.context_length"],
        "rope_parameters": {"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        "rms_norm_eps": float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.3g}"),
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "use_cache": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }


def tokenizer(fields: dict[str, Any]) -> dict[str, Any]:
    """Return tokenizer.json from the vocabulary and merges of the GGUF metadata."""
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token, "content": tokens[token], **plain} for token, kind in enumerate(types) if kind == _CONTROL
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<|endoftext|>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]],
        },
    }


def tokenizer_config(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": fields["llama.context_length"],
    }


def side_files(header: GgufHeader) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every small file of the folder."""
    fields = header.fields
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    tables = {
        "config.json": config(fields),
        "generation_config.json": generation,
        "tokenizer.json": tokenizer(fields),
        "tokenizer_config.json": tokenizer_config(fields),
    }
    for name, table in tables.items():
        yield name, (json.dumps(table, indent=2, ensure_ascii=False) + "\n").encode()
    yield "chat_template.jinja", str(fields["tokenizer.chat_template"]).encode()


def dequantized(data: mmap.mmap, header: GgufHeader, tensor: Tensor) -> np.ndarray[Any, Any]:
    """Return one tensor as BF16 bit patterns (uint16), rounded to nearest even, in transformers' layout."""
    import numpy as np
    from gguf import GGMLQuantizationType, dequantize

    raw = np.frombuffer(data, dtype=np.uint8, count=tensor.bytes, offset=header.offsets[tensor.name])
    rows = tensor.numel // tensor.shape[-1]
    wide = dequantize(raw.reshape(rows, -1), GGMLQuantizationType[tensor.dtype]).reshape(tensor.shape)
    part = tensor.name.split(".")[-2]
    if part in ("attn_q", "attn_k"):
        heads = header.fields["llama.attention.head_count" + ("_kv" if part == "attn_k" else "")]
        wide = wide.reshape(heads, -1, 2, tensor.shape[-1]).swapaxes(1, 2).reshape(tensor.shape)
    bits = np.ascontiguousarray(wide, dtype=np.float32).view(np.uint32)
    rounded: np.ndarray[Any, Any] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    return rounded


def safetensors_header(tensors: list[tuple[str, Tensor]]) -> bytes:
    """Return the length-prefixed header of a file with `tensors` as BF16, in this order."""
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, tensor in tensors:
        end = position + 2 * tensor.numel
        table[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write(path: Path, chunks: Iterator[bytes]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)
    return {"bytes": size, "sha256": digest.hexdigest()}


def restore(source: Path, folder: Path, expected: str, report: Report) -> dict[str, Any]:
    """Write the model's files into `folder`; return their sizes and checksums by name. Raises BrokenCheckpoint."""
    total = source.stat().st_size
    checksum = sha256(source, lambda done: report("checking the bundled file", done, total))
    if checksum != expected:
        raise BrokenCheckpoint(
            f"{source.name} is not the file its package installed.",
            hint=f"Run `{INSTALL} --force-reinstall`.",
        )
    header = read_header(source)
    tensors = sorted((original_name(tensor.name), tensor) for tensor in header.tensors)

    def weights() -> Iterator[bytes]:
        done, total_bytes = 0, 2 * sum(tensor.numel for _, tensor in tensors)
        yield safetensors_header(tensors)
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for _, tensor in tensors:
                yield dequantized(data, header, tensor).tobytes()
                done += 2 * tensor.numel
                report("restoring smollm2 to BF16", done, total_bytes)

    files = {name: _write(folder / name, iter((text,))) for name, text in side_files(header)}
    files[WEIGHTS] = _write(folder / WEIGHTS, weights())
    return files


def main(arguments: list[str]) -> int:
    source, folder, expected = arguments

    def report(stage: str, done: float, total: float) -> None:
        say({"stage": stage, "done": done, "total": total, "unit": "B"})

    try:
        say({"result": restore(Path(source), Path(folder), expected, report)})
    except PlaygroundError as error:
        say(to_wire(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
