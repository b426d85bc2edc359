"""Load a checkpoint as a transformers model; loading fails if a weight is missing, instead of initializing it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from playground.errors import BrokenCheckpoint


def load_model(place: Path | str, **options: Any) -> Any:
    """Load the causal language model in the local folder `place`, in eval mode.

    options  arguments of `from_pretrained`

    Raises BrokenCheckpoint for a weight that is missing or has another shape than the model's, which transformers
    would fill with random numbers; and the errors of transformers.
    """
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(
        place,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # raised below, with the tensor's name
        **options,
    )
    if missing := sorted(info["missing_keys"]):
        raise BrokenCheckpoint(
            f"{missing[0]} is missing from the checkpoint{_and_more(missing)}.",
            hint="Download or export it again: the model would answer from random numbers."
            if "gguf_file" not in options
            else "If the file is whole, transformers does not read all of its architecture: use llama.cpp.",
        )
    if mismatched := sorted(info["mismatched_keys"]):
        name, stored, expected = mismatched[0]
        raise BrokenCheckpoint(
            f"{name} is {_shape(stored)} in the checkpoint and {_shape(expected)} by its config.json"
            f"{_and_more(mismatched)}.",
            hint="Use the config.json that belongs to these weights.",
        )
    return model.eval()


def refuse_not_finite(model: Any) -> None:
    """Raise BrokenCheckpoint, naming the first parameter with NaN or infinite values."""
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.numel():
            low, high = parameter.detach().aminmax()  # NaN if any value is; 20 GB/s, isfinite 0.4
            if not math.isfinite(float(low) + float(high)):
                raise not_finite(name)


def not_finite(name: str) -> BrokenCheckpoint:
    """Return the error for a tensor with NaN or infinite values."""
    return BrokenCheckpoint(
        f"{name} holds NaN or infinite values.",
        hint="Download or export the checkpoint again, in BF16 or FP32 where it was FP16 that overflowed.",
    )


def _and_more(names: list[Any]) -> str:
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
