"""FP8 (E4M3): weights and activations in 8-bit floating point, which represents outliers that INT8 would clip.

Micikevicius et al., FP8 formats for deep learning, https://arxiv.org/abs/2209.05433
"""

from playground.methods.base import Method
from playground.methods.llm_compressor import Modifiers, quantization
from playground.methods.recipe import Recipe


def modifiers(recipe: Recipe) -> Modifiers:
    return {"QuantizationModifier": quantization(recipe)}


ROW = Method(
    name="fp8",
    title="FP8",
    schemes=("FP8_DYNAMIC", "FP8", "FP8_BLOCK"),
    needs_calibration=False,
    output_format="compressed-tensors",
    engines=("vllm", "transformers"),
    devices=("cuda", "cpu"),
    paper="https://arxiv.org/abs/2209.05433",
    good_at="Halves the weights that it quantizes with hardly any loss; the embedding keeps its 16 bits. "
    "Dynamic scales need no calibration.",
    bad_at="Fast only where the hardware multiplies FP8; elsewhere it is emulated or unpacked.",
    requires=("llmcompressor",),
    group_size="a scale for each channel, tensor or 128×128 block, as the scheme says",
    hardware="FP8 products on NVIDIA GPUs from compute capability 8.9; emulated, so slow, on a CPU.",
    job=True,
    modifiers=modifiers,
)
