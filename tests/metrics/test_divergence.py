"""The summary of a divergence: closed forms, properties, what has no number."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.errors import EvaluationError
from playground.metrics.divergence import CONFIDENCE, DocumentDivergence, summarize

KEYS = [
    *("variant", "tokens", "documents", "ppl", "ppl_ratio"),
    *("kld_mean", "kld_median", "kld_p90", "kld_p99", "kld_p999", "kld_max", "kld_stderr"),
    *("top1_agreement", "dp_mean", "dp_rms", "buckets", "histogram"),
]


def document(tokens: int, seed: int = 0, scale: float = 0.1) -> DocumentDivergence:
    """Values as a real comparison gives them: float32, KLD from 0 up."""
    random = np.random.default_rng(seed)
    before = random.exponential(3, tokens)
    after = before + random.normal(0, scale, tokens)
    return DocumentDivergence(
        kld=random.exponential(scale, tokens).astype(np.float32),
        nll_reference=before.astype(np.float32),
        nll=after.astype(np.float32),
        agrees=random.random(tokens) < 0.9,
        dp=(np.exp(-after) - np.exp(-before)).astype(np.float32),
        confidence=random.random(tokens).astype(np.float32),
    )


texts = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1000)), min_size=1, max_size=8).filter(
    lambda found: any(tokens for tokens, _ in found)
)


def test_the_row_of_two_documents_computed_by_hand() -> None:
    one = DocumentDivergence(
        *map(np.array, ([0.0, 0.3], [1.0, 2.0], [1.5, 2.5], [True, False], [0.1, -0.3], [0.3, 0.95]))
    )
    two = DocumentDivergence(*map(np.array, ([0.6], [3.0], [3.5], [True], [0.2], [1.0])))
    row = summarize("m:nf4", [one, two])
    assert list(row) == KEYS
    assert (row["variant"], row["tokens"], row["documents"]) == ("m:nf4", 3, 2)
    assert row["ppl"] == pytest.approx(math.exp(2.5))
    assert row["ppl_ratio"] == pytest.approx(math.exp(0.5))
    assert (row["kld_mean"], row["kld_median"], row["kld_max"]) == pytest.approx((0.3, 0.3, 0.6))
    # clusters: sums 0.3 and 0.6 of sizes 2 and 1 around the mean 0.3 are off by -0.3 and 0.3
    assert row["kld_stderr"] == pytest.approx(math.sqrt(2 * (0.3**2 + 0.3**2)) / 3)
    assert row["top1_agreement"] == pytest.approx(2 / 3)
    assert (row["dp_mean"], row["dp_rms"]) == pytest.approx((0, math.sqrt(0.14 / 3)), abs=1e-12)
    assert [bucket["tokens"] for bucket in row["buckets"]] == [0, 1, 0, 1, 1], "0.3 opens a bucket, 1 closes the last"
    assert row["buckets"][3] == {"confidence": [0.9, 0.99], "tokens": 1, "kld_mean": 0.3, "top1_agreement": 0.0}
    assert row["buckets"][0]["kld_mean"] is None
    assert row["histogram"]["counts"][0] == 1


@given(texts)
def test_what_holds_of_every_row(sizes: list[tuple[int, int]]) -> None:
    documents = [document(tokens, seed) for tokens, seed in sizes]
    row = summarize("m", documents)
    tokens = sum(size for size, _ in sizes)
    assert row["tokens"] == tokens
    assert row["documents"] == sum(size > 0 for size, _ in sizes), "an empty one is none"
    assert sum(bucket["tokens"] for bucket in row["buckets"]) == sum(row["histogram"]["counts"]) == tokens
    assert len(row["histogram"]["edges"]) == len(row["histogram"]["counts"]) + 1
    tail = [row[name] for name in ("kld_median", "kld_p90", "kld_p99", "kld_p999", "kld_max")]
    assert tail == sorted(tail)
    assert 0 <= row["kld_mean"] <= row["kld_max"]
    assert abs(row["dp_mean"]) <= row["dp_rms"] + 1e-9
    filled = [bucket for bucket in row["buckets"] if bucket["tokens"]]
    for name, whole in (("kld_mean", row["kld_mean"]), ("top1_agreement", row["top1_agreement"])):
        assert sum(bucket[name] * bucket["tokens"] for bucket in filled) / tokens == pytest.approx(whole, rel=1e-6)
    assert json.loads(json.dumps(row)) == row, "plain numbers, lists and None"


@given(texts, st.randoms(use_true_random=False))
def test_the_order_of_the_documents_does_not_count(sizes: list[tuple[int, int]], random: Random) -> None:
    documents = [document(tokens, seed) for tokens, seed in sizes]
    mixed = random.sample(documents, len(documents))
    one, other = summarize("m", documents), summarize("m", mixed)
    for name in KEYS[1:-2]:
        expected = other[name] if other[name] is None else pytest.approx(other[name], rel=1e-6, abs=1e-9)
        assert one[name] == expected


@given(texts)
def test_the_reference_against_itself_is_zero(sizes: list[tuple[int, int]]) -> None:
    itself = []
    for tokens, seed in sizes:
        found = document(tokens, seed)
        zero, always = np.zeros(tokens), np.ones(tokens, dtype=bool)
        itself.append(replace(found, kld=zero, nll=found.nll_reference, dp=zero, agrees=always))
    row = summarize("m", itself)
    assert (row["ppl_ratio"], row["kld_mean"], row["kld_max"], row["dp_rms"], row["top1_agreement"]) == (1, 0, 0, 0, 1)
    assert row["histogram"]["counts"][0] == row["tokens"]


@pytest.mark.parametrize(
    ("kld", "low", "high"),
    [(1e-9, -8.25, -8), (2e-8, -7.75, -7.5), (0.02, -1.75, -1.5), (1.5, 0, 0.25), (1e3, 1.75, 2)],
)
def test_a_token_stands_in_the_bin_of_its_logarithm(kld: float, low: float, high: float) -> None:
    found = summarize("m", [replace(document(1), kld=np.array([kld]))])["histogram"]
    where = found["counts"].index(1)
    assert (found["edges"][where], found["edges"][where + 1]) == pytest.approx((low, high))


def test_equal_documents_that_are_told_twice_make_nothing_surer() -> None:
    documents = [document(50, seed) for seed in range(6)]
    twice = [
        DocumentDivergence(*(np.tile(getattr(one, name), 2) for name in DocumentDivergence.__dataclass_fields__))
        for one in documents
    ]
    assert summarize("m", twice)["kld_stderr"] == pytest.approx(summarize("m", documents)["kld_stderr"])


def test_one_document_has_no_standard_error() -> None:
    assert summarize("m", [document(100)])["kld_stderr"] is None


def test_buckets_are_those_of_the_documentation() -> None:
    found = [bucket["confidence"] for bucket in summarize("m", [document(5)])["buckets"]]
    assert found == [[0, 0.3], [0.3, 0.6], [0.6, 0.9], [0.9, 0.99], [0.99, 1]]
    assert CONFIDENCE[-1] == 1


@pytest.mark.parametrize("documents", [[], [document(0)]])
def test_no_token_is_no_result(documents: list[DocumentDivergence]) -> None:
    with pytest.raises(EvaluationError, match="No token"):
        summarize("m", documents)


@pytest.mark.parametrize("name", ["kld", "nll"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_variant_that_computes_no_number_is_said_to(name: str, value: float) -> None:
    broken = document(4)
    values = np.array([0.1, value, 0.2, value])
    with pytest.raises(EvaluationError, match="m:fp16 gives no finite divergence at 2 of 4 tokens"):
        summarize("m:fp16", [replace(broken, **{name: values})])
