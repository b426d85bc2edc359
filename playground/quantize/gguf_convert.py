"""Convert a transformers checkpoint to GGUF tensors and metadata, with llama.cpp's converter and kernels.

The converter (`conversion`, behind convert_hf_to_gguf.py) has no package of its own; auto-round, a dependency of
llm-compressor, contains a copy. It knows every architecture of llama.cpp: names, permutations, rope, tokenizer. Tensors
stay lazy, so only one is in memory and no intermediate file is written.

The kernels are C functions of the library in the `xllamacpp` wheel, called through ctypes: `ggml_quantize_chunk`,
`ggml_validate_row_data` and `dequantize_row_…`, whose signatures have not changed since 2024. The blocks are the same,
bit for bit, as those of `llama-quantize`. The `gguf` package has no K-quants and takes minutes for the other types.

The converter recognises a tokenizer by the hash of one tokenized text, so it does not know a fine-tuned vocabulary with
its parent's pre-tokenizer. For those the pre-tokenizer in tokenizer.json decides on `tokenizer.ggml.pre`.
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
from playground.metrics.weights import error_of_parts, read_tensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PACKAGE = "auto_round"
INSIDE = Path("export") / "export_to_gguf"
MODULE = "conversion"
LOGGER = "hf-to-gguf"
_FILE_TYPE = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16"}
CHUNK = 1 << 20  # values per call; cancelling takes effect between two calls
_LIBRARIES = ("*.so", "*.pyd", "*.dylib")
_FLOATS = {"BF16": "ggml_bf16_to_fp32_row", "F16": "ggml_fp16_to_fp32_row"}
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LLAMA3 = _CONTRACTIONS + (r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_BY_REGEX = {_LLAMA3: "llama-bpe", _QWEN2: "qwen2"}


class UnknownName(str):
    """A name that the converter uses and the installed gguf package lacks."""


class _Names:
    """An enumeration of the gguf package; missing names are `UnknownName`."""

    def __init__(self, enumeration: Any) -> None:
        self._enumeration = enumeration

    def __getattr__(self, name: str) -> Any:
        return getattr(self._enumeration, name, UnknownName(name))


class _Package:
    """The gguf package, with a MODEL_ARCH that accepts unknown names.

    auto-round 0.15.1 copies a converter that is newer than gguf 0.19.0, the newest release: one unknown architecture in
    a module of the converter would make all others of that module unusable, Qwen2 and Gemma among them.
    """

    def __init__(self, package: Any) -> None:
        self._package = package
        self.MODEL_ARCH = _Names(package.MODEL_ARCH)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._package, name)


@lru_cache(maxsize=1)
def converter() -> Any:
    """Return the converter's package without importing auto_round, which takes ten seconds.

    Raises EngineUnavailable if it is not installed.
    """
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
        package = importlib.import_module(MODULE)
        base = importlib.import_module(f"{MODULE}.base")
    finally:
        sys.path.remove(str(root))
    base.gguf = _Package(base.gguf)  # type: ignore[attr-defined]
    # Its log has a line per tensor, and its warnings are for llama.cpp's developers.
    logging.getLogger(LOGGER).setLevel(logging.ERROR)
    return package


def architecture(source: Path) -> str:
    """Return the architecture in config.json. Raises UnsupportedModel if the converter lacks it, BrokenCheckpoint."""
    name, supported = _architecture(source), converter().TEXT_MODEL_MAP
    if name not in supported:
        raise UnsupportedModel(
            f"llama.cpp's converter does not know {name or 'this architecture'}.",
            hint="Choose another method; the methods of llm-compressor take every causal language model.",
        )
    return name


def _architecture(source: Path) -> str:
    conversion = converter()
    try:
        parameters = conversion.ModelBase.load_hparams(source, False)
        return str(conversion.get_model_architecture(parameters, conversion.ModelType.TEXT))
    except (OSError, ValueError, KeyError) as error:
        raise BrokenCheckpoint(f"The config.json of {source.name} cannot be read.", hint="Copy it again.") from error


def stored_type(source: Path) -> str:
    """Return the floating-point type of most values in the checkpoint: BF16, F16 or F32."""
    count = dict.fromkeys(_FILE_TYPE, 0)
    for tensor in read_tensors(source):
        if tensor.dtype in count:
            count[tensor.dtype] += tensor.numel
    return max(count, key=lambda kind: count[kind])


def load(source: Path, target: Path, kind: str, file_type: str) -> Any:
    """Return the converter's model, all tensors indexed and the metadata set; its `gguf_writer` is ready to write.

    kind       type of the matrices: BF16, F16 or F32
    file_type  name of the LlamaFileType in the metadata

    Raises UnsupportedModel, BrokenCheckpoint, QuantizeFailed with the converter's message.
    """
    conversion = converter()
    name = architecture(source)
    import torch
    from gguf import LlamaFileType

    try:
        with torch.inference_mode():
            model_class = conversion.get_model_class(name)
            if isinstance(model_class.model_arch, UnknownName):
                raise UnsupportedModel(
                    f"The installed gguf package does not know {name} yet.",
                    hint="Choose another method, or install a newer gguf.",
                )
            model = model_class(source, LlamaFileType[_FILE_TYPE[kind]], target)
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
    except Exception as error:  # the converters of ninety architectures can raise anything
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
    """Return the loaded library with its functions declared. Raises EngineUnavailable."""
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
            native = ctypes.CDLL(str(file))
            native.ggml_quantize_chunk.restype = ctypes.c_size_t
            native.ggml_quantize_chunk.argtypes = [
                ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p,
            ]  # fmt: skip
            native.ggml_validate_row_data.restype = ctypes.c_bool
            native.ggml_validate_row_data.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
        except (OSError, AttributeError):
            continue
        return native
    raise EngineUnavailable(
        "This build of llama.cpp does not export its quantization kernels.",
        hint="Install the xllamacpp wheel for Linux, or quantize on another machine and open the .gguf file here.",
    )


def quantize(
    values: npt.NDArray[np.float32], kind: str, threads: int, is_cancelled: Callable[[], bool]
) -> npt.NDArray[np.uint8]:
    """Quantize FP32 values to blocks of a ggml type; shape (…, columns) → (rows, bytes per row).

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
        # The offset is in values; the kernel computes the row's offset in the target.
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
    """Dequantize rows of blocks as llama.cpp does; (rows, bytes per row) → (rows, columns).

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
    """Return the relative error (`metrics.weights`) of blocks against their FP32 values, a few rows at a time."""
    import numpy as np

    source = values.reshape(blocks.shape[0], -1)

    def part(first: int) -> tuple[float, float]:
        rows = source[first : first + step]
        difference = dequantize(blocks[first : first + step], kind) - rows
        return float(np.vdot(difference, difference)), float(np.vdot(rows, rows))

    step = max(1, CHUNK // source.shape[1])
    with ThreadPoolExecutor(threads) as pool:
        return error_of_parts(pool.map(part, range(0, source.shape[0], step)))


# The field `tokenizer.ggml.pre`: llama.cpp's pre-tokenizer.


def _steps(pre_tokenizer: Any) -> list[Mapping[str, Any]]:
    if not isinstance(pre_tokenizer, dict):
        return []
    if pre_tokenizer.get("type") == "Sequence":
        return [step for step in pre_tokenizer.get("pretokenizers", ()) if isinstance(step, dict)]
    return [pre_tokenizer]


def pre_tokenizer(table: Mapping[str, Any]) -> str | None:
    """Return llama.cpp's name for the pre-tokenizer of a tokenizer.json; None if it has no equivalent.

    A normalizer has none either, since llama.cpp does not normalize.
    """
    normalizer = table.get("normalizer")
    steps = _steps(table.get("pre_tokenizer"))
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and normalizer is None:
        return "gpt-2" if steps[0].get("use_regex", True) and not steps[0].get("add_prefix_space") else None
    if kinds == ["Digits", "ByteLevel"] and normalizer is None:
        splits_digits = steps[0].get("individual_digits") and steps[1].get("use_regex", True)
        return "smollm" if splits_digits and not steps[1].get("add_prefix_space") else None
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        # Qwen normalizes to NFC; llama.cpp ignores that for Qwen's own files too.
        pattern = steps[0].get("pattern", {}).get("Regex")
        return _BY_REGEX.get(pattern) if normalizer is None or normalizer.get("type") == "NFC" else None
    return None


def patch(model: Any, source: Path) -> None:
    """Make the converter's `model` use tokenizer.json for a tokenizer that it does not recognise.

    It raises UnsupportedModel if that pre-tokenizer has no equivalent in llama.cpp.
    """
    recognise = model.get_vocab_base_pre

    def by_hash_or_by_rule(tokenizer: Any) -> str:
        try:
            return str(recognise(tokenizer))
        except NotImplementedError:
            table = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
            name = pre_tokenizer(table)
            if name is None:
                raise UnsupportedModel(
                    "llama.cpp has no pre-tokenizer that cuts text as this model's tokenizer does.",
                    hint="Choose another method; prompts would be read wrongly.",
                ) from None
            return name

    model.get_vocab_base_pre = by_hash_or_by_rule
