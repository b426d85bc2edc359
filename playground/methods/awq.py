"""AWQ: weights of channels with large activations are scaled up before rounding, which reduces their relative error.

Lin et al., https://arxiv.org/abs/2306.00978
"""

from playground.methods.base import Method, Option
from playground.methods.llm_compressor import GROUP_RULE, Modifiers, quantization
from playground.methods.recipe import Recipe


def modifiers(recipe: Recipe) -> Modifiers:
    # AWQ only scales; the quantizer that follows rounds.
    return {"AWQModifier": dict(recipe.options), "QuantizationModifier": quantization(recipe)}


ROW = Method(
    name="awq",
    title="AWQ",
    schemes=("W4A16_ASYM", "W4A16", "W8A16", "W3A16"),
    needs_calibration=True,
    output_format="compressed-tensors",
    engines=("vllm", "transformers"),
    devices=("cuda", "cpu"),
    paper="https://arxiv.org/abs/2306.00978",
    good_at="4 bits with little loss: it searches for per-channel scales; weights are not re-fitted.",
    bad_at="The search runs every block some twenty times: minutes on a GPU, long on a CPU.",
    requires=("llmcompressor",),
    group_size=GROUP_RULE,
    hardware="As RTN: vLLM's integer kernels on NVIDIA GPUs from compute capability 7.5, 4 bits on a CPU.",
    job=True,
    modifiers=modifiers,
    options=(
        Option("n_grid", 20, "scales tried for each mapping; fewer is faster", low=3),
        Option("duo_scaling", True, "let the weights' size count too, not only the activations'"),
    ),
)
