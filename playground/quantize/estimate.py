"""Estimate a quantize job before it runs: size, memory, disk, time, and whether it fits.

`estimate` is arithmetic on a checkpoint's tensor list, a recipe and facts of this machine; `facts` measures those.
Sizes of llm-compressor's formats are exact. Memory and time are ranges, and a job is refused only where even the low
end does not fit.

Every term of memory and time is a pair (low, high). Low is the minimum that the method needs; high adds working copies
that may exist at the same time. The formulas are those of llm-compressor 0.14's sequential pipeline: layer by layer,
two forward passes per sample, one to observe activations and one to compute the quantized layer's output. They are pure
functions of shapes, so that more work never costs less.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playground import machine
from playground.errors import OutOfMemory
from playground.estimate import Measured, Parts, spread, too_little_memory
from playground.formatting import size as words
from playground.machine import busy
from playground.methods.recipe import Recipe
from playground.methods.schemes import SCHEMES
from playground.metrics.weights import TORCH_BYTES
from playground.models.checkpoint import Checkpoint
from playground.quantize import machine_speed
from playground.quantize.machine_speed import Speed
from playground.quantize.recipes import complete, linear_layers
from playground.quantize.size import SAFETENSORS, Size, quantized_layers, size
from playground.store import folders

PASSES = 2  # forward passes of the sequential pipeline over every sample
GRID = 20  # scales that AWQ tries for a mapping, its default
FP32, LOGIT = 4, 6  # bytes of a value, and of a logit that exists in BF16 and in FP32
PROMPT_TOKENS = 96  # tokens of the fixed prompts that are compared before and after saving
STARTED_SHARE = 0.2  # memory that a worker allocates before it loads a model, as a share of that after imports
FRESH_SHARE = 0.6  # memory of a process that does not import llm-compressor, as a share of that of one that does
RESIDENT_SHARE = 0.9  # resident share of the weights: the system may evict pages of a mapped checkpoint
UNMEASURED_BASE = 600 * 2**20  # bytes of Python, torch and llm-compressor where this machine was not measured
DISK_MARGIN = 1.1
SIDE_FILES = 80  # bytes of tokenizer files per token of the vocabulary
PROBE = FP32 * PROMPT_TOKENS  # bytes per token of the vocabulary: the logits on disk that the reload is compared with
ITERATIONS = 200  # of AutoRound, its default
_BLOCK = re.compile(r"^(.*?\.\d+)\.")


@dataclass(frozen=True, slots=True)
class Matrix:
    """A linear layer that is quantized."""

    rows: int
    columns: int

    @property
    def weights(self) -> int:
        return self.rows * self.columns


@dataclass(frozen=True, slots=True)
class Job:
    """Shapes and counts that determine memory and time.

    blocks         matrices that are quantized, by transformer block
    weight_bytes   bytes of the whole model in its own type
    other_weights  parameters that every token is multiplied with and that are not quantized: the output head
    saved_bytes    bytes of the weight files that are written
    hidden, vocabulary, width   model dimensions; `width` is bytes per value
    samples, length   number of calibration samples and tokens of each; 0 without calibration
    grid           scales that AWQ tries per mapping
    iterations     AutoRound's iterations per block; 0 for other methods
    """

    method: str
    blocks: tuple[tuple[Matrix, ...], ...]
    weight_bytes: int
    other_weights: int
    saved_bytes: int
    hidden: int
    vocabulary: int
    width: int = 2
    samples: int = 0
    length: int = 0
    grid: int = GRID
    iterations: int = 0

    @property
    def matrices(self) -> list[Matrix]:
        return [matrix for block in self.blocks for matrix in block]

    @property
    def weights(self) -> int:
        return sum(matrix.weights for matrix in self.matrices)

    @property
    def tokens(self) -> int:
        return self.samples * self.length

    @property
    def solves(self) -> bool:
        """Return whether a Hessian is inverted for each layer."""
        return self.method in ("gptq", "smoothquant")


def memory(job: Job, base_bytes: int) -> Parts:
    """Return the peak of the worker's resident bytes by cause."""
    parts = Parts()
    parts.add("Python, torch and llm-compressor", base_bytes)
    if job.method == "gguf":  # one tensor at a time, as FP32
        largest = max((matrix.weights for matrix in job.matrices), default=0)
        largest = max(largest, job.vocabulary * job.hidden)
        parts.add("one tensor as FP32", largest * FP32, largest * (3 * FP32) + job.weight_bytes)
        return parts
    largest = max((matrix.weights for matrix in job.matrices), default=0)
    widest = max((matrix.columns for matrix in job.matrices), default=0)
    parts.add("the model", RESIDENT_SHARE * job.weight_bytes, job.weight_bytes)
    # Packing replaces layer by layer, but freed memory is not returned at once; rounding holds three FP32 copies.
    parts.add("packing and saving", 0, job.saved_bytes + 3 * FP32 * largest)
    # The logits that the reload is compared with; without BF16 units a CPU multiplies the output head as FP32.
    parts.add("fixed prompts", 0, FP32 * job.vocabulary * (job.hidden + 3 * PROMPT_TOKENS))
    parts.add("tokenizer, data set, store", 0, STARTED_SHARE * base_bytes)
    if not job.tokens:
        return parts
    stream = job.tokens * job.hidden * job.width
    sample = job.length * (widest * FP32 + job.vocabulary * LOGIT)
    parts.add("activations between layers", stream, 2 * stream + sample)
    block = max((sum(m.columns**2 for m in block) for block in job.blocks), default=0)
    if job.solves:
        parts.add("Hessians of a layer", FP32 * block, FP32 * (block + 4 * widest**2 + 2 * largest))
    if job.method == "awq":
        inputs = job.tokens * (3 * job.hidden + widest) * job.width
        # outputs before and after, and FP32 copies of both for the comparison; a copy of the weights of a mapping
        outputs = 2 * job.tokens * max(job.hidden, 1) * (job.width + FP32)
        parts.add("inputs and outputs of a block", inputs, inputs + outputs + 3 * FP32 * largest)
    if job.method == "autoround":
        block_weights = max((sum(m.weights for m in block) for block in job.blocks), default=0)
        parts.add("gradients of a block", FP32 * block_weights, 4 * FP32 * block_weights + 8 * stream)
    return parts


