"""GPTQ: weights are rounded column by column, and the error of each column is compensated in the remaining ones.

Frantar et al., https://arxiv.org/abs/2210.17323
"""

from playground.methods.base import Method, Option
from playground.methods.llm_compressor import GROUP_RULE, Modifiers, quantization
from playground.methods.recipe import Recipe


def modifiers(recipe: Recipe) -> Modifiers:
    return {"GPTQModifier": {**recipe.options, **quantization(recipe)}}


ROW = Method(
    name="gptq",
    title="GPTQ",
    schemes=("W4A16", "W4A16_ASYM", "W8A16", "W3A16", "W2A16", "W8A8", "W4A8"),
    needs_calibration=True,
    output_format="compressed-tensors",
    engines=("vllm", "transformers"),
    devices=("cuda", "cpu"),
    paper="https://arxiv.org/abs/2210.17323",
    good_at="Less loss than RTN at the same size, above all at 3 and 4 bits.",
    bad_at="Takes minutes to hours. It fits the calibration text, so text unlike the later use makes it worse.",
    requires=("llmcompressor",),
    group_size=GROUP_RULE,
    hardware="As RTN; W8A8 multiplies INT8 on NVIDIA GPUs from compute capability 7.5 and on CPUs with VNNI.",
    job=True,
    modifiers=modifiers,
    options=(
        Option("block_size", 128, "columns quantized in one pass", low=1),
        Option("dampening_frac", 0.01, "added to the Hessian's diagonal, as a share of its mean", low=0, high=1),
        Option("actorder", "static", "order of the columns", choices=("static", "weight", "group")),
    ),
)
