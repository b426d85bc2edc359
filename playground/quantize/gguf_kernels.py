"""llama.cpp's own quantization kernels, called in the library that the `xllamacpp` wheel ships.

Its Python classes do not offer them, but the library exports the C functions `ggml_quantize_chunk`,
`ggml_validate_row_data` and `dequantize_row_…`, whose signatures ggml has kept since 2024. The blocks are therefore,
bit for bit, what `llama-quantize` writes; the `gguf` package writes no K-quants and takes minutes for the rest.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.errors import Cancelled, EngineUnavailable, QuantizeFailed
from playground.metrics.weights import of_parts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CHUNK = 1 << 20  # values per call: short enough to be cancelled between two
_LIBRARIES = ("*.so", "*.pyd", "*.dylib")
_FLOATS = {"BF16": "ggml_bf16_to_fp32_row", "F16": "ggml_fp16_to_fp32_row"}


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
    """How far the blocks are from the FP32 values they were made of (`metrics.layer_errors`), a few rows at a time."""
    import numpy as np

    source = values.reshape(blocks.shape[0], -1)

    def part(first: int) -> tuple[float, float]:
        rows = source[first : first + step]
        lost = dequantize(blocks[first : first + step], kind) - rows
        return float(np.vdot(lost, lost)), float(np.vdot(rows, rows))

    step = max(1, CHUNK // source.shape[1])
    with ThreadPoolExecutor(threads) as pool:
        return of_parts(pool.map(part, range(0, source.shape[0], step)))
