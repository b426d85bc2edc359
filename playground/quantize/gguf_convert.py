"""A transformers checkpoint as GGUF tensors and metadata, by llama.cpp's own converter and kernels.

The converter (`conversion`, behind convert_hf_to_gguf.py) is not on the package index by itself; auto-round, which
llm-compressor brings, ships a copy of it. It knows every architecture that llama.cpp runs: names, permutations, rope,
tokenizer. Tensors stay lazy, so one is in memory at a time and no intermediate file is written.

The kernels are called in the library that the `xllamacpp` wheel ships. Its Python classes do not offer them, but the
library exports the C functions `ggml_quantize_chunk`, `ggml_validate_row_data` and `dequantize_row_…`, whose signatures
ggml has kept since 2024. The blocks are therefore, bit for bit, what `llama-quantize` writes; the `gguf` package writes
no K-quants and takes minutes for the rest.

The converter recognises a tokenizer by the hash of one tokenized text, so a fine-tuned vocabulary is unknown to it even
when it cuts text as its parent does. What cuts is in tokenizer.json, and is compared here for `tokenizer.ggml.pre`.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import logging
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.errors import (
    BrokenCheckpoint,
    Cancelled,
    EngineUnavailable,
    PlaygroundError,
    QuantizeFailed,
    UnsupportedModel,
)
from playground.metrics.weights import of_parts, read_tensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PACKAGE = "auto_round"
INSIDE = Path("export") / "export_to_gguf"
MODULE = "conversion"
LOGGER = "hf-to-gguf"
_FILE_TYPE = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16"}
CHUNK = 1 << 20  # values per call: short enough to be cancelled between two
_LIBRARIES = ("*.so", "*.pyd", "*.dylib")
_FLOATS = {"BF16": "ggml_bf16_to_fp32_row", "F16": "ggml_fp16_to_fp32_row"}
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LLAMA3 = _CONTRACTIONS + (r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_BY_REGEX = {_LLAMA3: "llama-bpe", _QWEN2: "qwen2"}


class Newer(str):
    """A name that the converter uses and the installed gguf package does not have."""


class _Names:
    """An enumeration of the gguf package, and any name that it lacks as `Newer`."""

    def __init__(self, known: Any) -> None:
        self._known = known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._known, name, Newer(name))


class _Package:
    """The gguf package as the converter sees it.

    auto-round 0.15.1 copies a converter that is newer than gguf 0.19.0, the newest on the index: one unknown
    architecture in a file would make all others of that file unusable, Qwen2 and Gemma among them.
    """

    def __init__(self, package: Any) -> None:
        self._package = package
        self.MODEL_ARCH = _Names(package.MODEL_ARCH)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._package, name)


@lru_cache(maxsize=1)
def converter() -> Any:
    """The converter's package. Found without importing auto_round, which would take ten seconds."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = [Path(folder) / INSIDE for folder in (spec.submodule_search_locations or ())] if spec else []
    root = next((folder for folder in folders if (folder / MODULE / "__init__.py").is_file()), None)
    if root is None:
        raise EngineUnavailable(
            "llama.cpp's converter is not installed here.",
            hint="Run `make setup`, or `pip install auto-round==0.15.1`.",
        )
    sys.path.insert(0, str(root))
    try:
        found = importlib.import_module(MODULE)
        base = importlib.import_module(f"{MODULE}.base")
    finally:
        sys.path.remove(str(root))
    base.gguf = _Package(base.gguf)  # type: ignore[attr-defined]
    # Its log is one line per tensor, and its warnings speak to llama.cpp's developers.
    logging.getLogger(LOGGER).setLevel(logging.ERROR)
    return found


def architecture(source: Path) -> str:
    """The architecture in config.json that the converter knows. Raises UnsupportedModel, BrokenCheckpoint."""
    found, supported = _architecture(source), converter().TEXT_MODEL_MAP
    if found not in supported:
        raise UnsupportedModel(
            f"llama.cpp's converter does not know {found or 'this architecture'}.",
            hint="Choose another method; the methods of llm-compressor take every causal language model.",
        )
    return found


