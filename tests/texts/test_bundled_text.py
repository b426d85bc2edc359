"""The text written for this project is what it says: enough, varied, long enough, right where a program can tell."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from typing import Any

import pytest

from playground.errors import InvalidCalibration
from playground.quantize.tokens import tokenize
from playground.texts import Calibration, Sample, overlap, samples
from playground.texts.calibration import DATA, MAX_SAMPLES, bundled

FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def texts() -> list[Sample]:
    return list(bundled())


def blocks(found: list[Sample], language: str) -> list[tuple[str, str]]:
    """(sample, source) of each code block in answers."""
    return [
        (one.id, source)
        for one in found
        for turn in one.messages
        if turn["role"] == "assistant"
        for name, source in FENCE.findall(turn["content"])
        if name == language
    ]


def test_there_is_enough_of_every_kind(texts: list[Sample]) -> None:
    assert len(texts) >= 128
    assert len({one.id for one in texts}) == len(texts)
    domains = Counter(one.domain for one in texts)
    assert len(domains) >= 10 and min(domains.values()) >= 9 and domains["code"] >= 20
    languages = Counter(one.language for one in texts)
    assert languages["de"] + languages["es"] >= 20 and languages["en"] >= 100
    conversations = [one for one in texts if one.messages]
    assert len(texts) - len(conversations) >= 15, "prose"
    assert sum(len(one.messages) > 2 for one in conversations) >= 20, "several turns"


def test_no_row_is_left_out(texts: list[Sample]) -> None:
    assert len(texts) == sum(len(path.read_text().splitlines()) for path in DATA.glob("*.jsonl"))


def test_turns_alternate_and_end_with_the_answer(texts: list[Sample]) -> None:
    for one in texts:
        if one.messages:
            roles = [turn["role"] for turn in one.messages if turn["role"] != "system"]
            assert roles == ["user", "assistant"] * (len(roles) // 2), one.id
            assert all(turn["content"] == turn["content"].strip() != "" for turn in one.messages), one.id


def test_no_two_samples_share_a_run_of_words(texts: list[Sample]) -> None:
    plain = [one.plain for one in texts]
    assert [(texts[p.calibration].id, p.words) for p in overlap(plain, plain) if p.calibration != p.evaluation] == []


def test_python_blocks_compile_and_json_blocks_parse(texts: list[Sample]) -> None:
    python, documents = blocks(texts, "python"), blocks(texts, "json")
    assert len(python) >= 8 and documents
    for name, source in python:
        if ">>>" not in source:
            compile(source, name, "exec")
    for _, source in documents:
        json.loads(source)


def test_most_fill_the_default_length(texts: list[Sample], tokenizer: Any) -> None:
    whole = tokenize(texts, tokenizer, 4096, len(texts))
    lengths = [len(row) for row in whole.ids]
    default = Calibration().max_length
    assert statistics.median(lengths) > default
    assert sum(length >= default for length in lengths) / len(lengths) > 0.8
    assert min(lengths) > 120 and whole.truncated == 0
    assert whole.templated == sum(bool(one.messages) for one in texts)


def test_the_exact_samples_have_a_stable_hash(tokenizer: Any) -> None:
    def prepared(seed: int) -> str:
        wanted = Calibration(seed=seed)
        return tokenize(samples(wanted), tokenizer, wanted.max_length, wanted.samples).content_hash

    assert prepared(0) == prepared(0)
    assert len({prepared(seed) for seed in range(4)}) == 4


def test_the_default_draw_mixes_domains_and_languages() -> None:
    for seed in range(5):
        found = samples(Calibration(seed=seed))
        assert len({one.domain for one in found}) >= 7 and {one.language for one in found} > {"en"}


def test_more_than_there_are_is_an_error_that_says_how_many(texts: list[Sample]) -> None:
    with pytest.raises(InvalidCalibration, match=rf"{len(texts)} usable samples, and {MAX_SAMPLES:,} were asked for"):
        samples(Calibration(samples=MAX_SAMPLES))
    assert len(samples(Calibration(samples=len(texts)))) == len(texts)
