"""Start a llama.cpp server for a variant, and parse its log and the GGUF header.

If it does not start, the error quotes llama.cpp's log.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.core import LoadSpec, Progress
from playground.engines.base import OnProgress
from playground.engines.llamacpp import READY
from playground.engines.servers import START_TIMEOUT_S, ServerProcess, ServerSpec
from playground.errors import EngineDied, EngineError, EngineUnavailable, OutOfMemory
from playground.models.gguf import GgufHeader
from playground.settings import settings

MODULE = "playground.engines.llamacpp.host"
LOAD_TIMEOUT_S = 3600.0  # for a file on a slow disk; the end of the process is noticed at once

# Bytes per value of the types that a KV cache can have.
_CACHE_BYTES = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32, "q4_1": 20 / 32, "iq4_nl": 18 / 32,
    "q5_0": 22 / 32, "q5_1": 24 / 32,
}  # fmt: skip
_BUFFER = re.compile(r"\s(\S+)\s+(model|KV|RS|compute|output) buffer size =\s*([\d.]+) MiB")
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
_ERROR = re.compile(r"^[\d.]+ E (?P<who>[^:]*:) (?P<what>.+)$", re.MULTILINE)
PORT_TAKEN = re.compile("couldn't bind HTTP server socket")
_EXTENSIONS = ("AMX_INT8", "AVX512_VNNI", "AVX_VNNI", "AVX512", "AVX2", "AVX", "SVE", "MATMUL_INT8", "DOTPROD", "NEON")
_PLAIN = ("F32", "F16", "BF16")


def server_spec(variant: LoadSpec, context: int, on_progress: OnProgress) -> ServerSpec:
    """Return the spec of a variant's server, with `context` tokens of KV cache."""
    on_progress(Progress("Starting llama.cpp"))
    return ServerSpec(
        name="llama.cpp",
        module=MODULE,
        arguments=tuple(_arguments(variant, context)),
        binds=True,
        log_name=f"llamacpp-{re.sub(r'[^A-Za-z0-9._-]+', '-', variant.id)[-80:].strip('-')}",
        timeout_s=LOAD_TIMEOUT_S,
        on_log=_stages(on_progress),
        is_ready=_has_facts,
        port_taken=PORT_TAKEN,
        explain=lambda log, error: _refused(variant.id, refusal(log), error),
    )


def _arguments(spec: LoadSpec, context: int) -> list[str]:
    chosen = settings()
    arguments = ["--model", spec.path, "--context", str(context)]
    arguments += ["--flash-attention", chosen.llamacpp_flash_attention]
    arguments += ["--cache-k", chosen.llamacpp_cache_k, "--cache-v", chosen.llamacpp_cache_v]
    return [*arguments, "--gpu-layers", str(chosen.llamacpp_gpu_layers)]


def _stages(on_progress: OnProgress) -> Callable[[str], None]:
    """Return a function that turns lines of llama.cpp's log into progress."""

    def on_log(line: str) -> None:
        if "loading model tensors" in line:
            on_progress(Progress("Reading weights"))

    return on_log


def _has_facts(process: ServerProcess) -> bool:
    """Wait for the host's ready line: a response alone may be that of another program on a taken port."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while facts(process.log_text()) is None:
        if not process.alive:
            raise process.obituary("could not start")
        if time.monotonic() > deadline:
            raise EngineUnavailable("llama.cpp did not get ready.", hint=f"Its log: {process.log_path}")
        time.sleep(0.02)
    return True


def _refused(variant: str, why: str, error: EngineDied) -> EngineError:
    if not why:
        return error
    if re.search(r"alloc|out of memory", why):
        return OutOfMemory(
            f"llama.cpp has no memory for {variant}: {why}.", hint="Close other programs.", log_tail=error.log_tail
        )
    return EngineError(
        f"llama.cpp cannot load {variant}: {why.rstrip('.')}.",
        hint="Use another file of this model, or another setting of PLAYGROUND_LLAMACPP_*.",
        log_tail=error.log_tail,
    )


# Facts of a loaded model, from the log and the header.


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of the host's ready line, and the log before it."""

    system_info: str
    gpus: tuple[Mapping[str, str], ...]
    version: str
    log: str

    @property
    def layers(self) -> tuple[int, int] | None:
        """Return the number of layers on a GPU and of all layers; None without a GPU."""
        match = _OFFLOADED.search(self.log) if self.gpus else None
        return (int(match[1]), int(match[2])) if match else None

    @property
    def device(self) -> str:
        """Return "cuda", "mps" or "cpu"."""
        if not self.layers or not self.layers[0]:
            return "cpu"
        return "mps" if self.gpus[0]["name"].startswith(("Metal", "MTL")) else "cuda"

    @property
    def gpu_bytes(self) -> int:
        """Return the bytes that llama.cpp allocated on GPUs; all at load time, so also the peak."""
        names = tuple(gpu["name"] for gpu in self.gpus)
        return sum(size for name, size in _buffers(self.log) if names and name.startswith(names))


