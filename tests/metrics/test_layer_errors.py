"""Relative weight errors against numbers that can be checked by hand."""

from __future__ import annotations

import pytest

from playground.metrics.weights import LayerError, error_of_parts, relative_error


def test_a_relative_error_is_a_ratio_of_norms() -> None:
    import torch

    original, stored = torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 3.5]])
    assert relative_error(original, stored) == pytest.approx(0.1)
    assert relative_error(original.bfloat16(), original.bfloat16()) == 0.0
    assert relative_error(torch.zeros(2), torch.zeros(2)) == 0.0
    assert error_of_parts([(0.0, 9.0), (0.25, 16.0)]) == pytest.approx(0.1)
    assert error_of_parts([]) == 0.0


def test_decibels_of_a_layer() -> None:
    assert LayerError("a", 0.1).as_row() == {"name": "a", "relative_error": 0.1, "snr_db": 20.0}
    assert LayerError("a", 0.0).snr_db is None
