"""SmoothQuant: outliers of activations are scaled into the weights, so that both fit 8 bits; GPTQ then rounds.

Xiao et al., https://arxiv.org/abs/2211.10438
"""

from playground.methods.base import Method, Option
from playground.methods.llm_compressor import Modifiers, quantization
from playground.methods.recipe import Recipe


def modifiers(recipe: Recipe) -> Modifiers:
    strength = {name: value for name, value in recipe.options.items() if name == "smoothing_strength"}
    rest = {name: value for name, value in recipe.options.items() if name != "smoothing_strength"}
    return {"SmoothQuantModifier": strength, "GPTQModifier": {**rest, **quantization(recipe)}}


ROW = Method(
    name="smoothquant",
    title="SmoothQuant",
    schemes=("W8A8",),
    needs_calibration=True,
    output_format="compressed-tensors",
    engines=("vllm", "transformers"),
    devices=("cuda", "cpu"),
    paper="https://arxiv.org/abs/2211.10438",
    good_at="INT8 for weights and activations: faster prefill and batches, not only less memory.",
    bad_at="Twice the size of 4 bits; a single stream of decoding gains less from it.",
    requires=("llmcompressor",),
    group_size="one scale for each output channel: nothing to choose",
    hardware="INT8 products on NVIDIA GPUs from compute capability 7.5 and on CPUs with VNNI.",
    job=True,
    modifiers=modifiers,
    options=(
        Option("smoothing_strength", 0.5, "how much of the outliers moves into the weights", low=0, high=1),
        Option("dampening_frac", 0.01, "GPTQ: added to the Hessian's diagonal", low=0, high=1),
    ),
)
