"""Quantizing on CUDA, where llm-compressor offloads the model and rounds with other kernels (`-m gpu`)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from playground.jobs import progress
from playground.methods.recipe import Recipe
from playground.quantize import job
from playground.quantize.spec import QuantizeSpec
from playground.store import folders
from tests.fakes import tiny_models

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.mark.parametrize(("method", "scheme"), [("rtn", "W4A16_ASYM"), ("awq", "W4A16_ASYM"), ("rtn", "FP8_DYNAMIC")])
def test_the_model_in_memory_is_quantized_and_so_is_what_was_saved(
    home: Path, tmp_path: Path, method: str, scheme: str
) -> None:
    calibration = {"source": "bundled", "samples": 4, "max_length": 48} if method == "awq" else {}
    method = "fp8" if scheme == "FP8_DYNAMIC" else method
    folder = folders.job("job")
    folder.mkdir(parents=True)
    source = tiny_models.make(tmp_path / "qwen2", "Qwen2")
    found = job.run(
        QuantizeSpec(model=str(source), recipe=Recipe(method=method, scheme=scheme, calibration=calibration)),
        folder,
        progress.Report(folder),
    )
    reload = found["reload"]
    assert reload["error_memory"] > 0.005, "in memory it answers as if it were not quantized"
    assert reload["error_reloaded"] == pytest.approx(reload["error_memory"], rel=0.25)
