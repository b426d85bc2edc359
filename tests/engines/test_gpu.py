"""The CUDA paths: synchronized clocks, VRAM instead of RSS. Not run where there is no CUDA device (`-m gpu`)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from playground.core import Finish, Generation, LoadSpec, Sampling, Token
from playground.engines.host import loading
from playground.engines.host.bench import compare
from playground.engines.host.loading import DeviceMemory
from playground.engines.host.scheduler import DecodeThread

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def generate(path: Path, quantize: str | None) -> tuple[list[Token], Finish, DecodeThread]:
    memory = DeviceMemory(loading.device_of_choice())
    assert memory.device.type == "cuda"
    thread = DecodeThread(memory)
    thread.start()
    thread.load(LoadSpec("first", str(path), quantize=quantize), (), lambda _progress: None).result(300)
    thread.unload("first").result(300)
    before = torch.cuda.memory_allocated()  # with what cuBLAS keeps for each thread
    thread.load(LoadSpec("tiny", str(path), quantize=quantize), (), lambda _progress: None).result(300)
    items: list[object] = []
    thread.submit(Generation("tiny", tuple(range(10, 44)), Sampling(max_tokens=32, ignore_eos=True)), items.append)
    thread.unload("tiny").result(300)  # queued behind the generation: when it is done, so is that
    assert torch.cuda.memory_allocated() <= before + 1e6, "an unload frees the device"
    tokens = [item for item in items if isinstance(item, Token)]
    (finish,) = (item for item in items if isinstance(item, Finish))
    return tokens, finish, thread


@pytest.mark.parametrize("quantize", [None, "nf4", "int8"])
def test_generation_is_timed_after_the_device_and_its_memory_is_vram(tiny: Path, quantize: str | None) -> None:
    tokens, finish, thread = generate(tiny, quantize)
    thread.close()
    assert len(tokens) == 32 and finish.reason == "length"
    assert all(token.step_s > 1e-5 for token in tokens), "shorter than a launch: the clock did not wait"
    assert finish.peak_memory_bytes is not None and finish.peak_memory_bytes >= 100_000


def test_the_loop_agrees_with_generate_on_cuda(tiny: Path) -> None:
    assert compare(LoadSpec("tiny", str(tiny)), tokens=16, runs=2)["same_ids"] is True
