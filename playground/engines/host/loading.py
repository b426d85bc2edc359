"""Load a model for decoding: local files, safetensors or GGUF, no remote code.

Also the rendering of a chat or a text to token ids, the same for every engine, and the memory of the device.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import importlib
import io
import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import psutil
import torch
from safetensors import SafetensorError
from tqdm import tqdm
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging as transformers_logging

from playground import machine
from playground.core import Loaded, LoadSpec, Progress, Prompt
from playground.engines.host import kernels
from playground.engines.host.fp8_blocks import dequantize_by_block
from playground.engines.host.reading import TRIAL, Reading, trial
from playground.errors import (
    BrokenCheckpoint,
    EngineUnavailable,
    InvalidRequest,
    OutOfMemory,
    PlaygroundError,
    UnsupportedModel,
)
from playground.methods import bitsandbytes
from playground.models import checkpoint, scheme
from playground.models.gguf import WITH_CONFIG, read_header
from playground.models.load import load_model
from playground.settings import settings

log = logging.getLogger(__name__)
OnProgress = Callable[[Progress], None]
WARM_UP_TOKENS = 4
TRIAL_TEXTS = (
    "The bridge over the river was built of stone, and it has carried the road to the town for two hundred years.",
    "Water boils at a lower temperature on a mountain, because the air above it is thinner and presses less.",
    "She put the letter into her bag, closed the door behind her and walked down to the station to meet her brother.",
    "To add two fractions, first bring them to the same denominator, then add the numerators and simplify the result.",
)
UNCACHED = "no cache: this model does not go on from a part of a text, so the whole is read again for each token."
_HASHES: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # serializing a large vocabulary takes 0.1 s
_PROCESS = psutil.Process()
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK_RSS = "5"  # proc(5): resets VmHWM to the current RSS


@dataclass(slots=True)
class Resident:
    """A loaded variant.

    eos     token ids that end a generation
    facts   sizes, dtype, context length and kernel
    cached  whether its KV cache may be kept between passes; else the whole text is recomputed for each token
    """

    spec: LoadSpec
    model: Any
    tokenizer: Any
    eos: frozenset[int]
    facts: Loaded
    cached: bool = True
    last_used: float = field(default_factory=time.monotonic)


def device_of_choice() -> torch.device:
    """Return the first available device of CUDA, Apple's MPS and CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def load(spec: LoadSpec, memory: DeviceMemory, on_progress: OnProgress, tokenizer: Any = None) -> Resident:
    """Load a variant, quantize it if the spec says so, warm it up and measure its sizes.

    tokenizer  the variant's, if it is already loaded: that of a GGUF file takes longer to load than the weights

    Raises PlaygroundError only: OutOfMemory, EngineUnavailable, UnsupportedModel, BrokenCheckpoint.
    """
    began = time.monotonic()
    if spec.quantize is not None:
        importlib.import_module("bitsandbytes")  # else its memory would count as the variant's
    memory.release()
    before = memory.used()
    try:
        _refuse_unread(spec)
        if tokenizer is None:
            on_progress(Progress("Reading the tokenizer"))
            tokenizer = load_tokenizer(spec.path)
        model = _load_model(spec, memory.device, on_progress)
        on_progress(Progress("Warming up"))
        texts = [_trial_ids(model, tokenizer, text) for text in TRIAL_TEXTS]
        cached, kv_bytes = trial(model, texts)
        _warm_up(model, texts[0], cached)
    except PlaygroundError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(
            f"{spec.id} did not fit into memory.", hint="Unload another variant, or pick a smaller one."
        ) from error
    except (ImportError, NotImplementedError) as error:
        raise EngineUnavailable(f"{spec.id} cannot run on this machine: {_first_line(error)}") from error
    except Exception as error:  # the code of an architecture may raise anything for an unusual checkpoint
        log.exception("load of %s failed", spec.id)
        raise _load_error(spec, error) from error
    memory.release()
    weight_bytes, embedding_bytes = weight_sizes(model)
    facts = Loaded(
        id=spec.id,
        engine="transformers",
        device=memory.device.type,
        dtype=spec.dtype,
        weight_bytes=weight_bytes,
        streamed_bytes=None if _is_mixture(model.config) else weight_bytes - embedding_bytes,
        kv_bytes_per_token=kv_bytes,
        resident_bytes=max(0, memory.used() - before),
        context=context_length(model.config),
        tokenizer_hash=tokenizer_hash(tokenizer),
        has_chat_template=bool(tokenizer.chat_template),
        kernel=kernels.kernel(model) if cached else f"{UNCACHED} {kernels.kernel(model)}".strip(),
        load_s=time.monotonic() - began,
        weights=kernels.weights(model, _stored_quantized(spec)),
    )
    return Resident(spec, model, tokenizer, end_ids(spec, tokenizer), facts, cached)


