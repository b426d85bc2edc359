"""MXFP4 and MXFP8: the open microscaling formats, groups of 32 that share a power of two.

Rouhani et al., Microscaling data formats for deep learning, https://arxiv.org/abs/2310.10537
"""

from playground.methods.base import Method
from playground.methods.llm_compressor import Modifiers, quantization
from playground.methods.recipe import Recipe


def modifiers(recipe: Recipe) -> Modifiers:
    return {"QuantizationModifier": quantization(recipe)}


ROW = Method(
    name="mxfp",
    title="MXFP",
    schemes=("MXFP4A16", "MXFP4", "MXFP8A16", "MXFP8"),
    needs_calibration=False,
    output_format="compressed-tensors",
    engines=("vllm", "transformers"),
    devices=("cuda", "cpu"),
    paper="https://arxiv.org/abs/2310.10537",
    good_at="An open standard with hardware from several makers. Needs no calibration.",
    bad_at="Scales are powers of two: at 4 bits it loses more than NVFP4.",
    requires=("llmcompressor",),
    group_size="32, fixed by the format",
    hardware="MX products on NVIDIA GPUs of compute capability 10.0 and on AMD MI350; vLLM has no kernel on a CPU.",
    job=True,
    modifiers=modifiers,
)
