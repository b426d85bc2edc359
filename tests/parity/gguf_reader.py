"""A GGUF file in F16 as transformers reads it, against the checkpoint that it was made from: KLD, or a refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from playground.errors import PlaygroundError
from tests.parity import product, tiny
from tests.parity.compare import prompt_of

LENGTHS = (8, 300, 600)  # tokens: below every window and limit of tests.parity.tiny, and past them
LIMIT = 0.03  # nats
_PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
_YARN = {**_PLAIN, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
_LLAMA3 = {**_PLAIN, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_FULL = {"use_sliding_window": False}
_PHI3 = {"original_max_position_embeddings": 1024, "rope_parameters": _PLAIN}
_GEMMA = {"tie_word_embeddings": True}  # which the converter takes for granted
_WIDE = {"head_dim": 256, "query_pre_attn_scalar": 256}
_CAPS = {"attn_logit_softcapping": 20.0, "final_logit_softcapping": 10.0}
_NO_WINDOW = {"sliding_window": None}

# Name → model_type and what is changed of its tiny configuration.
CASES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "bloom": ("bloom", {}),
    "falcon": ("falcon", {"num_kv_heads": 1}),
    "falcon, grouped heads": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "gemma2": ("gemma2", {**_GEMMA, **_WIDE}),
    "gemma2, query scale 16": ("gemma2", _GEMMA),
    "gemma2, soft caps": (
        "gemma2",
        {**_GEMMA, **_WIDE, **_CAPS},
    ),
    "gemma3": ("gemma3_text", {**_WIDE, "sliding_window_pattern": 6, "num_hidden_layers": 7}),
    "gemma3, query scale 16": ("gemma3_text", {"sliding_window_pattern": 6, "num_hidden_layers": 7}),
    "gemma4": ("gemma4_text", {}),
    "gpt2": ("gpt2", {"n_inner": None}),
    "gpt2, inner size": ("gpt2", {}),
    "gpt_oss": ("gpt_oss", {}),
    "lfm2": ("lfm2", {}),
    "llama": ("llama", {}),
    "llama, biases": ("llama", {"attention_bias": True}),
    "llama, heads of 32": ("llama", {"head_dim": 32}),
    "llama, theta": ("llama", {"rope_parameters": {**_PLAIN, "rope_theta": 77777.0}}),
    "llama, linear": ("llama", {"rope_parameters": {**_PLAIN, "rope_type": "linear", "factor": 4.0}}),
    "llama, llama3": ("llama", {"rope_parameters": {**_LLAMA3, "original_max_position_embeddings": 64}}),
    "llama, yarn": ("llama", {"rope_parameters": _YARN}),
    "mamba": ("mamba", {}),
    "minimax_m2": ("minimax_m2", {}),
    "mistral": ("mistral", _NO_WINDOW),
    "mistral, window": ("mistral", {}),
    "mixtral": ("mixtral", _NO_WINDOW),
    "mixtral, window": ("mixtral", {}),
    "nemotron": ("nemotron", {}),
    "nemotron, rotary": ("nemotron", {"partial_rotary_factor": 1.0}),
    "phi3": ("phi3", {**_PHI3, **_NO_WINDOW}),
    "phi3, longrope": ("phi3", {}),
    "phi3, rotary": ("phi3", {**_PHI3, "rope_parameters": {**_PLAIN, "partial_rotary_factor": 0.5}}),
    "phi3, window": ("phi3", {**_PHI3, "sliding_window": 64}),
    "qwen2": ("qwen2", _FULL),
    "qwen2, window": ("qwen2", {}),
    "qwen2, yarn": ("qwen2", {**_FULL, "rope_parameters": _YARN}),
    "qwen2_moe": ("qwen2_moe", _FULL),
    "qwen3": ("qwen3", {**_FULL, "head_dim": 128}),
    "qwen3, heads of 16": ("qwen3", _FULL),
    "qwen3, window": ("qwen3", {"head_dim": 128}),
    "qwen3, yarn": ("qwen3", {**_FULL, "head_dim": 128, "rope_parameters": _YARN}),
    "qwen3_5": ("qwen3_5_text", {}),
    "qwen3_moe": ("qwen3_moe", {**_FULL, "norm_topk_prob": True}),
    "qwen3_moe, not normalized": ("qwen3_moe", {**_FULL, "norm_topk_prob": False}),
    "qwen3_moe, window": ("qwen3_moe", {"norm_topk_prob": True}),
    "qwen3_moe, yarn": ("qwen3_moe", {**_FULL, "norm_topk_prob": True, "rope_parameters": _YARN}),
    "stablelm": ("stablelm", {}),
    "stablelm, rotary": ("stablelm", {"partial_rotary_factor": 0.5}),
    "stablelm, theta": ("stablelm", {"rope_parameters": {**_PLAIN, "rope_theta": 1e5, "partial_rotary_factor": 0.25}}),
    "starcoder2": ("starcoder2", _NO_WINDOW),
    "starcoder2, theta": (
        "starcoder2",
        {**_NO_WINDOW, "rope_parameters": {**_PLAIN, "rope_theta": 999999.0}},
    ),
    "starcoder2, window": ("starcoder2", {}),
}
# The file says nothing of what is changed, so that the bare file is another model in llama.cpp too.
SILENT = frozenset(
    {
        *("mistral, window", "mixtral, window", "qwen2, window", "qwen3, window", "qwen3_moe, window"),
        *("qwen3_moe, not normalized", "stablelm, theta", "starcoder2, window"),
    }
)
_SENTENCEPIECE = ("gemma2", "gemma3_text", "nemotron", "phi3")  # whose converter reads a tokenizer.model


@dataclass(frozen=True, slots=True)
class Read:
    """One way to read the file: mean KLD in nats at each of LENGTHS, or the sentence of the refusal."""

    kld: tuple[float, ...] = ()
    refused: str = ""

    @property
    def holds(self) -> bool:
        return bool(self.refused) or all(value < LIMIT for value in self.kld)


@dataclass(frozen=True, slots=True)
class Reading:
    """One case.

    not_exported  the product's sentence where it makes no GGUF file of this model
    variant       read as a variant of the model
    bare          read as a file of which nothing else is known
    """

    case: str
    not_exported: str = ""
    variant: Read = field(default_factory=Read)
    bare: Read = field(default_factory=Read)

    @property
    def holds(self) -> bool:
        return self.variant.holds and (self.case in SILENT or self.bare.holds)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"holds": self.holds}


def reading(folder: Path, case: str) -> Reading:
    """Make the tiny model of a case, export it in F16, and read the file both ways."""
    kind, changes = CASES[case]
    source = folder / f"source-{kind}"
    tiny.make(source, kind, dtype=torch.bfloat16, **changes)
    config = json.loads((source / "config.json").read_text())
    if kind in _SENTENCEPIECE:
        _write_sentencepiece(source / "tokenizer.model")
    if kind == "gpt2":  # as its config.json on the hub, which the converter reads
        (source / "config.json").write_text(json.dumps(config | {"n_ctx": config["n_positions"]}))
    try:
        name, file = product.export(source, folder / "made", "F16")
    except PlaygroundError as error:
        return Reading(case, str(error))
    try:
        original = product.load(source).model
    except PlaygroundError as error:
        return Reading(case, f"The original is refused: {error}")
    return Reading(case, "", _read(original, name), _read(original, str(file)))


def _read(original: Any, name: str) -> Read:
    try:
        model = product.load_variant(name).model
    except PlaygroundError as error:
        return Read(refused=str(error))
    return Read(tuple(mean_kld(original, model, length) for length in LENGTHS))


@torch.inference_mode()
def mean_kld(original: Any, model: Any, length: int) -> float:
    """Mean over the positions of a prompt, nats."""
    ids = torch.tensor([prompt_of(length)])
    ours, theirs = (one(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1) for one in (original, model))
    return float((ours.exp() * (ours - theirs)).sum(-1).mean())


def _write_sentencepiece(path: Path) -> None:
    """A vocabulary of bytes and words that nobody encodes with: prompts are ids here."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.trainer_spec.model_type = model.trainer_spec.BPE
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = tiny.VOCABULARY
    kinds = model.SentencePiece
    pieces = [("<unk>", kinds.UNKNOWN), ("<s>", kinds.CONTROL), ("</s>", kinds.CONTROL)]
    pieces += [(f"<0x{byte:02X}>", kinds.BYTE) for byte in range(256)]
    pieces += [(f"word{number}", kinds.NORMAL) for number in range(tiny.VOCABULARY - len(pieces))]
    for number, (text, kind) in enumerate(pieces):
        model.pieces.add(piece=text, type=kind, score=-float(number))
    path.write_bytes(model.SerializeToString())
