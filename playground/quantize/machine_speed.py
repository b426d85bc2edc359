"""How fast this machine does what quantizing is made of: measured once in a child process, in seconds, and cached.

The column loop of GPTQ is timed by calling llm-compressor's own function, because on small matrices its cost is Python
and not arithmetic. On a CPU the clock is the thread's own, which stands still while others have the core: these are the
speeds of an idle machine, and how busy it is now is another fact (`estimate.Facts.busy`). Of repeated readings the best
is kept.
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
_FORMAT = 1  # raise it when something is measured differently
REPEATS, REPEAT_S = 3, 0.4  # at least; short readings are repeated, to find a moment without interruption
WRITE_BYTES = 64 * 2**20
SIDE = 1024  # of the matrices that are multiplied
TOKENS = 256  # rows of a matrix product in BF16: a calibration sample
COLUMNS, FEW_ROWS, MANY_ROWS = 128, 64, 2048
_LOWER_IS_BETTER = ("imports_s", "base_bytes", "column_s", "column_row_s")


@dataclass(frozen=True, slots=True)
class Speed:
    """One machine.

    imports_s     seconds to import llm-compressor and transformers, once their files are in the page cache
    base_bytes    resident memory of a process that has done only that
    gemm          BF16 FLOP/s of a linear layer on one calibration sample
    gemm_fp32     FLOP/s of square FP32 products: Hessians and the updates of GPTQ
    factorize     FP32 FLOP/s of Cholesky, inverse and Cholesky again
    column_s      seconds of GPTQ's loop for one column, whatever its height
    column_row_s  seconds more for each row of that column
    round         weights/s that are quantized to a grid of groups and back
    write         bytes/s to the home's disk, on the disk and not only in the page cache
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
    """What was measured on this machine; never measures."""
    try:
        stored = json.loads(_cache().read_bytes())
        return Speed(**stored["speed"]) if stored["key"] == _key() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def speed(*, again: bool = False) -> Speed:
    """What is known of this machine, or a new measurement of some ten seconds. Raises EngineUnavailable."""
    found = cached()
    if found is not None and not again:
        return found
    fresh = _ask()
    if found is not None:
        fresh = best(found, fresh)
    with contextlib.suppress(OSError):  # a read-only home costs the next caller a measurement, nothing else
        _store(fresh)
    return fresh


def best(one: Speed, other: Speed) -> Speed:
    """The faster reading of each."""
    pairs = {field.name: (getattr(one, field.name), getattr(other, field.name)) for field in fields(Speed)}
    return Speed(**{name: min(pair) if name in _LOWER_IS_BETTER else max(pair) for name, pair in pairs.items()})


def _ask() -> Speed:
    return process.ask(
        MODULE,
        lambda row: Speed(**row),
        TIMEOUT_S,
        late="This machine could not be measured",
        failed="llm-compressor cannot be used here",
    )


def _store(found: Speed) -> None:
    write_whole(_cache(), json.dumps({"key": _key(), "speed": asdict(found)}, indent=1))


def _seconds(work: Callable[[], object]) -> float:
    """The fastest of several runs after one that warms up; a GPU has finished before the clock is read."""
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
    taken: list[float] = []
    while len(taken) < REPEATS or sum(taken) < REPEAT_S:
        taken.append(max(timed(), 1e-6))
    return min(taken)


def measure(folder: Path) -> Speed:
    """In this process, with torch on its best device; `folder` is on the disk whose writing is timed."""
    began = time.thread_time()
    import llmcompressor.modifiers.gptq  # noqa: F401  what a job imports
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
        square = torch.randn(SIDE, SIDE, device=device)
        positive = square @ square.T + SIDE * torch.eye(SIDE, device=device)
        layer = torch.nn.Linear(SIDE, SIDE, bias=False, device=device, dtype=torch.bfloat16)
        sample = torch.randn(TOKENS, SIDE, device=device, dtype=torch.bfloat16)
        scales = torch.full((SIDE, SIDE // 64), 0.1, device=device)
        zeros = torch.zeros_like(scales)
        few, many = columns(FEW_ROWS), columns(MANY_ROWS)

        def invert() -> None:
            lower = torch.linalg.cholesky(positive)
            torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)

        return Speed(
            imports_s=imports_s,
            base_bytes=base_bytes,
            gemm=2 * TOKENS * SIDE**2 / _seconds(lambda: layer(sample)),
            gemm_fp32=2 * SIDE**3 / _seconds(lambda: square @ square),
            factorize=4 / 3 * SIDE**3 / _seconds(invert),
            column_s=few / COLUMNS,
            column_row_s=max(0.0, many - few) / COLUMNS / (MANY_ROWS - FEW_ROWS),
            round=SIDE**2 / _seconds(lambda: fake_quantize(square, scales, zeros, grouped)),
            write=_write(folder),
        )


def _write(folder: Path) -> float:
    """Bytes/s of a file that is on the disk when the clock is stopped."""
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
