"""The decode loop against transformers' own `generate` and against plain definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, DynamicCache

from playground.core import LoadSpec, Sampling
from playground.engines.host import reading
from playground.engines.host.bench import compare
from playground.engines.host.cache import GrowingLayer, cached_bytes, new_cache
from playground.engines.host.decode import PrefillChunk, Step, decode, top_of

PROMPT = tuple(range(10, 44))


@pytest.fixture(scope="module")
def model(tiny: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(str(tiny), dtype=torch.bfloat16, local_files_only=True).eval()


def ids_of(model: Any, sampling: Sampling, prompt: tuple[int, ...] = PROMPT, **options: Any) -> list[int]:
    return [s.token_id for s in decode(model, prompt, sampling, **options) if isinstance(s, Step)]


def stock(model: Any, prompt: tuple[int, ...], n: int, **options: Any) -> list[int]:
    inputs = torch.tensor([prompt])
    found = model.generate(
        inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=n, do_sample=False, pad_token_id=2, **options
    )
    return list(found[0, len(prompt) :].tolist())


def test_greedy_equals_generate_token_for_token(model: Any) -> None:
    assert ids_of(model, Sampling(max_tokens=48), eos=frozenset({2})) == stock(model, PROMPT, 48)


def test_repetition_penalty_equals_generate(model: Any) -> None:
    sampling = Sampling(max_tokens=32, repetition_penalty=1.3)
    assert ids_of(model, sampling, eos=frozenset({2})) == stock(model, PROMPT, 32, repetition_penalty=1.3)
    assert ids_of(model, sampling) != ids_of(model, Sampling(max_tokens=32))


def test_every_eos_id_ends_the_text_and_is_part_of_it(model: Any) -> None:
    free = ids_of(model, Sampling(max_tokens=12, ignore_eos=True))
    first, later = free[3], free[6]
    found = ids_of(model, Sampling(max_tokens=12), eos=frozenset({first, later}))
    assert found == free[: free.index(first) + 1]
    assert ids_of(model, Sampling(max_tokens=12, ignore_eos=True), eos=frozenset({first})) == free


def test_same_seed_same_text_and_another_seed_another(model: Any) -> None:
    sampling = Sampling(max_tokens=24, temperature=1.0, seed=7, ignore_eos=True)
    one = decode(model, PROMPT, sampling)
    other = decode(model, PROMPT, Sampling(max_tokens=24, temperature=1.0, seed=8, ignore_eos=True))
    # Interleaved with another generation, as the host does it.
    mixed = [step.token_id for step, _ in zip(one, other, strict=True) if isinstance(step, Step)]
    assert mixed == ids_of(model, sampling)
    assert mixed != ids_of(model, Sampling(max_tokens=24, temperature=1.0, seed=8, ignore_eos=True))


def test_top_k_one_and_tiny_top_p_are_greedy(model: Any) -> None:
    greedy = ids_of(model, Sampling(max_tokens=16, ignore_eos=True))
    for sampling in (
        Sampling(max_tokens=16, temperature=1.0, top_k=1, ignore_eos=True),
        Sampling(max_tokens=16, temperature=1.0, top_p=1e-6, ignore_eos=True),
    ):
        assert ids_of(model, sampling) == greedy


def test_log_probabilities_are_of_the_raw_distribution(model: Any) -> None:
    steps = [s for s in decode(model, PROMPT, Sampling(max_tokens=6, ignore_eos=True)) if isinstance(s, Step)]
    sequence = torch.tensor([[*PROMPT, *(s.token_id for s in steps)]])
    with torch.inference_mode():
        logits = model(sequence).logits[0, len(PROMPT) - 1 : -1].float()
    expected = torch.log_softmax(logits, dim=-1)
    for row, step in zip(expected, steps, strict=True):
        # Another kernel computes the whole sequence at once: BF16 agrees to about two digits.
        assert step.logprob == pytest.approx(float(row[step.token_id]), abs=0.05)
        assert step.top[0][0] == step.token_id and step.top[0][1] == step.logprob
        values = [value for _, value in step.top]
        assert values == sorted(values, reverse=True) and len(values) == 5


def test_a_long_prompt_is_read_in_chunks_with_the_same_result(model: Any) -> None:
    prompt = tuple(i % 300 + 3 for i in range(100))
    items = list(decode(model, prompt, Sampling(max_tokens=8, ignore_eos=True), chunk=40))
    assert [(i.done, i.total) for i in items if isinstance(i, PrefillChunk)] == [(40, 100), (80, 100)]
    wide = AutoModelForCausalLM.from_pretrained(model.name_or_path, dtype=torch.float32, local_files_only=True).eval()
    sampling = Sampling(max_tokens=8, ignore_eos=True)
    assert ids_of(wide, sampling, prompt, chunk=40) == ids_of(wide, sampling, prompt, chunk=1000)


def test_an_empty_prompt_is_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="at least one"):
        next(decode(model, (), Sampling()))


def test_closing_the_generator_frees_the_cache(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import gc
    import weakref

    caches = []

    def watched(config: Any) -> Any:
        cache = new_cache(config)
        caches.append(weakref.ref(cache))
        return cache

    monkeypatch.setattr(reading, "new_cache", watched)
    steps = decode(model, PROMPT, Sampling(max_tokens=8))
    next(steps)
    assert caches[0]() is not None
    steps.close()
    gc.collect()
    assert caches[0]() is None


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=6))
@settings(deadline=None, max_examples=30)
def test_growing_cache_holds_what_a_dynamic_one_holds(lengths: list[int]) -> None:
    random = torch.Generator().manual_seed(0)
    grown, plain = DynamicCache(), DynamicCache()
    grown.layers = [GrowingLayer()]
    for n in lengths:
        keys, values = torch.randn(2, 1, 2, n, 4, generator=random)
        ours, theirs = grown.update(keys, values, 0), plain.update(keys, values, 0)
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
    assert grown.get_seq_length() == sum(lengths)
    assert cached_bytes(grown) == 2 * sum(lengths) * 2 * 4 * 4


@given(k=st.integers(0, 12), seed=st.integers(0, 50), n=st.sampled_from([320, 640, 321, 64]))
@settings(deadline=None)
def test_top_of_equals_topk(k: int, seed: int, n: int) -> None:
    logits = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    found = top_of(logits, k)
    expected = logits.topk(k)
    assert found == (expected.indices.tolist(), expected.values.tolist())


def test_the_benchmark_against_generate_reports_equal_ids(tiny: Path) -> None:
    result = compare(LoadSpec("tiny", str(tiny)), tokens=8, runs=2)
    assert result["same_ids"] is True and result["runs"] == 2
    assert result["ratio_min"] <= result["ratio"] <= result["ratio_max"]
