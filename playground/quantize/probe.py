"""Logits of fixed prompts, compared between the quantized model in memory and its saved checkpoint.

The checkpoint is loaded in a new process (`quantize.reload`). The comparison shows whether it was saved correctly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playground.errors import QuantizeFailed

PROMPTS = (
    "The bridge over the river was built in 1887, and since then it has carried",
    "def mean(values):\n    if not values:\n        raise ValueError('empty')\n    return",
    "Die Wurzel aus 144 ist 12, und die Wurzel aus 225 ist",
)
MAX_TOKENS = 32  # of each prompt
IDS, LOGITS, ORIGINAL = "ids", "logits", "original"

# Measured on a CPU with llm-compressor 0.14.0.1 and transformers 5.17, every method of the table on tiny models and
# RTN on the bundled one: exactly 0; 0.026 for a mixture in FP8, whose fused experts do not round activations after
# loading. Broken checkpoints: SpinQuant with R4 0.43, a Mixtral whose experts are not loaded 0.32.
MAX_RELATIVE = 0.1

# A correct checkpoint can differ: on CUDA compressed-tensors 0.19 rounds saved weights in FP32, but weights in memory
# with BF16 quotients: 0.8 % of the bundled model's weights are rounded the other way (H100, W4A16_ASYM; KLD 0.038
# between the two, 0.40 and 0.42 to the original). A broken checkpoint is much farther from the original.
MAX_FARTHER = 1.25


@dataclass(frozen=True, slots=True)
class Difference:
    """The reloaded model against the one in memory, over all positions of all prompts.

    relative_logit_error     RMS of the difference over the standard deviation of the logits: 0 for the same model,
                             about 1.4 for an unrelated one
    max_abs_logit_difference in logits
    kld_mean                 nats, in memory ‖ reloaded
    top1_agreement           share of positions with the same most probable token
    error_memory, error_reloaded  relative_logit_error of each against the original; None without the original's logits
    kld_memory, kld_reloaded nats, original ‖ each; None likewise
    """

    relative_logit_error: float
    max_abs_logit_difference: float
    kld_mean: float
    top1_agreement: float
    positions: int
    error_memory: float | None = None
    error_reloaded: float | None = None
    kld_memory: float | None = None
    kld_reloaded: float | None = None

    @property
    def agrees(self) -> bool:
        if self.relative_logit_error <= MAX_RELATIVE:  # False too when it is not a number
            return True
        if self.error_memory is None or self.error_reloaded is None:
            return False
        nearer = self.relative_logit_error < self.error_memory  # unrelated models are all equally far apart
        return nearer and self.error_reloaded <= MAX_FARTHER * self.error_memory

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def encode(tokenizer: Any) -> list[list[int]]:
    """Return the fixed prompts as token ids, truncated to one length so that a batch needs no padding."""
    rows = [list(tokenizer(text)["input_ids"]) or [0] for text in PROMPTS]
    length = min(MAX_TOKENS, *map(len, rows))
    return [row[:length] for row in rows]


def logits(model: Any, prompts: Sequence[Sequence[int]]) -> Any:
    """Return FP32 logits on the CPU, [prompts, tokens, vocabulary].

    With an accelerator llm-compressor leaves the model offloaded. compressed-tensors 0.19 then rounds one copy of each
    weight and multiplies with another, so that the model answers as if it were not quantized. Disabling the offloading
    avoids that.
    """
    import torch
    from compressed_tensors.offload import disable_offloading

    ids = torch.tensor([list(prompt) for prompt in prompts], device=next(model.parameters()).device)
    with torch.no_grad(), disable_offloading():
        return model(input_ids=ids, use_cache=True).logits.float().cpu()


def finite_logits(model: Any, prompts: Sequence[Sequence[int]]) -> Any:
    """Return `logits` of a model. Raises QuantizeFailed if they are not finite."""
    values = logits(model, prompts)
    if not bool(values.isfinite().all()):
        raise QuantizeFailed(
            "The model answers with numbers that are not finite: its type overflows.",
            hint="Convert it to bfloat16 or float32 first.",
        )
    return values


def record(model: Any, tokenizer: Any, path: Path, original: Any = None) -> None:
    """Save the logits of a model in memory to `path`, with those of the original (`original`) if given."""
    prompts = encode(tokenizer)
    save(path, prompts, finite_logits(model, prompts), original)


def save(path: Path, prompts: Sequence[Sequence[int]], logits: Any, original: Any = None) -> None:
    """Write ids and logits to one file, for the process that loads the checkpoint."""
    import torch
    from safetensors.torch import save_file

    tensors = {IDS: torch.tensor([list(prompt) for prompt in prompts]), LOGITS: logits.contiguous()}
    save_file(tensors if original is None else tensors | {ORIGINAL: original.contiguous()}, path)


def load(path: Path) -> tuple[list[list[int]], Any, Any]:
    """Return what `save` wrote: ids, logits of the model in memory, and of the original or None."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    return tensors[IDS].tolist(), tensors[LOGITS], tensors.get(ORIGINAL)


def compare(expected: Any, reloaded: Any, original: Any = None) -> Difference:
    """Compare logits, shaped as `logits` returns them, of the model in memory, the reloaded one and the original."""
    expected_rows, reloaded_rows = expected.flatten(0, 1), reloaded.flatten(0, 1)
    return Difference(
        relative_logit_error=_relative(expected, reloaded),
        max_abs_logit_difference=float((reloaded_rows - expected_rows).abs().max()),
        kld_mean=_kld(expected, reloaded),
        top1_agreement=float((expected_rows.argmax(-1) == reloaded_rows.argmax(-1)).float().mean()),
        positions=len(expected_rows),
        error_memory=None if original is None else _relative(expected, original),
        error_reloaded=None if original is None else _relative(expected, original, reloaded),
        kld_memory=None if original is None else _kld(original, expected),
        kld_reloaded=None if original is None else _kld(original, reloaded),
    )


def _relative(memory: Any, first: Any, second: Any = None) -> float:
    """Return the RMS of `first` − `second` (default: `memory`), in standard deviations of the logits in memory."""
    spread = memory.std(dim=-1, keepdim=True).clamp_min(1e-9)
    return float((((memory if second is None else second) - first) / spread).square().mean().sqrt())


def _kld(reference: Any, other: Any) -> float:
    """Return the mean KL divergence over all positions, nats."""
    log_p, log_q = reference.log_softmax(-1), other.log_softmax(-1)
    return float((log_p.exp() * (log_p - log_q)).sum(-1).mean())
