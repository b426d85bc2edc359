"""vLLM on CUDA: the same code path, with VRAM instead of RAM. Not run where there is no GPU (`-m gpu`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground.core import Finish, Generation, Sampling, Token
from playground.engines.base import missing_vllm
from playground.engines.transformers import TransformersEngine
from playground.engines.vllm import server
from playground.engines.vllm.engine import VllmEngine
from tests.engines.calls import never, quiet

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(server.gpu() == (0, 0), reason="no NVIDIA GPU answers"),
    pytest.mark.skipif(bool(missing_vllm()), reason=f"{missing_vllm()}: run `make vllm`"),
]


def test_a_run_on_cuda(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_VLLM_MEMORY_SHARE", "0.3")
    before, total = server.gpu()
    reference = TransformersEngine()
    engine = VllmEngine(reference.tokenize)
    try:
        loaded = engine.load("smollm2", quiet, never)
        assert loaded.device == "cuda" and "compiled" in loaded.kernel
        assert loaded.weight_bytes < loaded.resident_bytes < 0.35 * total, "weights and KV cache, as vLLM logged them"
        assert before - server.gpu()[0] > 0.2 * total
        ids = engine.prompt("smollm2", [{"role": "user", "content": "What is gravity?"}]).ids
        *tokens, finish = engine.generate(Generation("smollm2", ids, Sampling(max_tokens=64, ignore_eos=True)))
        assert len(tokens) == 64 and all(isinstance(token, Token) for token in tokens)
        assert isinstance(finish, Finish) and finish.reported is not None and finish.reported.ttft_s
    finally:
        engine.close()
        reference.close()
    assert server.gpu()[0] > before - 0.02 * total, "closing frees the device"
