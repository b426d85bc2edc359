"""What vLLM's log tells while it starts: the stage it is in, why it refused a model, and what it computes with."""

from __future__ import annotations

import re

from playground.core import Progress
from playground.engines.base import OnProgress
from playground.engines.servers import LOG_LINES

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
# What the outer processes say once an inner one has failed: true, and no reason.
_NO_REASON = re.compile(
    r"initialization failed|Worker failed with error|EngineCore|validation error|Engine core|See (stack|root cause)"
)
_NO_OPERATOR = re.compile(r"'_OpNamespace' '\w+' object has no attribute '(\w+)'")
_KERNEL = re.compile(r"(?:Selected|Using) (\w+Kernel)\w* for (\w+)")
_ATTENTION = re.compile(r"Using (?:AttentionBackendEnum\.)?(\w+) (?:attention )?backend\b")
_MEMORY = re.compile(r"Model loading took ([\d.]+) GiB|Available KV cache memory: ([\d.]+) GiB")
_NOISE = re.compile(r"^nanobind: |^ - (leaked|\.\.\. skipped)|^See https://nanobind|resource_tracker")
_LONGEST = 600
PORT_TAKEN = re.compile(r"[Aa]ddress already in use")


class Stages:
    """Turns log lines into progress, each stage told once and the weights counted in files."""

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


def tail(log: str, lines: int = LOG_LINES) -> str:
    """The last lines that say something: what nanobind complains of at every exit is left out."""
    return "\n".join([line for line in log.splitlines() if line.strip() and not _NOISE.search(line)][-lines:])


def rejection(log: str) -> str:
    """vLLM's own sentence on why it does not run a model, reasons included; "" where the log has none."""
    lines = [_PREFIX.sub("", line).rstrip() for line in log.splitlines()]
    found = ""
    for at, line in enumerate(lines):
        match = _PYDANTIC.match(line)
        said = match[1] if match else ""
        if not said and (match := _EXCEPTION.match(line)) and not _NO_REASON.search(match[2]):
            said = match[2]
        if not said:
            continue
        if said.rstrip().endswith(":"):
            said = " ".join([said.rstrip(), "; ".join(_indented(lines[at + 1 :]))]).rstrip()
        found = said
    if missing := _NO_OPERATOR.search(found):
        return f"its build for this processor has no {missing[1]}, which these weights are multiplied with."
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}…"


def _indented(lines: list[str]) -> list[str]:
    """The list that follows a sentence: each of its lines begins with a space."""
    found = []
    for line in lines:
        if not line.startswith(" ") or line.lstrip().startswith(("File ", "^", "raise ")):
            break
        found.append(line.strip())
    return found


def kernel(log: str, scheme: str, dtype: str, device: str, eager: str) -> str:
    """Which path multiplies the weights, in words, from what vLLM logged; `eager` says why it did not compile."""
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


_PLAIN = ("bf16", "fp16", "fp32", "bfloat16", "float16", "float32")


def _unquantized(log: str, device: str) -> str:
    if device != "cpu":
        return "cuBLAS products"
    if "fallback to torch linear" in log:
        return "torch's own products, as oneDNN has none for this type on this processor"
    return "oneDNN or vLLM's packed CPU products"


def _words(name: str, device: str) -> str:
    """What a kernel does, by its class's name in vLLM; "" for one that nothing is known of."""
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
    """VRAM that weights and KV cache took, as vLLM logged it; 0 where it says nothing (a CPU)."""
    found = [float(weights or cache) for weights, cache in _MEMORY.findall(log)]
    return int(sum(found) * 2**30)
