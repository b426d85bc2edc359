"""What a quantize job will cost, before it runs: size, memory, disk, time, and whether it fits.

`estimate` is arithmetic on a checkpoint's tensor list, a recipe and facts of this machine; `facts` asks the machine.
Sizes of llm-compressor's formats are exact. Memory and time are ranges, and a job is refused only where even the low
end does not fit.

Every term of memory and time is a pair (low, high). Low is what the method cannot do without; high adds working copies
that may live at the same moment. The formulas are those of llm-compressor 0.14's sequential pipeline: layer by layer,
each sample forward twice, once to watch and once to pass on what the quantized layer gives. They are pure functions of
shapes, so that more work never costs less.
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
FP32, LOGIT = 4, 6  # bytes of a value, and of a logit that is there in BF16 and in FP32
PROMPT_TOKENS = 96  # that a finished model answers to, before and after saving
STARTED_SHARE = 0.2  # of the memory after imports that a worker takes besides, before it loads a model
FRESH_SHARE = 0.6  # of the memory after imports that a process has for itself which imports no llm-compressor
RESIDENT_SHARE = 0.9  # of the weights: pages of a mapped checkpoint that are read again later may have gone
UNMEASURED_BASE = 600 * 2**20  # bytes of Python, torch and llm-compressor where this machine was not measured
DISK_MARGIN = 1.1
SIDE_FILES = 80  # bytes of tokenizer files per token of the vocabulary
PROBE = FP32 * PROMPT_TOKENS  # bytes per token of the vocabulary: logits that the reload is compared with, until then
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
    """What decides memory and time.

    matrices       that are quantized, those of one block side by side in `blocks`
    weight_bytes   of the whole model in its own type
    other_weights  parameters that every token is multiplied with and that stay as they are: the output head
    saved_bytes    of the weight files that are written
    hidden, vocabulary, width   model dimensions; `width` bytes per value
    samples, length   of the calibration text; 0 without
    iterations     of AutoRound for each block
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
        """Whether a Hessian is inverted for each layer."""
        return self.method in ("gptq", "smoothquant")


def memory(job: Job, base_bytes: int) -> Parts:
    """Resident bytes at the worst moment of the worker, by cause."""
    found = Parts()
    found.add("Python, torch and llm-compressor", base_bytes)
    if job.method == "gguf":  # one tensor at a time, as FP32
        largest = max((matrix.weights for matrix in job.matrices), default=0)
        largest = max(largest, job.vocabulary * job.hidden)
        found.add("one tensor as FP32", largest * FP32, largest * (3 * FP32) + job.weight_bytes)
        return found
    largest = max((matrix.weights for matrix in job.matrices), default=0)
    widest = max((matrix.columns for matrix in job.matrices), default=0)
    found.add("the model", RESIDENT_SHARE * job.weight_bytes, job.weight_bytes)
    # Packing replaces layer by layer, but what is freed is not given back at once; rounding holds three FP32 copies.
    found.add("packing and saving", 0, job.saved_bytes + 3 * FP32 * largest)
    # The answers that the reload is compared with; without BF16 units a CPU multiplies the output head as FP32.
    found.add("fixed prompts", 0, FP32 * job.vocabulary * (job.hidden + 3 * PROMPT_TOKENS))
    found.add("tokenizer, data set, store", 0, STARTED_SHARE * base_bytes)
    if not job.tokens:
        return found
    stream = job.tokens * job.hidden * job.width
    sample = job.length * (widest * FP32 + job.vocabulary * LOGIT)
    found.add("activations between layers", stream, 2 * stream + sample)
    block = max((sum(m.columns**2 for m in block) for block in job.blocks), default=0)
    if job.solves:
        found.add("Hessians of a layer", FP32 * block, FP32 * (block + 4 * widest**2 + 2 * largest))
    if job.method == "awq":
        inputs = job.tokens * (3 * job.hidden + widest) * job.width
        # outputs before and after, both once more in FP32 where they are compared; the weights of a mapping kept aside
        outputs = 2 * job.tokens * max(job.hidden, 1) * (job.width + FP32)
        found.add("inputs and outputs of a block", inputs, inputs + outputs + 3 * FP32 * largest)
    if job.method == "autoround":
        block_weights = max((sum(m.weights for m in block) for block in job.blocks), default=0)
        found.add("gradients of a block", FP32 * block_weights, 4 * FP32 * block_weights + 8 * stream)
    return found


def waiting_memory(job: Job, base_bytes: int) -> float:
    """Bytes of the fresh process that waits for the result while the worker is at its worst. When that process loads,
    the worker has let go of its model."""
    return 0.0 if job.method == "gguf" else FRESH_SHARE * base_bytes


