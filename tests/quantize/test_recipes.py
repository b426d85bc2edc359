"""What was left open is filled in with a reason; what cannot work is refused with a hint, before a weight is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from playground.errors import InvalidRecipe, PlaygroundError, UnknownVariant
from playground.methods import TABLE
from playground.methods.recipe import Recipe, variant_name
from playground.metrics.weights import Tensor
from playground.models.checkpoint import Checkpoint, assemble
from playground.quantize.recipes import CONV1D, complete

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


def model(hidden: int = 576, intermediate: int = 1536, *, moe: bool = False, **config: Any) -> Checkpoint:
    """A Llama of one layer by its headers alone, as large as wanted."""
    tensors = [
        Tensor("model.embed_tokens.weight", "BF16", (1000, hidden)),
        Tensor("lm_head.weight", "BF16", (1000, hidden)),
    ]
    tensors += [Tensor(f"model.layers.0.self_attn.{name}.weight", "BF16", (hidden, hidden)) for name in ATTENTION]
    mlp = "model.layers.0.mlp"
    if moe:
        tensors.append(Tensor(f"{mlp}.gate.weight", "BF16", (4, hidden)))
        mlp = f"{mlp}.experts.0"
    tensors += [Tensor(f"{mlp}.{name}.weight", "BF16", (intermediate, hidden)) for name in ("gate_proj", "up_proj")]
    tensors.append(Tensor(f"{mlp}.down_proj.weight", "BF16", (hidden, intermediate)))
    tensors.append(Tensor("model.norm.weight", "BF16", (hidden,)))
    raw = {"architectures": ["LlamaForCausalLM"], "hidden_size": hidden, "intermediate_size": intermediate} | config
    return assemble("m", "/models/m", raw, tensors, "test")


def refused(checkpoint: Checkpoint, recipe: Recipe) -> str:
    with pytest.raises(InvalidRecipe) as caught:
        complete(checkpoint, recipe)
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize(
    ("hidden", "intermediate", "size", "reason"),
    [
        (1024, 4096, 128, "it divides every layer"),
        (576, 1536, 64, "hidden_size 576 is not divisible by 128; 64 divides"),
        (1024, 1056, 32, "intermediate_size 1056 is not divisible by 128 or 64; 32 divides"),
    ],
)
def test_the_largest_group_that_divides_every_layer(hidden: int, intermediate: int, size: int, reason: str) -> None:
    done = complete(model(hidden, intermediate), Recipe(method="rtn", scheme="W4A16"))
    assert done.recipe.group_size == size
    assert any(reason in one for one in done.reasons)


def test_an_ignored_layer_does_not_count() -> None:
    done = complete(model(1024, 1056), Recipe(method="rtn", scheme="W4A16", ignore=("re:.*down_proj$",)))
    assert done.recipe.group_size == 128
    assert done.recipe.ignore == ("lm_head", "re:.*down_proj$")


def test_nothing_that_divides_is_a_sentence() -> None:
    assert "None of 128, 64, 32 divides the 100 inputs" in refused(
        model(100, 200), Recipe(method="rtn", scheme="W4A16")
    )
    assert "does not fit" in refused(model(), Recipe(method="rtn", scheme="W4A16", group_size=128))
    assert "Use 64" in refused(model(), Recipe(method="rtn", scheme="W4A16", group_size=128))
    assert "no group size to choose" in refused(model(), Recipe(method="fp8", scheme="FP8_DYNAMIC", group_size=64))


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe(method="fp8", scheme="FP8_BLOCK"), "divisible by 128"),
        (Recipe(method="fp8", scheme="FP8_DYNAMC"), "Did you mean 'FP8_DYNAMIC'"),
        (Recipe(method="bitsandbytes", scheme="nf9"), ""),
        (Recipe(method="cast", scheme="FP32"), "while a model loads"),
        (Recipe(method="rtn", scheme="W4A16", keep=(("re:.*nothing$", "W8A16"),)), "No layer matches"),
        (Recipe(method="rtn", scheme="W4A16", keep=(("re:.*(", "W8A16"),)), "not a regular expression"),
        (Recipe(method="rtn", scheme="W4A16", keep=(("re:.*", "BF16"),)), "nothing is left"),
        (Recipe(method="rtn", scheme="W4A16", keep=(("re:.*down_proj$", "W9A16"),)), "no scheme 'W9A16'"),
        (Recipe(method="rtn", scheme="W4A16", ignore=("re:.*nothing$",)), "No layer matches"),
        (Recipe(method="rtn", scheme="W4A16", ignore=("re:.*",)), "No linear layer"),
        (Recipe(method="awq", scheme="W4A16", options={"n_grids": 4}), "Did you mean 'n_grid'"),
        (Recipe(method="awq", scheme="W4A16", options={"n_grid": 1}), "at least 3"),
        (Recipe(method="gptq", scheme="W4A16", options={"actorder": "up"}), "static, weight, group"),
        (Recipe(method="gptq", scheme="W4A16", options={"dampening_frac": True}), "a number"),
        (Recipe(method="rtn", scheme="W4A16", options={"x": 1}), "no options"),
        (Recipe(method="spinquant", scheme="W4A16", options={"rotations": ["R1", "R9"]}), "R1, R2, R3, R4"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(recipe: Recipe, words: str) -> None:
    assert words in refused(model(), recipe)


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownVariant, match="Did you mean 'gptq'"):
        complete(model(), Recipe(method="gptqq", scheme="W4A16"))


def test_an_unknown_architecture_is_not_rotated() -> None:
    assert "does not know how to rotate" in refused(
        model(architectures=["GemmaForCausalLM"]), Recipe(method="spinquant", scheme="W4A16")
    )


def test_a_quantized_checkpoint_is_refused() -> None:
    quantized = replace(model(), form=replace(model().form, method="gptq", label="GPTQ W4A16"))
    assert "already quantized (GPTQ W4A16)" in refused(quantized, Recipe(method="rtn", scheme="W4A16"))
    assert "already quantized" in refused(replace(model(), path="/models/m.gguf"), Recipe(method="rtn", scheme="W4A16"))


def test_models_without_linear_layers_are_refused_by_llm_compressors_methods() -> None:
    """GPT-2 and its kind keep a projection as [inputs, outputs]; by name and shape it looks like a linear layer."""
    gpt2 = model(model_type="gpt2")
    for row in TABLE:
        if "llmcompressor" in row.requires and not row.architectures:
            assert "Conv1D" in refused(gpt2, Recipe(method=row.name, scheme=row.schemes[0])), row.name
    assert complete(gpt2, Recipe(method="bitsandbytes", scheme="nf4")) and complete(
        gpt2, Recipe(method="gguf", scheme="Q8_0")
    )


def test_they_are_those_of_the_installed_transformers() -> None:
    from transformers.models.auto import configuration_auto, modeling_auto

    models = Path(modeling_auto.__file__).parents[1]
    using = {
        kind
        for kind in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        for file in (models / configuration_auto.model_type_to_module_name(kind)).glob("modeling_*.py")
        if "import Conv1D" in file.read_text()
    }
    assert using == set(CONV1D)


EXPERTS = "re:.*experts.*"
INT8_OR_TWO_SCALES = [
    *(("gptq", "W8A8"), ("gptq", "W4A8"), ("smoothquant", "W8A8"), ("rtn", "W4A16_ASYM"), ("awq", "W4A16_ASYM")),
    *(("nvfp4", "NVFP4"), ("nvfp4", "NVFP4A16"), ("mxfp", "MXFP8"), ("mxfp", "MXFP8A16")),
]


@pytest.mark.parametrize(("method", "scheme"), INT8_OR_TWO_SCALES)
def test_a_scheme_that_transformers_does_not_read_in_experts_is_refused(method: str, scheme: str) -> None:
    """Until "What people bring" mends it; each of these was lost at the reading back."""
    mixture = model(1024, 2048, moe=True)
    words = f"cannot load the experts of a mixture in {scheme} (model.layers.0.mlp.experts.0"
    assert words in refused(mixture, Recipe(method=method, scheme=scheme))
    assert words in refused(mixture, Recipe(method="rtn", scheme="W4A16", keep=((EXPERTS, scheme),)))
    assert complete(mixture, Recipe(method=method, scheme=scheme, keep=((EXPERTS, "W8A16"),)))


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (
            Recipe(method="rtn", scheme="W4A16", keep=(("re:.*down_proj$", "W8A16"),)),
            "as W4A16, and model.layers.0.mlp.experts.0.down",
        ),
        (Recipe(method="fp8", scheme="FP8_DYNAMIC", keep=(("re:.*up_proj$", "W8A16"),)), "would be W8A16"),
        (Recipe(method="rtn", scheme="W4A16", keep=((EXPERTS, "BF16"),)), "would be left as it is"),
        (Recipe(method="rtn", scheme="W4A16", ignore=(EXPERTS,)), "would be left as it is"),
    ],
    ids=str,
)
def test_experts_that_it_would_read_in_another_scheme_are_refused(recipe: Recipe, words: str) -> None:
    assert words in refused(model(1024, 2048, moe=True), recipe)


@pytest.mark.parametrize(
    "recipe",
    [
        *(Recipe(method="rtn", scheme=one) for one in ("W8A16", "W4A16", "W3A16", "W2A16")),
        *(Recipe(method="fp8", scheme=one) for one in ("FP8", "FP8_DYNAMIC", "FP8_BLOCK")),
        *(Recipe(method="mxfp", scheme=one) for one in ("MXFP4", "MXFP4A16")),
        Recipe(method="fp8", scheme="FP8_DYNAMIC", ignore=(EXPERTS,)),
        Recipe(method="rtn", scheme="W4A16", keep=(("re:.*self_attn.*", "W8A8"),)),
    ],
    ids=str,
)
def test_what_it_can_load_is_not(recipe: Recipe) -> None:
    assert complete(model(1024, 2048, moe=True), recipe)


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        ("mixtral", Tensor("model.layers.0.block_sparse_moe.experts.0.w1.weight", "BF16", (2048, 1024))),
        ("granitemoe", Tensor("model.layers.0.block_sparse_moe.input_linear.weight", "BF16", (4, 2048, 1024))),
        ("gpt_oss", Tensor("model.layers.0.mlp.experts.gate_up_proj", "BF16", (4, 1024, 2048))),
    ],
)
def test_mixtures_whose_experts_are_not_found_again_are_refused(kind: str, tensor: Tensor) -> None:
    mixture = replace(model(1024, 2048, model_type=kind), tensors=(*model(1024, 2048).tensors, tensor))
    for row in TABLE:
        if "llmcompressor" in row.requires and not row.architectures:
            words = refused(mixture, Recipe(method=row.name, scheme=row.schemes[0]))
            assert f"does not find the experts of a {kind} model again" in words, row.name
    assert complete(mixture, Recipe(method="bitsandbytes", scheme="nf4")) and complete(
        mixture, Recipe(method="gguf", scheme="Q8_0")
    )


def test_routers_stay_as_they_are() -> None:
    done = complete(model(1024, 2048, moe=True), Recipe(method="rtn", scheme="W4A16"))
    assert done.recipe.ignore == ("lm_head", r"re:.*mlp\.gate$")
    assert any("1 routers" in reason for reason in done.reasons)


def test_calibration_is_filled_in_where_it_is_needed() -> None:
    assert complete(model(), Recipe(method="rtn", scheme="W4A16", calibration={"samples": 4})).recipe.calibration == {}
    assert complete(model(), Recipe(method="gptq", scheme="W4A16", calibration={"samples": 4})).recipe.calibration == {
        "samples": 4
    }
    assert complete(model(), Recipe(method="gptq", scheme="W4A16")).recipe.calibration["samples"] == 32
    assert complete(model(), Recipe(method="fp8", scheme="FP8_DYNAMIC", kv_cache="FP8")).recipe.calibration
    assert complete(
        model(), Recipe(method="rtn", scheme="W4A16", keep=(("re:.*down_proj$", "FP8"),))
    ).recipe.calibration


def test_layers_that_vllm_fuses_need_one_scheme() -> None:
    split = complete(model(), Recipe(method="rtn", scheme="W4A16", keep=(("re:.*k_proj$", "W8A16"),)))
    assert any("vLLM fuses q_proj, k_proj, v_proj" in reason for reason in split.reasons)
    whole = complete(model(), Recipe(method="rtn", scheme="W4A16", keep=(("re:.*(q|k|v)_proj$", "W8A16"),)))
    assert not any("vLLM" in reason for reason in whole.reasons)


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.job and "llmcompressor" in row.requires], ids=lambda row: row.name
)
def test_completing_twice_changes_nothing(row: Any) -> None:
    for scheme in row.schemes:
        done = complete(model(1024, 2048), Recipe(method=row.name, scheme=scheme.lower()))
        assert done.recipe.scheme == scheme
        again = complete(model(1024, 2048), Recipe.from_stored(done.recipe.model_dump(mode="json")))
        assert again.recipe == done.recipe


def test_names_tell_what_differs() -> None:
    base = Recipe(method="awq", scheme="W4A16_ASYM", group_size=64)
    assert variant_name(base) == "awq-w4a16_asym-g64"
    assert variant_name(Recipe(method="fp8", scheme="FP8_DYNAMIC")) == "fp8_dynamic"
    assert variant_name(Recipe(method="mxfp", scheme="MXFP4A16")) == "mxfp4a16"
    assert variant_name(base.changed(kv_cache="FP8")) == "awq-w4a16_asym-g64-kvfp8"
    one = variant_name(base.changed(keep=(("re:.*down_proj$", "W8A16"),)))
    other = variant_name(base.changed(keep=(("re:.*up_proj$", "W8A16"),)))
    assert one.startswith("awq-w4a16_asym-g64-mixed-")
    assert one != other


def test_refusals_are_errors_of_the_tree() -> None:
    with pytest.raises(PlaygroundError):
        complete(model(), Recipe(method="rtn", scheme="W4A16", group_size=128))