def _stored_quantized(spec: LoadSpec) -> bool:
    """Return whether the file or folder stores its weights in a quantized format."""
    if spec.path.endswith(".gguf"):
        return read_header(Path(spec.path)).weight_type not in ("F32", "F16", "BF16")
    return scheme.quantization(json.loads((Path(spec.path) / "config.json").read_bytes())) is not None


def load_tokenizer(path: str) -> Any:
    """Return the tokenizer of a local folder or `.gguf` file. Raises what transformers raises."""
    source, extra = _place(path)
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False, **extra)
    if extra:
        end = read_header(Path(path)).fields.get("tokenizer.ggml.eos_token_id")
        if isinstance(end, int):  # transformers uses the BOS token of a Llama's file as EOS
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    return tokenizer


def _place(path: str) -> tuple[str, dict[str, str]]:
    file = Path(path)
    return (str(file.parent), {"gguf_file": file.name}) if file.suffix == ".gguf" else (path, {})


def load_slice(spec: LoadSpec, device: torch.device, layers: int) -> Any:
    """Load the first layers of a model, with embedding and head, to measure the speed of a layer.

    Raises what transformers raises.
    """
    return _load_model(spec, device, lambda _: None, num_hidden_layers=layers)


def _load_model(spec: LoadSpec, device: torch.device, on_progress: OnProgress, **config: int) -> Any:
    path, options = _place(spec.path)
    arguments: dict[str, Any] = {**options, "dtype": getattr(torch, spec.dtype)}
    if spec.quantize is not None:
        arguments["quantization_config"] = bitsandbytes.quantization_config(spec.quantize, spec.dtype)
    if device.type != "cpu" or spec.quantize is not None:
        arguments["device_map"] = {"": str(device)}
    original = _original_config(spec, config)
    arguments |= config if original is None else {"config": original}
    if "gguf_file" not in options:
        arguments["use_safetensors"] = True

    def bar(_factory: Any, args: Any, kwargs: Any) -> Any:
        return _ReportingBar(on_progress, *args, **kwargs)

    dequantize_by_block()
    previous = transformers_logging.set_tqdm_hook(bar)
    try:
        model = load_model(path, **arguments)
    finally:
        transformers_logging.set_tqdm_hook(previous)
    if device.type == "cpu":
        _unmap(model)
    return model.requires_grad_(False)


def _refuse_unread(spec: LoadSpec) -> None:
    """Raise UnsupportedModel for a GGUF file with metadata that transformers would ignore."""
    if not spec.path.endswith(".gguf"):
        return
    original = Path(spec.original) if spec.original else None
    if reason := checkpoint.from_gguf(spec.id, Path(spec.path), original=original).form.unread:
        raise UnsupportedModel(
            f"transformers cannot read {spec.id}: {reason}.", hint=f"Run it in llama.cpp: {spec.id}@llamacpp."
        )


def _original_config(spec: LoadSpec, changes: Mapping[str, int]) -> Any:
    """Return the original's config if a GGUF file needs it; None: transformers makes one from the file."""
    if not spec.original:
        return None
    config = AutoConfig.from_pretrained(spec.original, local_files_only=True, trust_remote_code=False, **changes)
    return config if config.model_type in WITH_CONFIG else None


def _unmap(model: Any) -> None:
    """Copy tensors that are still memory-mapped, so that the checkpoint is unmapped.

    A single mapped tensor keeps all resident pages of the file, also those of weights that were quantized: nf4 would
    seem to need as much memory as the original.
    """
    for tensor in [*model.parameters(), *model.buffers()]:
        if type(tensor) in (torch.nn.Parameter, torch.Tensor) and tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()


