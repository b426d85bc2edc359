"""What a model answers to a few fixed prompts, as logits: enough to tell a checkpoint that was saved wrong.

The prompts are run through the quantized model in memory and, in a fresh process, through the checkpoint on the disk.
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
# RTN on the bundled one: 0 to the last bit; 0.026 for a mixture in FP8, whose fused experts do not round activations
# after loading. Broken ones: SpinQuant with R4 0.43, a Mixtral whose experts are not found again 0.32.
MAX_RELATIVE = 0.1

# Not the same, and yet not broken: on CUDA compressed-tensors 0.19 rounds what it saves in FP32, but in memory it
# computes with BF16 quotients: 0.8 % of the bundled model's weights are rounded to the other side (H100, W4A16_ASYM;
# KLD 0.038 between the two, 0.40 and 0.42 to the original). A broken checkpoint is much farther from the original.
MAX_FARTHER = 1.25


@dataclass(frozen=True, slots=True)
class Difference:
    """The reloaded model against the one in memory, over all positions of all prompts.

    relative_logit_error     RMS of the difference over the standard deviation of the logits: 0 is the same model, about
                             1.4 an unrelated one, whatever the scale of the logits
    max_abs_logit_difference in logits
    kld_mean                 nats, in memory ‖ reloaded
    top1_agreement           share of positions with the same most probable token
    error_memory, error_reloaded  the same of both against the original, in the same unit; None where nobody asked that
    kld_memory, kld_reloaded nats, likewise
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
        nearer = self.relative_logit_error < self.error_memory  # two unrelated models are as far apart as from a third
        return nearer and self.error_reloaded <= MAX_FARTHER * self.error_memory

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def encode(tokenizer: Any) -> list[list[int]]:
    """The fixed prompts as token ids, cut to one length: one forward pass for all, without padding."""
    rows = [list(tokenizer(text)["input_ids"]) or [0] for text in PROMPTS]
    length = min(MAX_TOKENS, *map(len, rows))
    return [row[:length] for row in rows]


def logits(model: Any, prompts: Sequence[Sequence[int]]) -> Any:
    """FP32 logits on the CPU, [prompts, tokens, vocabulary].

    llm-compressor leaves the model offloaded where there is an accelerator. compressed-tensors 0.19 then rounds a copy
    of each weight and multiplies with another, that was fetched afresh: the model in memory answers as if it were not
    quantized. With offloading switched off the copy stays.
    """
    import torch
    from compressed_tensors.offload import disable_offloading

    ids = torch.tensor([list(prompt) for prompt in prompts], device=next(model.parameters()).device)
    with torch.no_grad(), disable_offloading():
        return model(input_ids=ids, use_cache=True).logits.float().cpu()


def finite_logits(model: Any, prompts: Sequence[Sequence[int]]) -> Any:
    """`logits` of a model that is to be measured. Raises QuantizeFailed where they are not finite."""
    found = logits(model, prompts)
    if not bool(found.isfinite().all()):
        raise QuantizeFailed(
            "The model answers with numbers that are not finite: its type overflows.",
            hint="Convert it to bfloat16 or float32 first.",
        )
    return found


def record(model: Any, tokenizer: Any, path: Path, original: Any = None) -> None:
    """Answer the prompts with a model in memory and write down what it said; `original` is what the original said."""
    prompts = encode(tokenizer)
    save(path, prompts, finite_logits(model, prompts), original)


def save(path: Path, prompts: Sequence[Sequence[int]], found: Any, original: Any = None) -> None:
    """Ids and logits in one file, for the process that reloads."""
    import torch
    from safetensors.torch import save_file

    tensors = {IDS: torch.tensor([list(prompt) for prompt in prompts]), LOGITS: found.contiguous()}
    save_file(tensors if original is None else tensors | {ORIGINAL: original.contiguous()}, path)


def load(path: Path) -> tuple[list[list[int]], Any, Any]:
    """What `save` wrote: ids, logits of the model in memory, and of the original or None."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    return tensors[IDS].tolist(), tensors[LOGITS], tensors.get(ORIGINAL)


def compare(expected: Any, found: Any, original: Any = None) -> Difference:
    """Every position counts once. Logits as `logits` returns them."""
    one, other = expected.flatten(0, 1), found.flatten(0, 1)
    return Difference(
        relative_logit_error=_relative(expected, found),
        max_abs_logit_difference=float((other - one).abs().max()),
        kld_mean=_kld(expected, found),
        top1_agreement=float((one.argmax(-1) == other.argmax(-1)).float().mean()),
        positions=len(one),
        error_memory=None if original is None else _relative(expected, original),
        error_reloaded=None if original is None else _relative(expected, original, found),
        kld_memory=None if original is None else _kld(original, expected),
        kld_reloaded=None if original is None else _kld(original, found),
    )


def _relative(memory: Any, one: Any, other: Any = None) -> float:
    """RMS of the difference over the standard deviation of the logits in memory: one unit for all three models."""
    spread = memory.std(dim=-1, keepdim=True).clamp_min(1e-9)
    return float((((memory if other is None else other) - one) / spread).square().mean().sqrt())


def _kld(reference: Any, other: Any) -> float:
    """Mean over all positions, nats."""
    log_p, log_q = reference.log_softmax(-1), other.log_softmax(-1)
    return float((log_p.exp() * (log_p - log_q)).sum(-1).mean())
