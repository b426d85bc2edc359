"""What is told of a GGUF model: from its header and llama.cpp's log, and nothing that neither says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from playground.engines.llamacpp import READY, server
from playground.metrics.weights import Tensor
from playground.models import bundled, gguf
from playground.models.gguf import GgufHeader

CPU = "CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | AVX512 = 0 | FMA = 1 | REPACK = 1 |"
LOG = """0.00.274.274 I load_tensors:   CPU_Mapped model buffer size =    92.10 MiB
0.00.275.305 I llama_kv_cache:        CPU KV buffer size =    45.00 MiB
0.00.314.500 I resolve_fused_ops: Flash Attention enabled
0.00.320.089 I sched_reserve:        CPU compute buffer size =    16.64 MiB
"""
OFFLOAD = """0.00.2 I load_tensors: offloaded {}/31 layers to GPU
0.00.2 I load_tensors:        CUDA0 model buffer size =    64.00 MiB
0.00.2 I load_tensors:   CPU_Mapped model buffer size =    28.10 MiB
0.00.2 I llama_kv_cache:      CUDA0 KV buffer size =    32.00 MiB
0.00.3 I sched_reserve:      CUDA0 compute buffer size =    16.50 MiB
"""


def header(tensors: tuple[Tensor, ...] = (), **fields: Any) -> GgufHeader:
    return GgufHeader({"general.architecture": "llama", **fields}, tensors, {})


def matrix(name: str, kind: str, stored: int = 100) -> Tensor:
    return Tensor(name, kind, (8, 32), stored=stored)


def said(log: str = LOG, gpus: tuple[dict[str, str], ...] = (), info: str = CPU) -> server.Facts:
    return server.Facts(info, gpus, "1", log)


def test_facts_are_there_once_the_host_is_ready() -> None:
    line = READY + json.dumps({"system_info": CPU, "gpus": [], "version": "1", "address": "x"})
    assert server.facts(LOG) is None
    assert server.facts(LOG + line) is None, "the line is still being written"
    assert server.facts(f"{LOG}{line}\nmore") == said()
    assert server.facts(f"{LOG}{line}0.01 I srv: another thread's words\n\n") == said()


def test_tied_and_untied_bytes() -> None:
    tied = (matrix("token_embd.weight", "Q8_0", 300), matrix("blk.0.attn_q.weight", "Q4_1"))
    assert server.weight_bytes(header(tied)) == server.streamed_bytes(header(tied)) == 400
    untied = header((*tied, matrix("output.weight", "Q6_K", 200)))
    assert (server.weight_bytes(untied), server.streamed_bytes(untied)) == (600, 300)
    assert server.streamed_bytes(replace(untied, fields={**untied.fields, "llama.expert_count": 8})) is None


@pytest.mark.parametrize(
    ("fields", "k", "v", "expected"),
    [
        ({"head_count": 9, "head_count_kv": 3}, "f16", "f16", 30 * 3 * 64 * 4),
        ({"head_count": 9, "head_count_kv": 3}, "q8_0", "f16", 30 * 3 * (68 + 128)),
        ({"head_count": 9}, "f32", "f32", 30 * 9 * 64 * 8),
        ({"head_count": 9, "head_count_kv": [3] * 10 + [0] * 20}, "f16", "f16", 10 * 3 * 64 * 4),
        ({"head_count": 9, "head_count_kv": 3, "key_length": 128, "value_length": 32}, "f16", "f16", 30 * 3 * 320),
        ({}, "f16", "f16", 0),
    ],
)
def test_cache_bytes(fields: dict[str, Any], k: str, v: str, expected: int) -> None:
    attention = {f"llama.attention.{name}": value for name, value in fields.items()}
    found = header(**{"llama.block_count": 30, "llama.embedding_length": 576, **attention})
    assert server.kv_bytes_per_token(found, k, v) == expected


def test_every_cache_type_the_host_takes_has_a_size() -> None:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    from playground.engines.llamacpp.host import TYPES

    found = header(**{"llama.block_count": 1, "llama.embedding_length": 256, "llama.attention.head_count": 1})
    for name in TYPES:
        values, size = GGML_QUANT_SIZES[GGMLQuantizationType[name.upper()]]
        assert server.kv_bytes_per_token(found, name, "f16") == 256 * size // values + 512, name


def test_kernel_of_the_bundled_file_on_a_processor() -> None:
    source = bundled.gguf()
    assert source is not None
    found = gguf.read_header(source)
    assert server.kernel(found, said()) == (
        "Q4_1 blocks multiplied directly with 8-bit activations, AVX2, output matrix Q8_0, flash attention"
    )
    assert server.kv_bytes_per_token(found, "f16", "f16") * 2048 == 45 * 2**20, "as llama.cpp's log says"
    assert server.context(found, 10**6) == 8192 and server.context(found, 512) == 512
    assert server.has_chat_template(found) and len(server.vocabulary(found)) == 49152


def test_kernel_claims_only_what_is_known() -> None:
    plain = header((matrix("blk.0.attn_q.weight", "F16"), matrix("token_embd.weight", "F16")))
    assert server.kernel(plain, said("", info="CPU : NEON = 1 |")) == "F16 weights multiplied as F16, NEON"
    blocks = header((matrix("blk.0.attn_q.weight", "Q4_0"), matrix("token_embd.weight", "Q4_0")))
    repacked = said("0.1 I load_tensors:   CPU_REPACK model buffer size =    60.00 MiB\n", info="")
    assert server.kernel(blocks, repacked) == (
        "Q4_0 blocks repacked for this processor multiplied directly with 8-bit activations"
    )


@pytest.mark.parametrize(
    ("layers", "device", "words"),
    [
        (31, "cuda", "in llama.cpp's CUDA0 kernels"),
        (12, "cuda", "for 12 of 31 layers, the rest"),
        (0, "cpu", "8-bit act"),
    ],
)
def test_a_gpu_is_named_where_layers_are_on_it(layers: int, device: str, words: str) -> None:
    found = said(OFFLOAD.format(layers), ({"name": "CUDA0", "description": "NVIDIA"},))
    assert found.device == device
    assert words in server.kernel(header((matrix("blk.0.attn_q.weight", "Q4_1"),)), found)
    assert found.gpu_bytes == int(112.5 * 2**20)


def test_metal_is_mps() -> None:
    assert said(OFFLOAD.format(31), ({"name": "MTL0", "description": "Apple M4"},)).device == "mps"
    assert said().device == "cpu" and said().gpu_bytes == 0


def test_a_refusal_is_the_first_error_in_llamacpps_words() -> None:
    log = (
        "0.00.006.046 I srv    load_model: loading model 'x.gguf'\n"
        "0.00.042.189 E llama_model_load: error loading model: unknown model architecture: 'klama'\n"
        "0.00.042.268 E llama_model_load_from_file_impl: failed to load model\n"
    )
    assert server.refusal(log) == "error loading model: unknown model architecture: 'klama'"
    assert server.refusal("0.00.1 I fine: all well\n") == ""


def test_a_taken_port_is_recognized() -> None:
    log = "0.00.003.551 E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 45555\n"
    assert server.PORT_TAKEN.search(log) and not server.PORT_TAKEN.search(LOG)


def test_the_hash_follows_the_tokens() -> None:
    one = header(**{"tokenizer.ggml.tokens": ["a", "b"]})
    other = header(**{"tokenizer.ggml.tokens": ["b", "a"]})
    assert server.tokenizer_hash(one) != server.tokenizer_hash(other)
    assert server.tokenizer_hash(one) == server.tokenizer_hash(header(**one.fields))
