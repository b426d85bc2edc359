"""A tiny random model of every causal architecture of the installed transformers, made to show wrong decoding.

Attention is sharp, so that a wrong position or mask changes the answer; states decay slowly, so that a state that is
lost does; windows (64 tokens) and LongRoPE's limit (280) are shorter than the prompts that are asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tests.fakes.model import make_tiny

VOCABULARY = 320  # the tokenizer of `make_tiny` has fewer tokens; a multiple of 64
ROPE_LIMIT = 280  # above the product's usual pass of 256 tokens, so that passes before and behind it differ
# Models of images, sound or several parts, whose text model has an entry of its own or which is no text model.
NOT_TEXT = frozenset(
    {"blt", "emu3", "fuyu", "git", "got_ocr2", "whisper", "trocr", "musicgen", "musicgen_melody", "moshi", "mllama"}
    | {"phi4_multimodal", "llama4", "gemma3", "gemma3n", "gemma4", "gemma4_unified", "gemma4_assistant"}
    | {"gemma4_unified_assistant", "qwen3_5", "qwen3_5_moe", "qwen4_exp"}
)
KINDS = tuple(kind for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if kind not in NOT_TEXT)

# What each configuration is given of these, where it has a field of the name.
_SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim"), 64),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "decoder_ffn_dim"), 96),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 4),
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 3),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx"), 1024),
    **dict.fromkeys(("sliding_window", "attention_window_size", "local_attention"), 64),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk"), 2),
    **dict.fromkeys(
        ("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size", "q_lora_rank"), 32
    ),
    **dict.fromkeys(("head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 16),
    "num_key_value_heads": 2,
    "kv_lora_rank": 32,
    "encoder_ffn_dim": 96,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "max_window_layers": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "tie_word_embeddings": False,
    "is_decoder": True,
    "use_cache": True,
}
_LINEAR = ["linear_attention", "full_attention"] * 2
_SLIDING = ["sliding_attention", "full_attention"] * 2
_MAMBA2 = {
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 32,
    "mamba_expand": 2,
}
_DELTA = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "layer_types": _LINEAR,
}
_ALL_HEADS = {"num_key_value_heads": 4}


def longrope(limit: int = ROPE_LIMIT) -> dict[str, Any]:
    """Changes that make a configuration with heads of 16 rotate by other factors past `limit` tokens."""
    return {
        "original_max_position_embeddings": limit,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0 + 0.05 * i for i in range(8)],
            "long_factor": [1.5 + 0.3 * i for i in range(8)],
            "original_max_position_embeddings": limit,
        },
    }


_MORE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("axk1", "axk2", "deepseek_v2", "deepseek_v32", "glm4_moe_lite"), _ALL_HEADS),
    **dict.fromkeys(("glm_moe_dsa", "minicpm3", "youtu"), _ALL_HEADS),
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text", "olmo_hybrid"), _DELTA),
    **{kind: {"use_sliding_window": True} for kind in ("qwen2", "qwen3", "qwen3_moe")},
    **{kind: {"n_head": 4} for kind in ("gpt2", "gpt_bigcode")},
    **{kind: {"layer_types": _SLIDING} for kind in ("cohere2", "gpt_oss", "modernbert-decoder")},
    **{kind: {"query_pre_attn_scalar": 16} for kind in ("gemma2", "vaultgemma")},
    "bamba": _MAMBA2 | {"attn_layer_indices": [1, 2]},
    "codegen": {"rotary_dim": 8, "n_head": 4},
    "ctrl": {"dff": 96, "n_layer": 3},
    "dbrx": {
        "ffn_config": {"ffn_hidden_size": 96, "moe_num_experts": 4, "moe_top_k": 2},
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
    },
    "deepseek_v3": _ALL_HEADS
    | {
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 256,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "beta_fast": 32,
            "beta_slow": 1,
        }
    },
    "dots1": {"n_shared_experts": 1},
    "exaone4": {"sliding_window_pattern": 2, "layer_types": _SLIDING},
    "falcon": {"new_decoder_architecture": False, "multi_query": True, "alibi": False},
    "falcon_h1": _MAMBA2 | {"mamba_d_ssm": 128},
    "falcon_mamba": {"state_size": 8},
    "gemma3_text": {"query_pre_attn_scalar": 16, "sliding_window_pattern": 2},
    "gemma3n_text": {
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 8,
        "num_kv_shared_layers": 2,
        "laurel_rank": 8,
        "layer_types": _SLIDING,
        "activation_sparsity_pattern": None,
        "intermediate_size": 96,
    },
    "gemma4_text": {
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 8,
        "num_kv_shared_layers": 2,
        "layer_types": _SLIDING,
        "global_head_dim": 32,
        "num_global_key_value_heads": 2,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 64, "num_layers": 4, "num_heads": 4},
    "gptj": {"rotary_dim": 8},
    "granitemoehybrid": _MAMBA2 | {"layer_types": ["mamba", "attention"] * 2},
    "jamba": {
        "mamba_d_state": 8,
        "mamba_dt_rank": 8,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "use_mamba_kernels": False,
    },
    "jetmoe": _ALL_HEADS | {"kv_channels": 16},
    "kimi_linear": _ALL_HEADS | {"layer_types": _LINEAR, "linear_head_dim": 16, "linear_num_heads": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2, "block_auto_adjust_ff_dim": False},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "llama4_text": {"attention_chunk_size": 64, "intermediate_size_mlp": 96, "no_rope_layers": [1, 1, 1, 0]},
    "longcat_flash": _ALL_HEADS
    | {"expert_ffn_size": 32, "num_layers": 2, "zero_expert_num": 2, "ffn_hidden_size": 96, "moe_topk": 2},
    "mamba": {"state_size": 8},
    "mamba2": {"state_size": 8, "num_heads": 8, "head_dim": 16, "n_groups": 1, "chunk_size": 32},
    "minimax": {"layer_types": _LINEAR, "block_size": 32, "sliding_window": None},
    "nemotron_h": {
        "mamba_num_heads": 8,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 1,
        "chunk_size": 32,
        "layers_block_type": ["mamba", "attention", "mamba", "moe", "attention"],
        "moe_shared_expert_intermediate_size": 32,
        "num_hidden_layers": 5,
    },
    "opt": {"word_embed_proj_dim": 64},
    "phi3": longrope() | {"sliding_window": None},
    "phimoe": longrope()
    | {"rope_parameters": longrope()["rope_parameters"] | {"short_mscale": 1.1, "long_mscale": 1.2}},
    "qwen2_moe": {"use_sliding_window": True, "decoder_sparse_step": 1},
    "recurrent_gemma": {"lru_width": 64, "block_types": ["recurrent", "attention"], "num_key_value_heads": 1},
    "reformer": {
        "attn_layers": ["local", "local"],
        "axial_pos_embds": True,
        "axial_pos_shape": [32, 32],
        "axial_pos_embds_dim": [32, 32],
        "attention_head_size": 16,
        "feed_forward_size": 96,
        "local_attn_chunk_length": 32,
    },
    "rwkv": {"attention_hidden_size": 64, "context_length": 1024, "intermediate_size": 128},
    "smollm3": {"no_rope_layer_interval": 2},
    "stablelm": _ALL_HEADS | {"partial_rotary_factor": 0.25},
    "xglm": {"attention_heads": 4},
    "xlm": {"emb_dim": 64, "causal": True, "is_encoder": True, "n_layers": 3},
    "xlnet": {"d_inner": 96, "n_layer": 3},
    "xlstm": {"num_blocks": 4, "embedding_dim": 64, "chunk_size": 32, "return_last_states": True},
    "zamba": _ALL_HEADS
    | {
        "mamba_d_state": 8,
        "mamba_dt_rank": 8,
        "n_mamba_heads": 2,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "use_mamba_kernels": False,
        "attention_head_dim": 32,
    },
    "zamba2": _ALL_HEADS
    | {
        "mamba_d_state": 8,
        "n_mamba_heads": 8,
        "mamba_headdim": 16,
        "mamba_ngroups": 1,
        "chunk_size": 32,
        "num_mem_blocks": 1,
        "use_mem_rope": True,
        "adapter_rank": 8,
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "use_mamba_kernels": False,
        "attention_head_dim": 32,
        "head_dim": 32,
    },
    "zaya": {"num_experts_per_tok": 1},
}
# Architectures with a state beside or instead of keys and values.
STATEFUL = frozenset(
    {"bamba", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "mamba", "mamba2", "nemotron_h"}
    | {"recurrent_gemma", "rwkv", "zamba", "zamba2"}
)


def configuration(kind: str, **changes: Any) -> Any:
    """The configuration of `kind` (a model_type) at tiny sizes; `changes` win over everything."""
    cls = CONFIG_MAPPING[kind]
    default = cls()
    aliases: Mapping[str, str] = cls.attribute_map
    fields = {*inspect.signature(cls.__init__).parameters, *cls.__dataclass_fields__, *aliases}
    wanted = {name: value for name, value in _SIZES.items() if name in fields}
    for name in ("head_dim", "sliding_window", "intermediate_size"):
        if name in wanted and isinstance(_default(default, name), (list, tuple)):
            del wanted[name]  # a list, one entry a layer
    for alias, name in aliases.items():
        if alias != name and name in wanted:
            wanted.pop(alias, None)
    return cls(**wanted | {"vocab_size": VOCABULARY} | _MORE.get(kind, {}) | changes)


def _default(config: Any, name: str) -> Any:
    try:
        return getattr(config, name, None)
    except Exception:  # noqa: BLE001 - some configurations refuse to name one value where layers have several
        return None


def make(
    folder: Path, kind: str, *, dtype: torch.dtype = torch.float32, seed: int = 1, **changes: Any
) -> PreTrainedModel:
    """Write a checkpoint of `kind` into `folder`, with a tokenizer, and return the model.

    Its greedy text has no end: the generation config names no end token.
    """
    make_tiny(folder)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (folder / name).unlink(missing_ok=True)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(configuration(kind, **changes))
    _sharpen(model, seed, stateful=kind in STATEFUL)
    model.generation_config.eos_token_id = None
    model.to(dtype).save_pretrained(folder)
    return model.eval()


_EMBEDDINGS = ("embed", "wte", "wpe", "lm_head", "word_embedding")
_ATTENTION = ("attn", "attention", "mixer")
_STATE_INPUTS = ("in_proj", "x_proj", "out_proj", "linear_x", "linear_y", "linear_out")
_DYNAMICS = ("conv", "a_log", "time_", "dt_proj", "rglru", "rg_lru", "recurrent_gate", "input_gate")


@torch.no_grad()
def _sharpen(model: PreTrainedModel, seed: int, stateful: bool) -> None:
    random = torch.Generator().manual_seed(seed)
    attention, other = (0.7, 0.5) if stateful else (2.0, 0.9)
    for name, weight in model.named_parameters():
        lowered = name.lower()
        if weight.dim() >= 2 and weight.is_floating_point():
            if stateful and any(part in lowered for part in _STATE_INPUTS):
                size = 3.0 / weight.shape[-1] ** 0.5
            elif any(part in lowered for part in _DYNAMICS):
                continue
            elif any(part in lowered for part in _EMBEDDINGS):
                size = 0.5
            else:
                sharp = any(part in lowered for part in _ATTENTION)
                size = (attention if sharp else other) / weight.shape[-1] ** 0.5
            weight.copy_(torch.randn(weight.shape, generator=random) * size)
    for name, weight in model.named_parameters() if stateful else ():
        if name.endswith("A_log"):
            weight.fill_(-3.0)
        elif name.endswith(("dt_proj.bias", "dt_proj_bias")):
            weight.zero_()
        elif name.endswith("recurrent_param"):
            weight.fill_(1e-4)
