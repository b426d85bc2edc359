"""When a checkpoint is the model that was in memory, and when it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from playground.quantize import probe
from playground.quantize.probe import compare

ORIGINAL = torch.randn(2, 9, 50, generator=torch.Generator().manual_seed(0))


def moved(by: float, seed: int, start: torch.Tensor = ORIGINAL) -> torch.Tensor:
    return start + by * torch.randn(start.shape, generator=torch.Generator().manual_seed(seed))


def test_the_same_answers_are_the_same_model() -> None:
    found = compare(moved(0.5, 1), moved(0.5, 1))
    assert found.agrees and found.relative_logit_error == found.kld_mean == 0 and found.top1_agreement == 1
    assert compare(ORIGINAL, moved(0.05, 1)).agrees and not compare(ORIGINAL, moved(0.2, 1)).agrees


def test_another_rounding_is_no_broken_checkpoint_if_it_is_as_near_to_the_original() -> None:
    memory = moved(0.5, 1)
    other_side = moved(0.2, 2, memory)
    assert not compare(memory, other_side).agrees, "nobody asked the original"
    found = compare(memory, other_side, ORIGINAL)
    assert found.agrees and found.error_memory == pytest.approx(0.45, rel=0.1)
    assert not compare(memory, moved(0.45, 3, memory), ORIGINAL).agrees, "much farther from the original"
    assert not compare(memory, moved(0.5, 4), ORIGINAL).agrees, "as near, and yet something else"


def test_a_broken_checkpoint_of_a_broken_model_is_broken() -> None:
    assert not compare(moved(3, 1), moved(3, 2), ORIGINAL).agrees
    assert not compare(ORIGINAL, torch.full_like(ORIGINAL, float("nan")), ORIGINAL).agrees


def test_what_was_answered_comes_back_from_its_file(tmp_path: Path) -> None:
    probe.save(tmp_path / "a", [[1, 2], [3, 4]], ORIGINAL)
    probe.save(tmp_path / "b", [[1, 2], [3, 4]], ORIGINAL, moved(1, 1))
    prompts, memory, nothing = probe.load(tmp_path / "a")
    assert prompts == [[1, 2], [3, 4]] and torch.equal(memory, ORIGINAL) and nothing is None
    assert torch.equal(probe.load(tmp_path / "b")[2], moved(1, 1))
