"""From a checkpoint to transformers' model in memory: every weight comes from the files, or the load is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from playground.errors import BrokenCheckpoint


def load_model(place: Path | str, **options: Any) -> Any:
    """The causal language model in the local folder `place`, in eval mode. `options`: arguments of `from_pretrained`.

    Raises BrokenCheckpoint for a weight that is missing or has another shape than the model's, which transformers
    would fill with random numbers; beside it what transformers raises.
    """
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(
        place,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # refused below, with the name
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
    """Raises BrokenCheckpoint with the name of the first parameter that holds NaN or infinite values."""
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.numel():
            least, most = parameter.detach().aminmax()  # NaN if one is; 20 GB/s, isfinite has 0.4
            if not math.isfinite(float(least) + float(most)):
                raise not_finite(name)


def not_finite(name: str) -> BrokenCheckpoint:
    """The error for a tensor that holds NaN or infinite values."""
    return BrokenCheckpoint(
        f"{name} holds NaN or infinite values.",
        hint="Download or export the checkpoint again, in BF16 or FP32 where it was FP16 that overflowed.",
    )


def _and_more(names: list[Any]) -> str:
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