def waiting_memory(job: Job, base_bytes: int) -> float:
    """Return the bytes of the reloading process while the worker is at its peak.

    When that process loads the model, the worker has released its own.
    """
    return 0.0 if job.method == "gguf" else FRESH_SHARE * base_bytes


def seconds(job: Job, speed: Speed) -> Parts:
    """Return seconds on an idle machine by cause, before `spread` widens them."""
    parts = Parts()
    heavy = job.method != "gguf"
    # the worker and the fresh process that reloads the result; the latter needs transformers alone
    parts.add("starting", 1.2 * speed.imports_s, (2.2 if heavy else 1.2) * speed.imports_s)
    parts.add("reading the model", job.weight_bytes / (4 * speed.write), job.weight_bytes / speed.write)
    passes = 4 if heavy else 2  # scales, rounding, the error of each layer, packing
    parts.add("rounding", passes * job.weights / speed.round)
    parts.add("writing", job.saved_bytes / speed.write)
    if heavy:
        parts.add("reloading", (job.weights / speed.round) + (job.weights + job.other_weights) * 192 / speed.gemm)
    if not job.tokens:
        return parts
    forward = 2 * (job.weights + job.other_weights) * job.tokens / speed.gemm
    parts.add("calibrating", PASSES * forward)
    if job.solves:
        parts.add("Hessians", sum(2 * job.tokens * m.columns**2 for m in job.matrices) / speed.gemm_fp32)
        parts.add("solving", sum(_solve(matrix, speed) for matrix in job.matrices))
    if job.method == "awq":
        # each block runs once per scale; the output projections run again as mappings of their own
        block = 2 * job.weights * job.tokens / speed.gemm
        rounding = 2 * job.weights / speed.round
        parts.add("searching scales", job.grid * (block + rounding), job.grid * (2 * block + rounding))
    if job.method == "autoround":
        batch = min(8, job.samples) * job.length
        parts.add("tuning", job.iterations * (6 * job.weights * batch / speed.gemm + 4 * job.weights / speed.round))
    return parts


