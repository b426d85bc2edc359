"""One architecture of each kind answers as transformers does. `make prove` asks all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from playground.engines.host.cache import GrowingLayer
from playground.errors import UnsupportedModel
from tests.parity import product, tiny
from tests.parity.compare import TOLERANCE, parity, prompt_of

KINDS = {
    "llama": "keys and values",
    "mistral": "a sliding window",
    "gemma3_text": "window and full attention in turn",
    "gpt2": "learned positions",
    "mixtral": "experts",
    "bamba": "counts positions from 0 in every pass that is given none",
    "phi3": "LongRoPE",
    "jamba": "a state that a pass of several tokens drops",
    "zamba": "the same, with shared layers",
    "qwen3_next": "linear attention",
    "mamba": "a state alone",
    "minimax": "a cache of its own",
    "rwkv": "a state that is no cache",
    "openai-gpt": "no cache at all",
    "recurrent_gemma": "a state in its modules",
}
WITHOUT_A_CACHE = ("openai-gpt", "recurrent_gemma")
LENGTHS = (8, 270, 300)  # tokens: below and above a pass of 256; from 270 the answer crosses the limit of LongRoPE


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_and_forced_text_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    result = parity(tmp_path, kind, LENGTHS)
    assert not result.refused
    assert result.apart, "two generations in turn share a state"
    assert result.cached == (kind not in WITHOUT_A_CACHE)
    for answer in result.answers:
        assert answer.first is None, answer
        assert max(answer.deviation, answer.forced) <= TOLERANCE, answer


@pytest.mark.parametrize("kind", WITHOUT_A_CACHE)
def test_a_model_that_runs_without_a_cache_says_so(kind: str, tmp_path: Path) -> None:
    tiny.make(tmp_path, kind)
    facts = product.load(tmp_path).facts
    assert "no cache" in facts.kernel
    assert facts.kv_bytes_per_token == 0


@pytest.mark.parametrize("kind", ["roberta", "big_bird", "xlnet", "xlm"])
def test_what_is_no_causal_language_model_is_refused(kind: str, tmp_path: Path) -> None:
    tiny.make(tmp_path, kind)
    with pytest.raises(UnsupportedModel, match="causal language model"):
        product.load(tmp_path)


def test_a_state_that_is_lost_between_passes_is_found_at_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.make(tmp_path, "llama")
    prepare = LlamaForCausalLM.prepare_inputs_for_generation

    def forget_positions(self: LlamaForCausalLM, ids: torch.Tensor, **kwargs: Any) -> dict[str, Any]:
        positions = kwargs["position_ids"]
        return prepare(self, ids, **kwargs | {"position_ids": positions - positions[0, 0]})

    monkeypatch.setattr(LlamaForCausalLM, "prepare_inputs_for_generation", forget_positions)
    resident = product.load(tmp_path)
    assert not resident.cached
    monkeypatch.undo()
    sound = product.load(tmp_path)
    assert product.greedy(resident, prompt_of(40), 8)[0] == product.greedy(sound, prompt_of(40), 8)[0]


def test_a_state_that_turns_into_nan_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.make(tmp_path, "llama")
    update = GrowingLayer.update

    def overflow(self: GrowingLayer, *states: torch.Tensor, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = update(self, *states, **options)
        return (keys * torch.nan, values) if keys.shape[-2] > states[0].shape[-2] else (keys, values)

    monkeypatch.setattr(GrowingLayer, "update", overflow)
    resident = product.load(tmp_path)
    assert not resident.cached
    assert len(product.greedy(resident, prompt_of(8), 4)[0]) == 4
