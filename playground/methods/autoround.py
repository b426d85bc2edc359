"""AutoRound: learns by signed gradient descent, block by block, whether each weight is rounded up or down.

Cheng et al., https://arxiv.org/abs/2309.05516
"""

from playground.methods.base import Method, Option
from playground.methods.llm_compressor import GROUP_RULE, Modifiers, quantization
from playground.methods.recipe import Recipe


def modifiers(recipe: Recipe) -> Modifiers:
    defaults = {option.name: option.default for option in ROW.options}
    return {"AutoRoundModifier": {**defaults, **recipe.options, **quantization(recipe)}}


ROW = Method(
    name="autoround",
    title="AutoRound",
    schemes=("W4A16", "W3A16", "W2A16", "W8A16"),
    needs_calibration=True,
    output_format="compressed-tensors",
    engines=("vllm", "transformers"),
    devices=("cuda", "cpu"),
    paper="https://arxiv.org/abs/2309.05516",
    good_at="The least loss at 2 to 4 bits, in the same format as GPTQ's.",
    bad_at="Trains every block: minutes for a small model, hours for a large one, and longer on a CPU.",
    requires=("llmcompressor", "auto_round"),
    group_size=GROUP_RULE,
    hardware="As RTN at run time; making it needs a GPU to be practical.",
    job=True,
    modifiers=modifiers,
    options=(
        # AutoRound's default of 200 takes half an hour for the smallest model on a CPU.
        Option("iters", 20, "steps of gradient descent per block; 200 in the paper", low=0, high=10_000),
        Option("batch_size", 8, "samples per step", low=1, high=1024),
        Option("enable_torch_compile", False, "compile the training step: worth it on a GPU only"),
    ),
)
