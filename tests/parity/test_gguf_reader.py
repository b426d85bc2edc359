"""A GGUF file is its original in transformers, or is refused there. `make prove` asks all architectures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from playground import models
from playground.engines import base, subjects
from playground.errors import EngineUnavailable, EvaluationError
from tests.parity import product, tiny
from tests.parity.gguf_reader import SILENT, mean_kld, reading

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' and gguf's own
READ = {
    "llama, llama3": "rope_freqs.weight",
    "phi3, longrope": "rope_factors_long.weight",
    "starcoder2, theta": "rope.freq_base (999999.0)",
    "qwen3, heads of 16": "attention.key_length (16)",
    "gemma2, soft caps": "attn_logit_softcapping (20.0)",
    "qwen2, window": "",
    "qwen3_moe": "",
}
REFUSED = {
    "mistral, window": "sliding window of 64 tokens",
    "mixtral": r"ignores expert_count \(4\)",
    "falcon, grouped heads": r"ignores attention.head_count_kv \(2\)",
    "lfm2": "does not know the tokenizer",
}


@pytest.mark.parametrize("case", READ)
def test_a_variant_is_read_with_the_configuration_of_its_original(case: str, home: Path, tmp_path: Path) -> None:
    result = reading(tmp_path, case)
    assert not result.not_exported
    assert result.variant.kld, result.variant.refused
    assert result.holds
    assert READ[case] in result.bare.refused
    assert bool(result.bare.kld) is not bool(READ[case])
    assert result.bare.holds is (case not in SILENT)


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_another_model_is_for_llama_cpp_alone(case: str, home: Path, tmp_path: Path) -> None:
    result = reading(tmp_path, case)
    assert "@llamacpp" in result.variant.refused
    model = next(tmp_path.glob("source-*"))
    name = f"{model}:gguf-f16"
    assert models.variant(name).engines == ("llamacpp",)
    assert base.together([str(model), name])[1] == name, "llama.cpp, though the original runs in transformers"
    with pytest.raises(EngineUnavailable, match=REFUSED[case]):
        subjects.find([name])
    with pytest.raises(EvaluationError, match=REFUSED[case]):
        subjects.refuse_unread(models.variant(name))


def test_a_configuration_that_was_written_since_is_not_the_originals(home: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    tiny.make(model, "llama", dtype=torch.bfloat16, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    name, _ = product.export(model, tmp_path / "made", "F16")
    original, config = product.load(model).model, model / "config.json"
    config.write_text(config.read_text().replace("10000.0", "500.0"))
    assert mean_kld(original, product.load_variant(name).model, 300) < 1e-6, "the file says what it is"
    assert mean_kld(product.load(model).model, product.load_variant(name).model, 300) > 0.1


def test_a_variant_computes_in_the_type_of_its_original(home: Path, tmp_path: Path) -> None:
    tiny.make(tmp_path / "model", "llama", dtype=torch.float16)
    name, _ = product.export(tmp_path / "model", tmp_path / "made", "F16")
    assert models.variant(name).dtype == models.variant(str(tmp_path / "model")).dtype == "float16"
    original, variant = product.load(tmp_path / "model").model, product.load_variant(name).model
    assert mean_kld(original, variant, 300) == 0