class _ReportingBar(tqdm):  # type: ignore[misc]
    """A progress bar of transformers that calls `on_progress` instead of writing to the terminal.

    An exception of `on_progress` cancels the load, so it is only called in the thread of the load.
    """

    monitor_interval = 0  # without tqdm's monitor thread

    def __init__(self, on_progress: OnProgress, *args: Any, **kwargs: Any) -> None:
        self._on_progress = on_progress
        super().__init__(
            *args, **{**kwargs, "disable": False, "file": io.StringIO(), "mininterval": 0.1, "miniters": 1}
        )

    def refresh(self, *_args: Any, **_kwargs: Any) -> None:
        stage = str(self.desc or "Loading weights").rstrip(".: ")
        self._on_progress(Progress(stage, self.n, self.total or 0, "tensors"))

    def close(self) -> None:
        self.disable = True  # nothing is drawn at the end either


def _trial_ids(model: Any, tokenizer: Any, text: str) -> list[int]:
    """Return TRIAL token ids of `text`, repeated if it is shorter, without ids that have no embedding."""
    rows = model.get_input_embeddings().weight.shape[0]
    ids = [i for i in tokenizer.encode(text, add_special_tokens=False) if i < rows] or [0]
    return [ids[n % len(ids)] for n in range(TRIAL)]


def _warm_up(model: Any, prompt: list[int], cached: bool) -> None:
    """Run a prompt and WARM_UP_TOKENS decode steps."""
    reading = Reading(model, cached)
    text = torch.tensor([[*prompt, *prompt[:WARM_UP_TOKENS]]], device=model.device)
    for end in range(len(prompt), text.shape[1] + 1):
        reading.read(model, text[:, :end])


def weight_sizes(model: Any) -> tuple[int, int]:
    """Return the bytes of all weights including quantization state, and those of an untied input embedding (else 0)."""
    seen: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage.nbytes():
            seen[storage.data_ptr()] = tensor.numel() * tensor.element_size()

    for tensor in [*model.parameters(), *_saved_buffers(model)]:
        count(tensor)
        for state in _quantization_tensors(getattr(tensor, "quant_state", None)):
            count(state)
        for name in ("SCB", "CB"):
            extra = getattr(tensor, name, None)
            if isinstance(extra, torch.Tensor):
                count(extra)
    embedding = model.get_input_embeddings()
    head = model.get_output_embeddings()
    weight = embedding.weight
    tied = (
        head is not None and getattr(head, "weight", None) is not None and head.weight.data_ptr() == weight.data_ptr()
    )
    return sum(seen.values()), 0 if tied else weight.numel() * weight.element_size()


def _saved_buffers(model: Any) -> list[torch.Tensor]:
    """Return the buffers that are saved in a checkpoint, without computed ones like rotary frequencies."""
    return [
        buffer
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name not in module._non_persistent_buffers_set
    ]


def _quantization_tensors(state: Any) -> list[torch.Tensor]:
    if state is None:
        return []
    tensors = [value for value in vars(state).values() if isinstance(value, torch.Tensor)]
    return tensors + _quantization_tensors(getattr(state, "state2", None))


def _is_mixture(config: Any) -> bool:
    text = config.get_text_config(decoder=True)
    names = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
    return any((getattr(text, name, 0) or 0) > 1 for name in names)


