"""Speed of this machine at the operations of quantizing: measured once in a child process, and cached.

The column loop of GPTQ is timed with llm-compressor's own function, because on small matrices its cost is Python and
not arithmetic. On a CPU thread time is measured, so these are the speeds of an idle machine; how busy it is now is a
separate fact (`estimate.Facts.busy`). Of repeated readings the best is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from playground import machine, process
from playground.files import write_whole
from playground.settings import settings

MODULE = "playground.quantize.machine_speed"
TIMEOUT_S = 300.0
_FORMAT = 1  # increase it when the measurement changes
REPEATS, REPEAT_S = 3, 0.4  # at least so many readings and so many seconds in all
WRITE_BYTES = 64 * 2**20
MATRIX_SIZE = 1024  # rows and columns of the multiplied matrices
TOKENS = 256  # rows of a matrix product in BF16: a calibration sample
COLUMNS, FEW_ROWS, MANY_ROWS = 128, 64, 2048
_LOWER_IS_BETTER = ("imports_s", "base_bytes", "column_s", "column_row_s")


@dataclass(frozen=True, slots=True)
class Speed:
    """Measured speeds of one machine.

    imports_s     seconds to import llm-compressor and transformers, with their files in the page cache
    base_bytes    resident memory of a process after these imports
    gemm          BF16 FLOP/s of a linear layer on one calibration sample
    gemm_fp32     FLOP/s of square FP32 products: Hessians and the updates of GPTQ
    factorize     FP32 FLOP/s of Cholesky, inverse and Cholesky again
    column_s      seconds of GPTQ's loop for one column, without its rows
    column_row_s  additional seconds for each row of the column
    round         weights/s that are quantized to a grid of groups and dequantized
    write         bytes/s to the disk of the home folder, with fsync
    """

    imports_s: float
    base_bytes: int
    gemm: float
    gemm_fp32: float
    factorize: float
    column_s: float
    column_row_s: float
    round: float
    write: float


def _cache() -> Path:
    return settings().cache / "speed.json"


def _key() -> str:
    return f"{_FORMAT}-{machine.key()}-{machine.versions(('llmcompressor',))['llmcompressor']}"


def cached() -> Speed | None:
    """Return the stored measurement of this machine, or None."""
    try:
        stored = json.loads(_cache().read_bytes())
        return Speed(**stored["speed"]) if stored["key"] == _key() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def speed(*, again: bool = False) -> Speed:
    """Return the stored measurement, or measure for some ten seconds. Raises EngineUnavailable.

    again  measure even if there is one, and keep the better reading of each speed
    """
    stored = cached()
    if stored is not None and not again:
        return stored
    fresh = _measure_in_child()
    if stored is not None:
        fresh = best(stored, fresh)
    with contextlib.suppress(OSError):  # with a read-only home the next call measures again
        _store(fresh)
    return fresh


def best(first: Speed, second: Speed) -> Speed:
    """Return the faster reading of each speed."""
    pairs = {field.name: (getattr(first, field.name), getattr(second, field.name)) for field in fields(Speed)}
    return Speed(**{name: min(pair) if name in _LOWER_IS_BETTER else max(pair) for name, pair in pairs.items()})


def _measure_in_child() -> Speed:
    return process.ask(
        MODULE,
        lambda row: Speed(**row),
        TIMEOUT_S,
        late="This machine could not be measured",
        failed="llm-compressor cannot be used here",
    )


def _store(speed: Speed) -> None:
    write_whole(_cache(), json.dumps({"key": _key(), "speed": asdict(speed)}, indent=1))


def _seconds(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of several runs, after a warm-up. A GPU is synchronized."""
    import torch

    accelerated = torch.accelerator.is_available()
    clock = time.perf_counter if accelerated else time.thread_time

    def timed() -> float:
        began = clock()
        work()
        if accelerated:
            torch.accelerator.synchronize()
        return clock() - began

    timed()
    seconds: list[float] = []
    while len(seconds) < REPEATS or sum(seconds) < REPEAT_S:
        seconds.append(max(timed(), 1e-6))
    return min(seconds)


def measure(folder: Path) -> Speed:
    """Measure in this process, on torch's best device. `folder`: where the speed of writing is measured."""
    began = time.thread_time()
    import llmcompressor.modifiers.gptq  # noqa: F401  a job imports it too
    import torch
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from llmcompressor.modifiers.gptq.gptq_quantize import quantize_weight

    imports_s = time.thread_time() - began
    import psutil

    base_bytes = int(psutil.Process().memory_info().rss)
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    grouped = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group", group_size=64)

    def columns(rows: int) -> float:
        weights = torch.randn(1, rows, COLUMNS, device=device)
        hessians = torch.eye(COLUMNS, device=device).unsqueeze(0)
        scale = torch.full((1, rows, COLUMNS // 64), 0.1, device=device)
        zero = torch.zeros_like(scale, dtype=torch.int8)
        return _seconds(
            lambda: quantize_weight(weights.clone(), hessians.clone(), scale, zero, None, grouped, blocksize=COLUMNS)
        )

    with torch.no_grad():
        square = torch.randn(MATRIX_SIZE, MATRIX_SIZE, device=device)
        positive = square @ square.T + MATRIX_SIZE * torch.eye(MATRIX_SIZE, device=device)
        layer = torch.nn.Linear(MATRIX_SIZE, MATRIX_SIZE, bias=False, device=device, dtype=torch.bfloat16)
        sample = torch.randn(TOKENS, MATRIX_SIZE, device=device, dtype=torch.bfloat16)
        scales = torch.full((MATRIX_SIZE, MATRIX_SIZE // 64), 0.1, device=device)
        zeros = torch.zeros_like(scales)
        few, many = columns(FEW_ROWS), columns(MANY_ROWS)

        def invert() -> None:
            lower = torch.linalg.cholesky(positive)
            torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)

        return Speed(
            imports_s=imports_s,
            base_bytes=base_bytes,
            gemm=2 * TOKENS * MATRIX_SIZE**2 / _seconds(lambda: layer(sample)),
            gemm_fp32=2 * MATRIX_SIZE**3 / _seconds(lambda: square @ square),
            factorize=4 / 3 * MATRIX_SIZE**3 / _seconds(invert),
            column_s=few / COLUMNS,
            column_row_s=max(0.0, many - few) / COLUMNS / (MANY_ROWS - FEW_ROWS),
            round=MATRIX_SIZE**2 / _seconds(lambda: fake_quantize(square, scales, zeros, grouped)),
            write=_write(folder),
        )


def _write(folder: Path) -> float:
    """Return bytes/s of writing a file, fsync included."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        data = os.urandom(2**20)
        began = time.perf_counter()
        for _ in range(WRITE_BYTES // len(data)):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
        return WRITE_BYTES / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(settings().cache))))
    sys.exit(0)
