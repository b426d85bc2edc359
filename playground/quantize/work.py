"""Memory and time of a quantize job as arithmetic on shapes: pure functions, so that more work never costs less.

Every term is a pair (low, high). Low is what the method cannot do without; high adds working copies that may live at
the same moment. The formulas are those of llm-compressor 0.14's sequential pipeline: layer by layer, each sample
forward twice, once to watch and once to pass on what the quantized layer gives.
"""

from __future__ import annotations

from dataclasses import dataclass

from playground.estimate import Parts
from playground.quantize.machine_speed import Speed

PASSES = 2  # forward passes of the sequential pipeline over every sample
GRID = 20  # scales that AWQ tries for a mapping, its default
FP32, LOGIT = 4, 6  # bytes of a value, and of a logit that is there in BF16 and in FP32
PROMPT_TOKENS = 96  # that a finished model answers to, before and after saving
STARTED_SHARE = 0.2  # of the memory after imports that a worker takes besides, before it loads a model
FRESH_SHARE = 0.6  # of the memory after imports that a process has for itself which imports no llm-compressor
RESIDENT_SHARE = 0.9  # of the weights: pages of a mapped checkpoint that are read again later may have gone


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
