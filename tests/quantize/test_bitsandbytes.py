"""bitsandbytes on the disk: what a fresh process loads is what was in memory, and as small as the table says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from playground.core import Progress
from playground.errors import Cancelled, InvalidRecipe, UnknownVariant
from playground.methods import on_load
from playground.methods.recipe import Recipe
from playground.metrics import weights
from playground.metrics.weights import LayerError
from playground.models import checkpoint
from playground.quantize import bitsandbytes
from playground.quantize.size import size
from tests.fakes.model import make_tiny

IDS = list(range(1, 33))
# In a process that has quantized nothing, as a user's.
RELOAD = """
import sys, torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="auto").eval()
with torch.inference_mode():
    save_file({"logits": model(torch.arange(1, 33)[None]).logits}, sys.argv[2])
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("bitsandbytes") / "tiny")


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """The same with one matrix for the input and the output, as small models have it."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("bitsandbytes") / "tied"
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype="auto", tie_word_embeddings=True)
    model.lm_head.weight = model.model.embed_tokens.weight
    model.save_pretrained(folder)
    assert "lm_head.weight" not in {tensor.name for tensor in weights.read_tensors(folder)}
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((tiny / name).read_bytes())
    return folder


def make(source: Path, target: Path, recipe: Recipe, lost: Callable[[LayerError], None] = lambda _: None) -> object:
    target.mkdir()
    return bitsandbytes.make(source, target, recipe, (), lambda _: None, lambda: False, lost)


@pytest.mark.filterwarnings("ignore::UserWarning")  # bitsandbytes: int8 casts its inputs to FP16
@pytest.mark.parametrize("scheme", ["nf4", "int8"])
@pytest.mark.parametrize("name", ["tiny", "tied"])
def test_a_fresh_process_loads_what_was_in_memory(
    scheme: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    source: Path = request.getfixturevalue(name)
    model = make(source, tmp_path / "made", Recipe(method="bitsandbytes", scheme=scheme))
    with torch.inference_mode():
        expected = model(torch.tensor([IDS])).logits  # type: ignore[operator]
    command = [sys.executable, "-c", RELOAD, str(tmp_path / "made"), str(tmp_path / "logits.safetensors")]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    assert torch.equal(load_file(tmp_path / "logits.safetensors")["logits"], expected)
    made, before = checkpoint.from_path("made", tmp_path / "made"), checkpoint.from_path(name, source)
    row, entry = on_load(scheme)
    assert made.form.method == row.name == "bitsandbytes"
    assert made.parameters == before.parameters
    estimate = weights.on_load_bytes(before.tensors, entry, "bfloat16", tied=before.tied)
    assert made.bytes == pytest.approx(estimate, rel=0.005)
    assert made.bytes < before.bytes
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / "made" / file).read_bytes() == (source / file).read_bytes()


# QLoRA, appendix E: the quantiles of a normal distribution, scaled to [-1, 1].
NF4 = (
    *(-1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0),
    *(0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0),
)


def by_hand(weight: Any, scheme: str) -> Any:
    """What the scheme makes of a matrix, as its paper says: int8 a scale for each row, nf4 one for 64 values."""
    if scheme == "int8":
        scale = np.abs(weight).max(axis=1, keepdims=True) / 127
        return np.round(weight / scale) * scale
    blocks = weight.reshape(-1, 64)
    scale = np.abs(blocks).max(axis=1, keepdims=True)
    nearest = np.abs(blocks[..., None] / scale[..., None] - np.array(NF4, np.float32)).argmin(-1)
    return (np.array(NF4, np.float32)[nearest] * scale).reshape(weight.shape)


@pytest.mark.parametrize(("scheme", "near"), [("int8", 0.01), ("nf4-single", 0.002), ("nf4", 0.02)])
def test_every_weight_tells_what_it_lost(tiny: Path, tmp_path: Path, scheme: str, near: float) -> None:
    """`near`: int8 rounds to FP16 first, and double quantization rounds nf4's scales too."""
    from safetensors.torch import load_file

    told: list[LayerError] = []
    make(tiny, tmp_path / "made", Recipe(method="bitsandbytes", scheme=scheme), told.append)
    assert len(told) == 14, "the output head is not quantized"
    weights = {name: tensor.float().numpy() for name, tensor in load_file(tiny / "model.safetensors").items()}
    for error in told:
        original = weights[f"{error.name}.weight"]
        expected = np.linalg.norm(by_hand(original, scheme) - original) / np.linalg.norm(original)
        assert error.relative_error == pytest.approx(expected, rel=near), error.name


def test_what_each_layer_lost_is_counted_as_it_is_measured(tiny: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    (tmp_path / "made").mkdir()
    bitsandbytes.make(
        tiny, tmp_path / "made", Recipe(method="bitsandbytes", scheme="int8"), (), told.append, lambda: False
    )
    assert told[-14:] == [Progress("Measuring what each layer lost", done, 14, "layers") for done in range(14)]


def test_ignored_modules_stay_as_they_are(tiny: Path, tmp_path: Path) -> None:
    recipe = Recipe(method="bitsandbytes", scheme="nf4", ignore=("model.layers.0.mlp.down_proj",))
    make(tiny, tmp_path / "made", recipe)
    kinds = {tensor.name: tensor.dtype for tensor in weights.read_tensors(tmp_path / "made")}
    assert kinds["model.layers.0.mlp.down_proj.weight"] == kinds["lm_head.weight"] == "BF16"
    assert kinds["model.layers.1.mlp.down_proj.weight"] == "U8"
    saved = json.loads((tmp_path / "made" / "config.json").read_bytes())["quantization_config"]
    assert "lm_head" in saved["llm_int8_skip_modules"]
    expected = size(checkpoint.from_path("tiny", tiny), recipe).tensors
    assert checkpoint.from_path("made", tmp_path / "made").bytes == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize(
    ("recipe", "error"),
    [
        (Recipe(method="bitsandbytes", scheme="nf5"), UnknownVariant),
        (Recipe(method="bitsandbytes", scheme="nf4", keep=(("lm_head", "int8"),)), InvalidRecipe),
        (Recipe(method="bitsandbytes", scheme="nf4", ignore=("re:.*down_proj",)), InvalidRecipe),
    ],
)
def test_a_wrong_recipe_is_one_sentence(tiny: Path, tmp_path: Path, recipe: Recipe, error: type[Exception]) -> None:
    with pytest.raises(error):
        make(tiny, tmp_path / "made", recipe)
    assert not list((tmp_path / "made").iterdir())


def test_cancel_writes_nothing(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        bitsandbytes.make(tiny, tmp_path, Recipe(method="bitsandbytes", scheme="nf4"), (), lambda _: None, lambda: True)
    assert not list(tmp_path.iterdir())
