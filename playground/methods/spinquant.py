"""SpinQuant: the residual stream (R1) and the heads (R2) are rotated, which spreads outliers before rounding.

Liu et al., https://arxiv.org/abs/2405.16406. The rotations are Hadamard matrices, not learned. R3 and R4 are applied at
run time; transformers 5.17 does not apply them to a loaded checkpoint.
"""

from playground.methods.base import Method, Option
from playground.methods.llm_compressor import GROUP_RULE, Modifiers, quantization
from playground.methods.recipe import Recipe


def modifiers(recipe: Recipe) -> Modifiers:
    rotation = {option.name: option.default for option in ROW.options} | dict(recipe.options)
    rotation["rotations"] = list(rotation["rotations"])  # YAML of plain lists
    return {"SpinQuantModifier": rotation, "QuantizationModifier": quantization(recipe)}


ROW = Method(
    name="spinquant",
    title="SpinQuant",
    schemes=("W4A16", "W4A16_ASYM", "W8A16", "W3A16", "W8A8"),
    needs_calibration=False,
    output_format="compressed-tensors",
    engines=("vllm", "transformers"),
    devices=("cuda", "cpu"),
    paper="https://arxiv.org/abs/2405.16406",
    good_at="Removes outliers from weights and activations without calibration.",
    bad_at="Stores the output head apart from the embedding: a small tied model grows.",
    requires=("llmcompressor",),
    group_size=GROUP_RULE,
    hardware="As RTN: the rotations are merged into the weights and cost nothing afterwards.",
    architectures=("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"),
    job=True,
    modifiers=modifiers,
    options=(
        Option("rotations", ("R1", "R2"), "which rotations", choices=("R1", "R2", "R3", "R4")),
        Option(
            "transform_type",
            "random-hadamard",
            "kind of rotation; a plain Hadamard matrix exists for powers of two only",
            choices=("hadamard", "random-hadamard", "random-matrix"),
        ),
    ),
)
