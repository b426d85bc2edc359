"""What a comparison says, in words and ratios."""

from __future__ import annotations

from dataclasses import replace

import pytest

from playground.compare.answer import Answer
from playground.compare.outcome import diverges_at, outcome, outcomes
from playground.core import Finish, FinishReason, Loaded, Prompt, Token
from tests.fakes.catalog import fake_variant

LOADED = Loaded("fake", "transformers", "cpu", "bfloat16", 269, 269, 1, 269, 512, "hash", True, "dequantizes first.")


def pane(
    variant: str,
    ids: list[int],
    step_s: float = 0.05,
    reason: FinishReason = "stop",
    memory: int = 280,
    prompt: tuple[int, ...] = (1, 2),
    tokenizer: str = "hash",
    engine: str = "transformers",
) -> Answer:
    """A finished pane whose steps vary by 4 % around `step_s`."""
    result = Answer(variant)
    result.add(fake_variant(variant))
    result.add(replace(LOADED, id=variant, tokenizer_hash=tokenizer, engine=engine))
    result.add(Prompt(prompt, "text", "chat", tokenizer))
    clock = 0.2
    for index, token_id in enumerate(ids):
        clock += step_s * (1 + 0.04 * (-1) ** (index // 3)) if index else 0
        result.add(Token(token_id, f" {token_id}", f" {token_id}", clock, step_s, -0.5))
    result.add(Finish(reason, len(prompt), len(ids), memory))
    return result


def test_smaller_and_faster_is_said_first_with_its_ratios() -> None:
    found = outcome(pane("fake", list(range(40))), pane("fake:nf4", [*range(10), 99, *range(11, 40)], 0.04, memory=140))
    assert found.size_ratio == pytest.approx(110 / 269)
    assert found.memory_ratio == 0.5
    assert found.decode_ratio == pytest.approx(1.25, rel=0.02)
    assert found.decode_interval is not None and found.decode_interval[0] > 1
    assert found.headline == "nf4 is 59% smaller and 1.25× faster here."
    assert found.detail == "The answers diverge at token 11." and not found.identical
    assert found.divergence is not None and found.divergence.index == 10
    sentence = found.divergence.sentence("nf4", "BF16")
    assert sentence == "Token 11: BF16 chose “10” (61%); nf4 chose “99” (61%)."
    assert found.caveats == ("this prompt only",) and found.explanation == ""


def test_slower_is_explained_from_what_the_engine_found() -> None:
    found = outcome(pane("fake", list(range(40))), pane("fake:nf4", list(range(40)), 0.1))
    assert "2.00× slower here" in found.headline
    assert found.explanation == "Why: dequantizes first."
    assert found.identical and found.detail == "All 40 tokens are the same."


def test_a_difference_within_the_noise_is_no_difference() -> None:
    found = outcome(pane("fake", list(range(40))), pane("fake:nf4", list(range(40)), 0.0502))
    assert "within the noise" in found.headline and found.explanation == ""


def test_too_few_tokens_give_no_speed_ratio() -> None:
    found = outcome(pane("fake", list(range(10))), pane("fake:nf4", list(range(10)), 0.01))
    assert found.decode_ratio is None and any("too few tokens" in caveat for caveat in found.caveats)


def test_different_engines_tokenizers_histories_and_stops_are_marked() -> None:
    reference = pane("fake", list(range(40)))
    caveats = outcome(reference, pane("fake:nf4", list(range(40)), engine="llamacpp")).caveats
    assert "different engines" in caveats
    found = outcome(reference, pane("fake:nf4", [7] * 40, tokenizer="other", prompt=(9,)))
    assert any("different tokenizers" in caveat for caveat in found.caveats) and found.divergence is None
    found = outcome(reference, pane("fake:nf4", [7] * 40, prompt=(9,)))
    assert any("conversations differ" in caveat for caveat in found.caveats) and found.divergence is None
    found = outcome(reference, pane("fake:nf4", list(range(20)), reason="abort"))
    assert "a pane was stopped or failed" in found.caveats


@pytest.mark.parametrize(
    ("a", "b", "reasons", "index"),
    [
        ([1, 2, 3], [1, 2, 3], ("stop", "stop"), None),
        ([1, 2, 3], [1, 9, 3], ("stop", "stop"), 1),
        ([1, 2], [1, 2, 3], ("stop", "stop"), 2),
        ([1, 2, 3], [1, 2], ("length", "stop"), 2),
        ([1, 2], [1, 2, 3], ("length", "stop"), None),  # cut off by the budget: nothing is known of token 3
        ([1, 2], [1, 2, 3], ("abort", "stop"), None),
    ],
)
def test_where_the_texts_part(
    a: list[int], b: list[int], reasons: tuple[FinishReason, FinishReason], index: int | None
) -> None:
    found = diverges_at(pane("fake", a, reason=reasons[0]), pane("fake:nf4", b, reason=reasons[1]))
    assert (found.index if found else None) == index


def test_no_verdict_without_a_reference() -> None:
    failed = Answer("fake")
    assert outcomes([failed, pane("fake:nf4", [1, 2])]) == []
    assert outcomes([pane("fake", [1, 2])]) == []
    assert len(outcomes([pane("fake", [1]), failed, pane("fake:nf4", [1])])) == 1