def seconds(job: Job, speed: Speed) -> Parts:
    """Seconds on an idle machine by cause, before the spread of `spread`."""
    found = Parts()
    heavy = job.method != "gguf"
    # the worker and the fresh process that reloads the result; the latter needs transformers alone
    found.add("starting", 1.2 * speed.imports_s, (2.2 if heavy else 1.2) * speed.imports_s)
    found.add("reading the model", job.weight_bytes / (4 * speed.write), job.weight_bytes / speed.write)
    passes = 4 if heavy else 2  # scales, rounding, what each layer lost, packing
    found.add("rounding", passes * job.weights / speed.round)
    found.add("writing", job.saved_bytes / speed.write)
    if heavy:
        found.add("reloading", (job.weights / speed.round) + (job.weights + job.other_weights) * 192 / speed.gemm)
    if not job.tokens:
        return found
    forward = 2 * (job.weights + job.other_weights) * job.tokens / speed.gemm
    found.add("calibrating", PASSES * forward)
    if job.solves:
        found.add("Hessians", sum(2 * job.tokens * m.columns**2 for m in job.matrices) / speed.gemm_fp32)
        found.add("solving", sum(_solve(matrix, speed) for matrix in job.matrices))
    if job.method == "awq":
        # each block runs once per scale; the ways out of attention and feed-forward run again as mappings of their own
        block = 2 * job.weights * job.tokens / speed.gemm
        rounding = 2 * job.weights / speed.round
        found.add("searching scales", job.grid * (block + rounding), job.grid * (2 * block + rounding))
    if job.method == "autoround":
        batch = min(8, job.samples) * job.length
        found.add("tuning", job.iterations * (6 * job.weights * batch / speed.gemm + 4 * job.weights / speed.round))
    return found


def _solve(matrix: Matrix, speed: Speed) -> float:
    """One layer of GPTQ: factorize, then the loop over columns, then what each block of columns leaves to the rest."""
    factorize = 4 / 3 * matrix.columns**3 / speed.factorize
    loop = matrix.columns * (speed.column_s + matrix.rows * speed.column_row_s)
    return factorize + loop + matrix.rows * matrix.columns**2 / speed.gemm_fp32


@dataclass(frozen=True, slots=True)
class Facts:
    """This machine now.

    speed             None where it was not measured: then there is no time in the estimate
    memory_available  bytes of RAM that a job may take
    disk_free         bytes on the disk that the variant will lie on
    busy              runnable threads of others per core
    memory_held       bytes of RAM of engines and of jobs that this process started: before a job begins, the job before
                      it has ended and idle models are unloaded
    """

    speed: Speed | None
    memory_available: int
    disk_free: int
    busy: float = 0.0
    memory_held: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What to expect of a job. Ranges are (low, high).

    bytes_after    all tensors of the variant, what `bytes_after` of the finished job will say
    file_bytes     the weight files with their headers
    peak_memory    resident bytes of the worker at its worst moment
    room           bytes that are free if it surely works: of the worker, and of the process that waits to check
    disk_bytes     written at the same time: the variant, its side files, what is downloaded, what is compared
    seconds        None where the speed of this machine is not known
    fits, refusal  False with one sentence; `hint` says what to do
    reasons        sentences for the person who decides
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
        """Raise OutOfMemory where it does not fit."""
        if not self.fits:
            raise OutOfMemory(self.refusal, hint=self.hint)

    def as_dict(self) -> dict[str, Any]:
        """JSON's types only."""
        found = asdict(self)
        return found | {
            "peak_memory": list(self.peak_memory),
            "seconds": None if self.seconds is None else [round(second, 1) for second in self.seconds],
            "bits_per_weight": round(self.bits_per_weight, 4),
            "reasons": list(self.reasons),
        }


