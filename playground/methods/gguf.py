"""GGUF: the block formats of llama.cpp, multiplied without being unpacked."""

from __future__ import annotations

from collections.abc import Mapping

from playground.methods.base import Method

FLOATS = ("BF16", "F16")  # converted, not quantized
BASE: Mapping[str, str] = {
    "Q8_0": "Q8_0",
    "Q6_K": "Q6_K",
    "Q5_K_M": "Q5_K",
    "Q5_1": "Q5_1",
    "Q5_0": "Q5_0",
    "Q4_K_M": "Q4_K",
    "Q4_K_S": "Q4_K",
    "Q4_1": "Q4_1",
    "Q4_0": "Q4_0",
    "Q3_K_M": "Q3_K",
    "Q2_K": "Q2_K",
}

ROW = Method(
    name="gguf",
    title="GGUF",
    schemes=(*BASE, *FLOATS),
    needs_calibration=False,
    output_format="one .gguf file",
    engines=("llamacpp", "transformers"),
    devices=("cuda", "mps", "cpu"),
    paper="https://github.com/ggml-org/llama.cpp/pull/1684",
    good_at="One file that decodes fast on a CPU: llama.cpp computes directly on the quantized blocks.",
    bad_at="Only llama.cpp and its relatives have the kernels; transformers unpacks it to BF16.",
    requires=("xllamacpp", "gguf", "auto_round"),
    group_size="Fixed: blocks of 32, K-quants 256; rows that are no multiple of 256 fall back to blocks of 32.",
    hardware="Fast on processors, Apple GPUs and NVIDIA GPUs alike.",
    job=True,
)
