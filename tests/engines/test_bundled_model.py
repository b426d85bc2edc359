"""The bundled model for real: what the host generates is what transformers generates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from playground import models
from playground.compare.answer import Answer
from playground.compare.run import Comparison, PaneRequest
from playground.core import Sampling
from playground.engines.transformers import TransformersEngine
from playground.methods.bitsandbytes import quantization_config

TOKENS = 24
VARIANTS = ("smollm2", "smollm2:nf4", "smollm2:int8")
ASK = ({"role": "user", "content": "What is gravity?"},)


@pytest.fixture(scope="module")
def results(host: TransformersEngine) -> list[Answer]:
    panes = [PaneRequest(name, messages=ASK) for name in VARIANTS]  # type: ignore[arg-type]
    found = [Answer(name) for name in VARIANTS]
    for event in Comparison(host, panes, Sampling(max_tokens=TOKENS)).events():
        found[event.pane].add(event.item)
    return found


def stock(path: str, prompt: tuple[int, ...], quantize: str | None) -> list[int]:
    """Greedy ids of plain transformers, loaded by plain transformers."""
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {}
    if quantize:
        options = {"quantization_config": quantization_config(quantize, "bfloat16"), "device_map": "cpu"}
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16, local_files_only=True, **options)
    inputs = torch.tensor([prompt])
    output = model.generate(inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=TOKENS, do_sample=False)
    return list(output[0, len(prompt) :].tolist())


def test_it_answers_in_english_about_gravity(results: list[Answer]) -> None:
    assert all(result.error is None for result in results), [str(result.error) for result in results]
    assert results[0].text.startswith("Gravity is a fundamental")
    assert "gravity" in results[1].text.lower() and "gravity" in results[2].text.lower()


@pytest.mark.filterwarnings("ignore")  # bitsandbytes and transformers warn about their own internals
@pytest.mark.parametrize(("pane", "quantize"), [(0, None), (1, "nf4"), (2, "int8")])
def test_greedy_ids_equal_transformers_generate(results: list[Answer], pane: int, quantize: str | None) -> None:
    path = models.resolve("smollm2").path
    prompt = results[pane].prompt
    assert prompt is not None and Path(path).is_dir()
    assert results[pane].token_ids == stock(path, prompt.ids, quantize)


def test_sizes_told_before_agree_with_what_was_loaded(results: list[Answer]) -> None:
    assert results[0].loaded is not None
    workspace = results[0].loaded.weight_bytes * 0.75  # LLM.int8() makes wide copies as it goes: 50 to 150 MB seen
    for result in results:
        assert result.variant is not None and result.loaded is not None and result.variant.bytes is not None
        # Where a processor has AVX512-BF16, bitsandbytes repacks nf4 in the first forward pass: 1.2 % more.
        assert result.loaded.weight_bytes == pytest.approx(result.variant.bytes, rel=0.015)
        assert result.peak_memory_bytes is not None
        assert result.loaded.weight_bytes * 0.9 < result.peak_memory_bytes < result.loaded.weight_bytes + workspace


def test_metrics_recompute_from_the_times(results: list[Answer]) -> None:
    for result in results:
        row = result.as_json()
        times, metrics = row["times_s"], row["metrics"]
        assert metrics["ttft_s"] == times[0] and metrics["e2e_s"] == times[-1]
        assert metrics["decode_tok_s"] == pytest.approx((len(times) - 1) / (times[-1] - times[0]))
        assert metrics["prefill_tok_s"] == pytest.approx(metrics["prompt_tokens"] / row["steps_s"][0])