def _buffers(log: str) -> Iterator[tuple[str, int]]:
    for name, _, size in _BUFFER.findall(log):
        yield name, int(float(size) * 2**20)


def facts(log: str) -> Facts | None:
    """Parse the log of a host; None if it is not ready."""
    before, mark, after = log.partition(READY)
    if not mark or "\n" not in after:
        return None
    fields, _ = json.JSONDecoder().raw_decode(after.lstrip(" "))  # llama.cpp's threads write to the same line
    return Facts(fields["system_info"], tuple(fields["gpus"]), fields["version"], before)


def refusal(log: str) -> str:
    """Return llama.cpp's first logged error, without the function's name; "" if there is none."""
    match = _ERROR.search(log)
    return match["what"].strip() if match else ""


def context(header: GgufHeader, wanted: int) -> int:
    """Return `wanted` tokens, but at most the model's training context."""
    trained = header.fields.get(f"{header.architecture}.context_length")
    return min(wanted, trained) if isinstance(trained, int) and trained > 0 else wanted


def weight_bytes(header: GgufHeader) -> int:
    return sum(tensor.bytes for tensor in header.tensors)


def streamed_bytes(header: GgufHeader) -> int | None:
    """Return the bytes that each decoded token reads: all weights but an untied input embedding.

    None for a mixture of experts.
    """
    if header.fields.get(f"{header.architecture}.expert_count"):
        return None
    untied = any(tensor.name == "output.weight" for tensor in header.tensors)
    return sum(tensor.bytes for tensor in header.tensors if not (untied and tensor.name == "token_embd.weight"))


def kv_bytes_per_token(header: GgufHeader, cache_k: str, cache_v: str) -> int:
    """Return the KV bytes per position of all layers, from the header; 0 for an architecture without a KV cache."""
    fields, name = header.fields, header.architecture
    layers, heads = fields.get(f"{name}.block_count"), fields.get(f"{name}.attention.head_count")
    kv_heads = fields.get(f"{name}.attention.head_count_kv", heads)
    if not isinstance(layers, int) or kv_heads is None:
        return 0
    per_layer = kv_heads if isinstance(kv_heads, list) else [kv_heads] * layers
    most = max(heads) if isinstance(heads, list) else heads or 0
    width = fields.get(f"{name}.embedding_length", 0) // most if most else 0
    key, value = (fields.get(f"{name}.attention.{kind}_length", width) for kind in ("key", "value"))
    return int(sum(per_layer) * (key * _CACHE_BYTES[cache_k] + value * _CACHE_BYTES[cache_v]))


def tokenizer_hash(header: GgufHeader) -> str:
    """Return a hash that is equal for tokenizers that give equal ids; comparable between GGUF files only."""
    names = ("model", "pre", "tokens", "merges", "scores", "add_bos_token", "add_space_prefix")
    parts = [header.fields.get(f"tokenizer.ggml.{name}") for name in names]
    return "gguf-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def kernel(header: GgufHeader, facts: Facts) -> str:
    """Return a phrase on the kernels: block types from the file, the rest from llama.cpp's log."""
    parts = [_product(header.weight_type, facts), *_output(header)]
    if "Flash Attention enabled" in facts.log or re.search(r"flash_attn\s+= (enabled|on)\b", facts.log):
        parts.append("flash attention")
    return ", ".join(parts)


def _product(kind: str, facts: Facts) -> str:
    if facts.layers and facts.layers[0]:
        done, total = facts.layers
        where = "" if done == total else f" for {done} of {total} layers, the rest on the processor"
        return (
            f"{kind} {'weights' if kind in _PLAIN else 'blocks'} in llama.cpp's {facts.gpus[0]['name']} kernels{where}"
        )
    has = {name for name, value in re.findall(r"(\w+) = (\d)", facts.system_info) if value != "0"}
    extension = next((name for name in _EXTENSIONS if name in has), "")
    by = f", {extension}" if extension else ""
    if kind in _PLAIN:
        return f"{kind} weights multiplied as {kind}{by}"
    packed = " repacked for this processor" if any("REPACK" in name for name, _ in _buffers(facts.log)) else ""
    # ggml's vec_dot_type: every block format is multiplied with activations in Q8_0, Q8_1 or Q8_K.
    return f"{kind} blocks{packed} multiplied directly with 8-bit activations{by}"


def _output(header: GgufHeader) -> Sequence[str]:
    """Return a phrase with the type of the output matrix; [] if it is that of the other weights."""
    kinds = {tensor.name: tensor.dtype for tensor in header.tensors}
    kind = kinds.get("output.weight", kinds.get("token_embd.weight", header.weight_type))
    return [] if kind == header.weight_type else [f"output matrix {kind}"]


def has_chat_template(header: GgufHeader) -> bool:
    return bool(header.fields.get("tokenizer.chat_template"))


def vocabulary(header: GgufHeader) -> list[str]:
    """Return the vocabulary of the file; empty if it has none."""
    tokens: Any = header.fields.get("tokenizer.ggml.tokens")
    return tokens if isinstance(tokens, list) else []