def _solve(matrix: Matrix, speed: Speed) -> float:
    """Return the seconds of GPTQ for one layer: factorization, the loop over columns, the updates of later columns."""
    factorize = 4 / 3 * matrix.columns**3 / speed.factorize
    loop = matrix.columns * (speed.column_s + matrix.rows * speed.column_row_s)
    return factorize + loop + matrix.rows * matrix.columns**2 / speed.gemm_fp32


@dataclass(frozen=True, slots=True)
class Facts:
    """The state of this machine.

    speed             None if it was not measured: then the estimate has no time
    memory_available  bytes of RAM that a job may allocate
    disk_free         free bytes on the disk of the variant
    busy              runnable threads of other processes per core
    memory_held       bytes of RAM of engines and jobs that this process started; they are free when the job begins,
                      because the job before it has ended and idle models are unloaded
    """

    speed: Speed | None
    memory_available: int
    disk_free: int
    busy: float = 0.0
    memory_held: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a job. Ranges are (low, high).

    bytes_after    bytes of all tensors of the variant: `bytes_after` of the finished job
    file_bytes     bytes of the weight files with their headers
    peak_memory    peak of the worker's resident bytes
    room           free bytes that surely suffice for the worker and the process that reloads the result
    disk_bytes     bytes on the disk at the same time: variant, side files, download, logits for the comparison
    seconds        None if the speed of this machine is not known
    fits, refusal  whether it fits; if not, `refusal` says why and `hint` what to do
    reasons        sentences for the user
    """

    bytes_before: int
    bytes_after: int
    bytes_is_exact: bool
    file_bytes: int
    bits_per_weight: float
    peak_memory: tuple[int, int]
    room: int
    disk_bytes: int
    seconds: tuple[float, float] | None
    fits: bool
    refusal: str = ""
    hint: str = ""
    reasons: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise OutOfMemory if it does not fit."""
        if not self.fits:
            raise OutOfMemory(self.refusal, hint=self.hint)

    def as_dict(self) -> dict[str, Any]:
        """Return the estimate in JSON types, rounded."""
        row = asdict(self)
        return row | {
            "peak_memory": list(self.peak_memory),
            "seconds": None if self.seconds is None else [round(second, 1) for second in self.seconds],
            "bits_per_weight": round(self.bits_per_weight, 4),
            "reasons": list(self.reasons),
        }


def facts(out: str = "", *, measure: bool = True) -> Facts:
    """Return the facts of this machine and of the disk of `out` ("": the home's folder of variants).

    The first call measures for about ten seconds in a child process; with `measure=False` no call does. Raises
    EngineUnavailable if llm-compressor cannot be used here.
    """
    folder = Path(out).expanduser().absolute() if out else folders.variants()
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    return Facts(
        speed=machine_speed.speed() if measure else machine_speed.cached(),
        memory_available=machine.memory().available,
        disk_free=shutil.disk_usage(existing).free,
        busy=busy(),
        memory_held=machine.held_by_children(),
    )


def estimate(checkpoint: Checkpoint, recipe: Recipe, host: Facts, history: Sequence[Measured] = ()) -> Estimate:
    """Return the estimate for making `recipe` from the checkpoint. The recipe is completed first.

    `history`: jobs that ran on this machine, which correct the time. Raises InvalidRecipe, UnknownVariant.
    """
    completed = complete(checkpoint, recipe)
    recipe = completed.recipe
    variant_size = size(checkpoint, recipe)
    work = job(checkpoint, recipe, variant_size)
    base = host.speed.base_bytes if host.speed else UNMEASURED_BASE
    low, high = map(int, memory(work, base).total)
    waiting = int(waiting_memory(work, base))
    download = 0 if Path(checkpoint.path).exists() else checkpoint.bytes
    disk = variant_size.files + work.vocabulary * (SIDE_FILES + PROBE) + download
    times = spread(seconds(work, host.speed), recipe.method, history, host.busy) if host.speed else None
    refusal, hint = _refusal(work, low + waiting, disk, host)
    return Estimate(
        bytes_before=checkpoint.bytes,
        bytes_after=variant_size.tensors,
        bytes_is_exact=variant_size.exact,
        file_bytes=variant_size.files,
        bits_per_weight=8 * variant_size.tensors / checkpoint.parameters,
        peak_memory=(low, high),
        room=high + waiting,
        disk_bytes=disk,
        seconds=times,
        fits=not refusal,
        refusal=refusal,
        hint=hint,
        reasons=(*completed.reasons, *_reasons(recipe, variant_size, download, high + waiting, host)),
    )


