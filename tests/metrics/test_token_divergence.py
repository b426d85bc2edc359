"""Divergence of single positions against float64, and where floating point has its corners."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from playground.metrics.token_divergence import TokenDivergence, token_divergence


def logits(rows: int, words: int, seed: int = 0, noise: float = 0.3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(rows, words, generator=generator) * 3
    other = reference + torch.randn(rows, words, generator=generator) * noise
    return reference, other, torch.randint(words, (rows,), generator=generator)


def log_softmax(values: torch.Tensor) -> np.ndarray:
    found = values.double().numpy()
    shifted = found - found.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@pytest.mark.parametrize("words", [64 * 5, 331])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [0, 3])
def test_against_float64(words: int, dtype: torch.dtype, rows: int) -> None:
    reference, other, ids = logits(17, words)
    reference, other = reference.to(dtype), other.to(dtype)
    before = reference.clone()
    found = token_divergence(reference, other, ids, rows)
    p, q = log_softmax(reference), log_softmax(other)
    at = np.arange(17), ids.numpy()
    np.testing.assert_allclose(found.kld, (np.exp(p) * (p - q)).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(found.nll_reference, -p[at], rtol=1e-5)
    np.testing.assert_allclose(found.nll, -q[at], rtol=1e-5)
    np.testing.assert_allclose(found.dp, np.exp(q[at]) - np.exp(p[at]), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.confidence, np.exp(p).max(-1), rtol=1e-5)
    assert found.agrees.tolist() == (p.argmax(-1) == q.argmax(-1)).tolist()
    assert torch.equal(reference, before), "the caller's logits are not changed"


def test_the_same_logits_diverge_by_nothing() -> None:
    reference, _, ids = logits(9, 320)
    found = token_divergence(reference, reference, ids)
    assert float(found.kld.max()) < 1e-6 and bool(found.agrees.all())
    assert float(found.dp.abs().max()) == 0


def test_a_shift_of_all_logits_changes_nothing() -> None:
    reference, other, ids = logits(9, 320)
    plain, shifted = token_divergence(reference, other, ids), token_divergence(reference, other + 40, ids)
    torch.testing.assert_close(plain.kld, shifted.kld, rtol=1e-4, atol=1e-6)


def test_a_masked_word_counts_nothing_and_a_word_that_only_the_variant_masks_is_infinitely_far() -> None:
    reference, other, ids = logits(2, 320)
    ids[:] = 1
    reference[:, 5] = other[:, 5] = -torch.inf
    both = token_divergence(reference, other, ids)
    keep = [word for word in range(320) if word != 5]
    torch.testing.assert_close(both.kld, token_divergence(reference[:, keep], other[:, keep], ids).kld)
    other[:, 7] = -torch.inf
    assert token_divergence(reference, other, ids).kld.tolist() == [torch.inf, torch.inf]


def test_what_is_no_number_is_not_hidden() -> None:
    reference, other, ids = logits(2, 320)
    other[0, 3] = torch.nan
    assert bool(token_divergence(reference, other, ids).kld[0].isnan())
    assert bool(token_divergence(other, reference, ids).kld[0].isnan())


def test_equal_tops_are_told_apart_by_their_place() -> None:
    reference = torch.zeros(1, 320)
    reference[0, [70, 200]] = 3.0
    other = reference.clone()
    ids = torch.tensor([0])
    assert token_divergence(reference, other, ids).agrees.tolist() == [True]
    other[0, 200] = 3.5
    assert token_divergence(reference, other, ids).agrees.tolist() == [False]


def test_no_positions() -> None:
    found = token_divergence(torch.empty(0, 320), torch.empty(0, 320), torch.empty(0, dtype=torch.long))
    assert isinstance(found, TokenDivergence) and len(found.kld) == 0 and found.agrees.dtype == torch.bool
