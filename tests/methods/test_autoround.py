"""AutoRound through llm-compressor: trained on given ids, saved as compressed-tensors, the same after reloading."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from playground.jobs.progress import Report
from playground.methods import autoround, method
from playground.methods.llm_compressor import Modifiers
from playground.methods.recipe import Recipe
from playground.metrics.weights import LayerError, read_tensors
from playground.models import checkpoint
from playground.quantize import compressor
from playground.quantize.reload import in_fresh_process
from tests.fakes.model import make_tiny

RECIPE = Recipe(
    method="autoround", scheme="W4A16", group_size=32, ignore=("lm_head",), options={"iters": 3, "batch_size": 2}
)


def arguments(recipe: Recipe) -> dict[str, object]:
    (found,) = autoround.modifiers(recipe).values()
    return dict(found)


def test_its_row_is_in_the_table_and_its_defaults_suit_a_processor() -> None:
    assert method("autoround") is autoround.ROW
    found = arguments(Recipe(method="autoround", scheme="W4A16", group_size=128, ignore=("lm_head",)))
    assert found["iters"] == 20
    assert found["enable_torch_compile"] is False
    assert (found["scheme"], found["ignore"]) == ("W4A16", ["lm_head"])
    assert arguments(RECIPE)["iters"] == 3


def quantize(source: Path, target: Path, modifiers: Modifiers, folder: Path) -> list[LayerError]:
    numbers = random.Random(0)
    tokens = [[numbers.randrange(3, 290) for _ in range(length)] for length in (64, 64, 48, 64)]
    target.mkdir()
    report = Report(folder)
    try:
        return compressor.quantize(source, target, modifiers, tokens, folder / "probe.safetensors", report)
    finally:
        report.close()


@pytest.mark.filterwarnings("ignore")  # auto-round's own, about its arguments and this processor
def test_what_is_saved_is_what_was_trained(tmp_path: Path) -> None:
    source, made, job = make_tiny(tmp_path / "tiny"), tmp_path / "made", tmp_path / "job"
    job.mkdir()
    errors = quantize(source, made, autoround.modifiers(RECIPE), job)

    assert [error.name for error in errors] == [
        f"model.layers.{layer}.{part}"
        for layer in range(2)
        for part in (
            *(f"self_attn.{part}_proj" for part in "qkvo"),
            *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
        )
    ]
    assert all(0.03 < error.relative_error < 0.3 for error in errors)  # 4 bits of random weights; 0: not measured
    found = checkpoint.from_path("made", made)
    assert (found.form.label, found.parameters) == ("W4A16", checkpoint.from_path("tiny", source).parameters)
    kinds = {tensor.name: tensor.dtype for tensor in read_tensors(made)}
    assert kinds["model.layers.0.mlp.up_proj.weight_packed"] == "I32"
    assert kinds["model.layers.0.input_layernorm.weight"] == kinds["lm_head.weight"] == "BF16"

    reload = in_fresh_process(made, job / "probe.safetensors")
    assert reload["agrees"]
    assert reload["relative_logit_error"] < 0.01