def _architecture(source: Path) -> str:
    conversion = converter()
    try:
        parameters = conversion.ModelBase.load_hparams(source, False)
        return str(conversion.get_model_architecture(parameters, conversion.ModelType.TEXT))
    except (OSError, ValueError, KeyError) as error:
        raise BrokenCheckpoint(f"The config.json of {source.name} cannot be read.", hint="Copy it again.") from error


def stored_type(source: Path) -> str:
    """The floating-point type that holds most of the checkpoint's values: BF16, F16 or F32."""
    count = dict.fromkeys(_FILE_TYPE, 0)
    for tensor in read_tensors(source):
        if tensor.dtype in count:
            count[tensor.dtype] += tensor.numel
    return max(count, key=lambda kind: count[kind])


def load(source: Path, target: Path, kind: str, file_type: str) -> Any:
    """The converter's model with all tensors indexed and the metadata set: its `gguf_writer` is ready to be written.

    kind       type of the matrices: BF16, F16 or F32
    file_type  name of the LlamaFileType that the metadata states
    Raises UnsupportedModel, BrokenCheckpoint, QuantizeFailed with the converter's own sentence.
    """
    conversion = converter()
    name = architecture(source)
    import torch
    from gguf import LlamaFileType

    try:
        with torch.inference_mode():
            known = conversion.get_model_class(name)
            if isinstance(known.model_arch, Newer):
                raise UnsupportedModel(
                    f"The installed gguf package does not know {name} yet.",
                    hint="Choose another method, or install a newer gguf.",
                )
            model = known(source, LlamaFileType[_FILE_TYPE[kind]], target)
            if "n_positions" in model.hparams:  # GPT-2; transformers 5 no longer writes both
                model.hparams.setdefault("n_ctx", model.hparams["n_positions"])
            model.prepare_tensors()
            model.ftype = LlamaFileType[file_type]
            patch(model, source)
            model.prepare_metadata(vocab_only=False)
    except PlaygroundError:
        raise
    except NotImplementedError as error:
        raise UnsupportedModel(
            f"llama.cpp's converter refuses this {name}: {_sentence(error)}.", hint="Choose another method."
        ) from error
    except Exception as error:  # whatever a converter of ninety architectures stumbles over is about this checkpoint
        raise QuantizeFailed(
            f"llama.cpp's converter failed on this {name}: {_sentence(error)}.",
            hint="The job's log has the details; another method may still work.",
        ) from error
    return model


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}".rstrip(".: ")


