"""NVFP4: 4-bit floating point (E2M1) in groups of 16 with an FP8 scale each and one FP32 scale for the tensor.

NVIDIA, Pretraining large language models with NVFP4, https://arxiv.org/abs/2509.25149
"""

from playground.methods.base import Method
from playground.methods.llm_compressor import Modifiers, quantization
from playground.methods.recipe import Recipe


def modifiers(recipe: Recipe) -> Modifiers:
    return {"QuantizationModifier": quantization(recipe)}


ROW = Method(
    name="nvfp4",
    title="NVFP4",
    schemes=("NVFP4A16", "NVFP4"),
    needs_calibration=False,
    output_format="compressed-tensors",
    engines=("vllm", "transformers"),
    devices=("cuda", "cpu"),
    paper="https://arxiv.org/abs/2509.25149",
    good_at="The 4-bit format of Blackwell GPUs: small groups keep the loss low.",
    bad_at="Elsewhere it saves memory at best; vLLM has no kernel for it on a CPU.",
    requires=("llmcompressor",),
    group_size="16, fixed by the format",
    hardware="FP4 products on NVIDIA GPUs of compute capability 10.0 and 12.0; weights only from 7.5 on.",
    job=True,
    modifiers=modifiers,
)
