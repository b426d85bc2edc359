"""What a model answers to a few fixed prompts, as logits: enough to tell a checkpoint that was saved wrong.

The prompts are run through the quantized model in memory and, in a fresh process, through the checkpoint on the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROMPTS = (
    "The bridge over the river was built in 1887, and since then it has carried",
    "def mean(values):\n    if not values:\n        raise ValueError('empty')\n    return",
    "Die Wurzel aus 144 ist 12, und die Wurzel aus 225 ist",
)
MAX_TOKENS = 32  # of each prompt
IDS, LOGITS = "ids", "logits"

# Measured on a CPU with llm-compressor 0.14.0.1 and transformers 5.17, every method of the table on tiny models and
# RTN on the bundled one: 0 to the last bit; 0.026 for a mixture in FP8, whose fused experts do not round activations
# after loading. Broken ones: SpinQuant with R4 0.43, a Mixtral whose experts are not found again 0.32.
MAX_RELATIVE = 0.1


@dataclass(frozen=True, slots=True)
class Difference:
    """The reloaded model against the one in memory, over all positions of all prompts.

    relative_logit_error     RMS of the difference over the standard deviation of the logits: 0 is the same model, about
                             1.4 an unrelated one, whatever the scale of the logits
    max_abs_logit_difference in logits
    kld_mean                 nats, in memory ‖ reloaded
    top1_agreement           share of positions with the same most probable token
    """

    relative_logit_error: float
    max_abs_logit_difference: float
    kld_mean: float
    top1_agreement: float
    positions: int

    @property
    def agrees(self) -> bool:
        return self.relative_logit_error <= MAX_RELATIVE  # also False when it is not a number

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def encode(tokenizer: Any) -> list[list[int]]:
    """The fixed prompts as token ids, cut to one length: one forward pass for all, without padding."""
    rows = [list(tokenizer(text)["input_ids"]) or [0] for text in PROMPTS]
    length = min(MAX_TOKENS, *map(len, rows))
    return [row[:length] for row in rows]


def logits(model: Any, prompts: Sequence[Sequence[int]]) -> Any:
    """FP32 logits on the CPU, [prompts, tokens, vocabulary]."""
    import torch

    ids = torch.tensor([list(prompt) for prompt in prompts], device=next(model.parameters()).device)
    with torch.no_grad():
        return model(input_ids=ids, use_cache=True).logits.float().cpu()


def record(model: Any, tokenizer: Any, path: Path) -> None:
    """Answer the prompts with a model in memory and write down what it said."""
    prompts = encode(tokenizer)
    save(path, prompts, logits(model, prompts))


def save(path: Path, prompts: Sequence[Sequence[int]], found: Any) -> None:
    """Ids and logits in one file, for the process that reloads."""
    import torch
    from safetensors.torch import save_file

    save_file({IDS: torch.tensor([list(prompt) for prompt in prompts]), LOGITS: found.contiguous()}, path)


def load(path: Path) -> tuple[list[list[int]], Any]:
    """What `save` wrote."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    return tensors[IDS].tolist(), tensors[LOGITS]


def compare(expected: Any, found: Any) -> Difference:
    """Every position counts once. Logits as `logits` returns them."""
    one, other = expected.flatten(0, 1), found.flatten(0, 1)
    difference = other - one
    spread = one.std(dim=-1, keepdim=True).clamp_min(1e-9)
    log_p, log_q = one.log_softmax(-1), other.log_softmax(-1)
    return Difference(
        relative_logit_error=float((difference / spread).square().mean().sqrt()),
        max_abs_logit_difference=float(difference.abs().max()),
        kld_mean=float((log_p.exp() * (log_p - log_q)).sum(-1).mean()),
        top1_agreement=float((one.argmax(-1) == other.argmax(-1)).float().mean()),
        positions=len(one),
    )