def job(checkpoint: Checkpoint, recipe: Recipe, variant_size: Size) -> Job:
    """Return the shapes and counts of a completed recipe on this checkpoint."""
    config = checkpoint.config
    text = config.get("text_config") or config
    if recipe.scheme in SCHEMES:
        layers = [layer for layer, _, _ in quantized_layers(checkpoint, recipe)]
    else:
        layers = linear_layers(checkpoint.tensors)
    blocks: dict[str, list[Matrix]] = {}
    for layer in layers:
        block = _BLOCK.match(layer.name)
        blocks.setdefault(block[1] if block else layer.name, []).extend(
            [Matrix(layer.rows, layer.columns)] * layer.copies
        )
    width = TORCH_BYTES[checkpoint.form.dtype]
    hidden, vocabulary = int(text.get("hidden_size") or 0), int(text.get("vocab_size") or 0)
    head = vocabulary * hidden
    doubled = sum(tensor.bytes for tensor in checkpoint.tensors if checkpoint.tied and tensor.name == "lm_head.weight")
    values = sum(tensor.numel for tensor in checkpoint.tensors if tensor.dtype in SAFETENSORS.values())
    return Job(
        method=recipe.method,
        blocks=tuple(map(tuple, blocks.values())),
        weight_bytes=values * width - doubled,
        other_weights=head,
        saved_bytes=variant_size.files,
        hidden=hidden,
        vocabulary=vocabulary,
        width=width,
        samples=int(recipe.calibration.get("samples") or 0),
        length=int(recipe.calibration.get("max_length") or 0),
        grid=int(recipe.options.get("n_grid") or GRID),
        iterations=int(recipe.options.get("iters") or ITERATIONS) if recipe.method == "autoround" else 0,
    )


def _refusal(work: Job, memory_low: int, disk: int, host: Facts) -> tuple[str, str]:
    """Return the first reason why the job cannot run and what to do about it; ("", "") if it can."""
    if memory_low > host.memory_available + host.memory_held:
        fewer = "use fewer or shorter calibration samples, or " if work.tokens else ""
        more = f", {words(host.memory_held)} more without what is loaded" if host.memory_held else ""
        return (
            too_little_memory(memory_low, host.memory_available, more),
            f"Unload idle models, {fewer}choose a smaller model.",
        )
    if disk * DISK_MARGIN > host.disk_free:
        return (
            f"It writes {words(disk)} and the disk has {words(host.disk_free)} free; a tenth is kept as a margin.",
            "Delete variants that are no longer needed, or choose a folder on another disk.",
        )
    return "", ""


def _reasons(recipe: Recipe, variant_size: Size, download: int, memory_high: int, host: Facts) -> list[str]:
    reasons = [f"The size is approximate: {variant_size.note}."] if variant_size.note and not variant_size.exact else []
    scheme = SCHEMES.get(recipe.scheme)
    if scheme and scheme.kind == "int" and scheme.activations and scheme.bits < 8:
        reasons.append(
            f"{scheme.name} is stored in 8 bits per weight: compressed-tensors packs nothing when inputs are quantized."
        )
    if download:
        reasons.append(f"{words(download)} are downloaded first; the time does not count that.")
    possible = host.memory_available + host.memory_held
    if host.memory_available < memory_high <= possible:
        reasons.append(f"Idle models are unloaded before it begins: {words(host.memory_available)} of memory are free.")
    if memory_high > possible:
        reasons.append(
            f"At worst it takes {words(memory_high)} of memory, more than the {words(possible)} that can be free."
        )
    if host.speed and host.busy > 1:
        reasons.append(
            f"The machine is busy ({host.busy:.1f} other threads per core), so the upper time estimate is longer."
        )
    return reasons