def facts(out: str = "", *, measure: bool = True) -> Facts:
    """Ask this machine about the disk of `out` ("": the home's variants) and itself.

    The first call measures for ten seconds of computing, in a child process; `measure=False` never does. Raises
    EngineUnavailable when llm-compressor cannot be used here.
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


def estimate(checkpoint: Checkpoint, recipe: Recipe, here: Facts, history: Sequence[Measured] = ()) -> Estimate:
    """What making `recipe` from the checkpoint will cost. What the recipe leaves open is filled in first.

    `history`: jobs that ran on this machine, which correct the time. Raises InvalidRecipe, UnknownVariant.
    """
    completed = complete(checkpoint, recipe)
    recipe = completed.recipe
    after = size(checkpoint, recipe)
    work = job(checkpoint, recipe, after)
    base = here.speed.base_bytes if here.speed else UNMEASURED_BASE
    low, high = map(int, memory(work, base).total)
    waiting = int(waiting_memory(work, base))
    download = 0 if Path(checkpoint.path).exists() else checkpoint.bytes
    disk = after.files + work.vocabulary * (SIDE_FILES + PROBE) + download
    times = spread(seconds(work, here.speed), recipe.method, history, here.busy) if here.speed else None
    refusal, hint = _refusal(work, low + waiting, disk, here)
    return Estimate(
        bytes_before=checkpoint.bytes,
        bytes_after=after.tensors,
        bytes_is_exact=after.exact,
        file_bytes=after.files,
        bits_per_weight=8 * after.tensors / checkpoint.parameters,
        peak_memory=(low, high),
        room=high + waiting,
        disk_bytes=disk,
        seconds=times,
        fits=not refusal,
        refusal=refusal,
        hint=hint,
        reasons=(*completed.reasons, *_reasons(recipe, after, download, high + waiting, here)),
    )


def job(checkpoint: Checkpoint, recipe: Recipe, after: Size) -> Job:
    """Shapes and counts of a completed recipe on this checkpoint."""
    config = checkpoint.config
    text = config.get("text_config") or config
    if recipe.scheme in SCHEMES:
        chosen = [layer for layer, _, _ in quantized_layers(checkpoint, recipe)]
    else:
        chosen = linear_layers(checkpoint.tensors)
    blocks: dict[str, list[Matrix]] = {}
    for layer in chosen:
        found = _BLOCK.match(layer.name)
        blocks.setdefault(found[1] if found else layer.name, []).extend(
            [Matrix(layer.rows, layer.columns)] * layer.copies
        )
    width = TORCH_BYTES[checkpoint.form.dtype]
    hidden, vocabulary = int(text.get("hidden_size") or 0), int(text.get("vocab_size") or 0)
    head = vocabulary * hidden
    doubled = sum(one.bytes for one in checkpoint.tensors if checkpoint.tied and one.name == "lm_head.weight")
    values = sum(one.numel for one in checkpoint.tensors if one.dtype in SAFETENSORS.values())
    return Job(
        method=recipe.method,
        blocks=tuple(map(tuple, blocks.values())),
        weight_bytes=values * width - doubled,
        other_weights=head,
        saved_bytes=after.files,
        hidden=hidden,
        vocabulary=vocabulary,
        width=width,
        samples=int(recipe.calibration.get("samples") or 0),
        length=int(recipe.calibration.get("max_length") or 0),
        grid=int(recipe.options.get("n_grid") or GRID),
        iterations=int(recipe.options.get("iters") or ITERATIONS) if recipe.method == "autoround" else 0,
    )


def _refusal(work: Job, memory_low: int, disk: int, here: Facts) -> tuple[str, str]:
    """The first reason why it cannot run, and what to do; ("", "") when there is none."""
    if memory_low > here.memory_available + here.memory_held:
        fewer = "use fewer or shorter calibration samples, or " if work.tokens else ""
        more = f", {words(here.memory_held)} more without what is loaded" if here.memory_held else ""
        return (
            too_little_memory(memory_low, here.memory_available, more),
            f"Unload idle models, {fewer}choose a smaller model.",
        )
    if disk * DISK_MARGIN > here.disk_free:
        return (
            f"It writes {words(disk)} and the disk has {words(here.disk_free)} free; a tenth is kept as a margin.",
            "Delete variants that are no longer needed, or choose a folder on another disk.",
        )
    return "", ""


def _reasons(recipe: Recipe, after: Size, download: int, memory_high: int, here: Facts) -> list[str]:
    found = [f"The size is approximate: {after.note}."] if after.note and not after.exact else []
    scheme = SCHEMES.get(recipe.scheme)
    if scheme and scheme.kind == "int" and scheme.activations and scheme.bits < 8:
        found.append(
            f"{scheme.name} is stored in 8 bits per weight: compressed-tensors packs nothing when inputs are quantized."
        )
    if download:
        found.append(f"{words(download)} are downloaded first; the time does not count that.")
    possible = here.memory_available + here.memory_held
    if here.memory_available < memory_high <= possible:
        found.append(f"Idle models are unloaded before it begins: {words(here.memory_available)} of memory are free.")
    if memory_high > possible:
        found.append(
            f"At worst it takes {words(memory_high)} of memory, more than the {words(possible)} that can be free."
        )
    if here.speed and here.busy > 1:
        found.append(
            f"The machine is busy ({here.busy:.1f} other threads per core): the upper end of the time says so."
        )
    return found