# Kernels.


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The loaded library with both functions declared. Raises EngineUnavailable."""
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or not spec.submodule_search_locations:
        raise EngineUnavailable(
            "GGUF files are quantized by llama.cpp, which is not installed here.",
            hint="Run `make setup`, or `pip install xllamacpp`.",
        )
    folder = Path(spec.submodule_search_locations[0])
    files = [file for pattern in _LIBRARIES for file in sorted(folder.glob(pattern))]
    for file in files:
        try:
            found = ctypes.CDLL(str(file))
            found.ggml_quantize_chunk.restype = ctypes.c_size_t
            found.ggml_quantize_chunk.argtypes = [
                ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p,
            ]  # fmt: skip
            found.ggml_validate_row_data.restype = ctypes.c_bool
            found.ggml_validate_row_data.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
        except (OSError, AttributeError):
            continue
        return found
    raise EngineUnavailable(
        "This build of llama.cpp does not export its quantization kernels.",
        hint="Install the xllamacpp wheel for Linux, or quantize on another machine and open the .gguf file here.",
    )


def quantize(
    values: npt.NDArray[np.float32], kind: str, threads: int, is_cancelled: Callable[[], bool]
) -> npt.NDArray[np.uint8]:
    """Rows of FP32 values as blocks of a ggml type; shape (…, columns) → (rows, bytes per row).

    Raises Cancelled, QuantizeFailed (infinite values or NaN), EngineUnavailable.
    """
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    number = GGMLQuantizationType[kind]
    block, block_bytes = GGML_QUANT_SIZES[number]
    columns = values.shape[-1]
    source = np.ascontiguousarray(values.reshape(-1, columns), dtype=np.float32)
    rows = source.shape[0]
    row_bytes = columns // block * block_bytes
    target = np.empty((rows, row_bytes), dtype=np.uint8)
    native = library()

    def part(first: int) -> bool:
        if is_cancelled():
            return True
        count = min(step, rows - first)
        # The offset is in values; the kernel finds the place of the row in the target itself.
        args: tuple[Any, ...] = (source.ctypes.data, target.ctypes.data, first * columns, count, columns, None)
        size = native.ggml_quantize_chunk(int(number), *args)
        begin = target.ctypes.data + first * row_bytes
        return bool(native.ggml_validate_row_data(int(number), begin, size))

    step = max(1, CHUNK // columns)
    with ThreadPoolExecutor(threads) as pool:
        valid = all(pool.map(part, range(0, rows, step)))
    if is_cancelled():
        raise Cancelled("Quantizing was stopped.")
    if not valid:
        raise QuantizeFailed(
            f"The weights hold infinite values or NaN, which {kind} cannot store.", hint="The checkpoint is damaged."
        )
    return target


def dequantize(blocks: npt.NDArray[np.uint8], kind: str) -> npt.NDArray[np.float32]:
    """Rows of blocks as the values that llama.cpp multiplies with; (rows, bytes per row) → (rows, columns).

    Raises EngineUnavailable.
    """
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    source = np.ascontiguousarray(blocks)
    if kind == "F32":
        return source.view(np.float32)
    values = np.empty((source.shape[0], source.shape[1] // block_bytes * block), dtype=np.float32)
    unpack = getattr(library(), _FLOATS.get(kind) or f"dequantize_row_q{kind[1:]}")
    unpack.restype, unpack.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    unpack(source.ctypes.data, values.ctypes.data, values.size)
    return values


def relative_error(values: npt.NDArray[np.float32], blocks: npt.NDArray[np.uint8], kind: str, threads: int) -> float:
    """How far the blocks are from the FP32 values they were made of (`metrics.weights`), a few rows at a time."""
    import numpy as np

    source = values.reshape(blocks.shape[0], -1)

    def part(first: int) -> tuple[float, float]:
        rows = source[first : first + step]
        lost = dequantize(blocks[first : first + step], kind) - rows
        return float(np.vdot(lost, lost)), float(np.vdot(rows, rows))

    step = max(1, CHUNK // source.shape[1])
    with ThreadPoolExecutor(threads) as pool:
        return of_parts(pool.map(part, range(0, source.shape[0], step)))


# The field `tokenizer.ggml.pre`: how llama.cpp cuts text before it merges.


def _steps(found: Any) -> list[Mapping[str, Any]]:
    if not isinstance(found, dict):
        return []
    if found.get("type") == "Sequence":
        return [step for step in found.get("pretokenizers", ()) if isinstance(step, dict)]
    return [found]


def pre_tokenizer(table: Mapping[str, Any]) -> str | None:
    """llama.cpp's name for the pre-tokenizer of a tokenizer.json; None where none cuts the same way.

    Only where nothing normalizes the text first, which llama.cpp would not do.
    """
    normalizer = table.get("normalizer")
    steps = _steps(table.get("pre_tokenizer"))
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and normalizer is None:
        return "gpt-2" if steps[0].get("use_regex", True) and not steps[0].get("add_prefix_space") else None
    if kinds == ["Digits", "ByteLevel"] and normalizer is None:
        whole = steps[0].get("individual_digits") and steps[1].get("use_regex", True)
        return "smollm" if whole and not steps[1].get("add_prefix_space") else None
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        # Qwen normalizes to NFC; llama.cpp takes the text as it is, as it does for Qwen's own files.
        pattern = steps[0].get("pattern", {}).get("Regex")
        return _BY_REGEX.get(pattern) if normalizer is None or normalizer.get("type") == "NFC" else None
    return None


def patch(model: Any, source: Path) -> None:
    """Let the converter's `model` fall back on tokenizer.json for a tokenizer that it does not recognise."""
    recognise = model.get_vocab_base_pre

    def by_hash_or_by_rule(tokenizer: Any) -> str:
        try:
            return str(recognise(tokenizer))
        except NotImplementedError:
            table = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
            found = pre_tokenizer(table)
            if found is None:
                raise UnsupportedModel(
                    "llama.cpp has no pre-tokenizer that cuts text as this model's tokenizer does.",
                    hint="Choose another method; prompts would be read wrongly.",
                ) from None
            return found

    model.get_vocab_base_pre = by_hash_or_by_rule
