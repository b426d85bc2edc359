"""RTN, round to nearest: each group of weights is scaled to the integer grid and rounded. No calibration.

The baseline of every paper on weight quantization, for example Frantar et al., https://arxiv.org/abs/2210.17323
"""

from playground.methods.base import Method
from playground.methods.llm_compressor import GROUP_RULE, Modifiers, quantization
from playground.methods.recipe import Recipe


def modifiers(recipe: Recipe) -> Modifiers:
    return {"QuantizationModifier": quantization(recipe)}


ROW = Method(
    name="rtn",
    title="RTN",
    schemes=("W8A16", "W4A16", "W4A16_ASYM", "W3A16", "W2A16"),
    needs_calibration=False,
    output_format="compressed-tensors",
    engines=("vllm", "transformers"),
    devices=("cuda", "cpu"),
    paper="https://arxiv.org/abs/2210.17323",
    good_at="Done in seconds, without calibration: the baseline that every other method has to beat.",
    bad_at="At 4 bits and below it loses more than GPTQ or AWQ at the same size.",
    requires=("llmcompressor",),
    group_size=GROUP_RULE,
    hardware="Integer kernels for 4 and 8 bits on NVIDIA GPUs from compute capability 7.5 (vLLM), 4 bits on a CPU; "
    "no kernels for 3 and 2 bits: use only to study quality.",
    job=True,
    modifiers=modifiers,
)