def context_length(config: Any) -> int:
    """Return the model's maximum sequence length in tokens; 131,072 if the config has none."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        if isinstance(value := getattr(text, name, None), int) and value > 0:
            return value
    return 131_072


def end_ids(spec: LoadSpec, tokenizer: Any) -> frozenset[int]:
    """Return the token ids that end a generation: those of the checkpoint's configs and the tokenizer's."""
    eos_id = tokenizer.eos_token_id
    return frozenset(spec.end_ids if eos_id is None else (*spec.end_ids, eos_id))


def tokenizer_hash(tokenizer: Any) -> str:
    """Return a hash that is equal for tokenizers that give equal ids. The chat template is not part of it."""
    if tokenizer not in _HASHES:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        text = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
        _HASHES[tokenizer] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return _HASHES[tokenizer]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def _load_error(spec: LoadSpec, error: Exception) -> PlaygroundError:
    text = _first_line(error)
    lowered = str(error).lower()
    if isinstance(error, SafetensorError):
        return BrokenCheckpoint(f"The weights of {spec.id} are damaged: {text}", hint="Download or export them again.")
    if "unrecognized" in lowered or "does not recognize this architecture" in lowered or "not supported" in lowered:
        return UnsupportedModel(f"transformers cannot load {spec.id}: {text}")
    if not isinstance(error, (OSError, RuntimeError, ValueError)):
        text = f"transformers stopped with {type(error).__name__}{f' ({text})' if str(error) else ''}."
    return UnsupportedModel(f"{spec.id} could not be loaded: {text}", hint="The engine log has the details.")


# Rendering and tokenizing.


@lru_cache(maxsize=8)
def tokenizer_of(path: str) -> Any:
    """Return the cached tokenizer of a folder whose model runs in another process. Raises BrokenCheckpoint."""
    try:
        return load_tokenizer(path)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise BrokenCheckpoint(f"The tokenizer in {Path(path).name} cannot be read: {reason}") from error


def render(
    tokenizer: Any, messages: list[dict[str, str]] | None, text: str | None, add_generation_prompt: bool = True
) -> Prompt:
    """Return the token ids of a chat (by the model's template, in transformers' immutable sandbox) or of a raw text.

    Without a chat template the messages are joined as plain text, and the prompt's `template` is "raw". Raises
    InvalidRequest for a prompt that is missing or too long, UnsupportedModel if the template raises.
    """
    limit = settings().max_prompt_chars
    size = len(text or "") + sum(len(message["content"]) for message in messages or [])
    if size > limit:
        raise InvalidRequest(f"The prompt has {size:,} characters; the limit is {limit:,}.", hint="Shorten it.")
    if messages is None and text is None:
        raise InvalidRequest("Neither a prompt nor messages were given.")
    if messages is not None and tokenizer.chat_template:
        try:
            text = str(
                tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
            )
        except Exception as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise UnsupportedModel(f"This model's chat template refused the conversation: {reason}") from error
        ids = tokenizer.encode(text, add_special_tokens=False)
        return Prompt(tuple(ids), text, "chat", tokenizer_hash(tokenizer))
    if messages is not None:
        text = "\n\n".join(message["content"] for message in messages)
    return Prompt(tuple(tokenizer.encode(text)), text or "", "raw", tokenizer_hash(tokenizer))


class DeviceMemory:
    """Reads and frees the memory of one torch device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def settle(self) -> None:
        """Allocate cuBLAS's workspace of this thread (34 MB on an H100), so that no variant's size includes it."""
        if self.device.type == "cuda":
            matrix = torch.ones(64, 64, device=self.device, dtype=torch.bfloat16)
            torch.nn.functional.linear(matrix, matrix)
            torch.nn.functional.linear(matrix, matrix, matrix[0])

    def used(self) -> int:
        """Return the bytes that this process has allocated on the device; on a CPU its resident bytes."""
        if self.device.type == "cuda":
            return int(torch.cuda.memory_allocated(self.device))
        if self.device.type == "mps":
            return int(torch.mps.current_allocated_memory())
        return int(_PROCESS.memory_info().rss)

    def total(self) -> int:
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[1])
        if self.device.type == "mps":
            return int(torch.mps.recommended_max_memory())
        return int(psutil.virtual_memory().total)

    def free(self) -> int:
        """Return the bytes that a load may allocate: free on the device, or left of the user's limit."""
        if self.device.type == "cuda":
            reusable = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
            free = int(torch.cuda.mem_get_info(self.device)[0]) + int(reusable)
        elif self.device.type == "mps":
            free = self.total() - int(torch.mps.driver_allocated_memory())
        else:
            free = machine.memory().available
        limit = settings().memory_limit
        return free if limit is None else min(free, limit - self.used())

    def reset_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif self.device.type == "cpu" and _CLEAR_REFS.exists():
            try:
                _CLEAR_REFS.write_text(_RESET_PEAK_RSS)
            except OSError:  # a container may forbid it; peak() then over-reports, which is the safe side
                return

    def peak(self) -> int:
        """Return the maximum of `used` since `reset_peak`; the current use if the system does not record it."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        if self.device.type == "cpu" and _STATUS.exists():
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return self.used()

    def synchronize(self) -> None:
        """Wait until the device has finished; without it a time stamp would only include the launch."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def release(self) -> None:
        """Return freed memory to the system, so that `used` only counts live allocations."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()
        elif sys.platform == "linux":
            libc: Any = ctypes.CDLL(None)
            if hasattr(libc, "malloc_trim"):
                libc.malloc_trim(0)
