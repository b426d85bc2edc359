"""What memory a job takes that measures models: weights at their widest moment, and what a forward pass needs.

For those who make room beforehand. Of a quantize job `playground.estimate` knows more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from playground import machine, models
from playground.core import Variant
from playground.engines import base
from playground.errors import OutOfMemory
from playground.evaluate.spec import DivergenceSpec, EvaluateSpec

BASE = 900 * 2**20  # bytes of a worker with torch, transformers and lm-eval before it loads a model
PASS = 512 * 2**20  # logits of a window or of a batch, twice, and what is between layers
FP32_OVER_BF16 = 2


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes. low: weights that are held at once and Python, without which nothing works. high: with a forward pass."""

    low: int
    high: int


def needed(spec: EvaluateSpec | DivergenceSpec) -> Room:
    """Of a job of this spec. A remote variant takes nothing here. Raises CatalogError for one that is not there."""
    asked = [base.parse(name) for name in spec.variants]
    found = [(one.engine, models.variant(one.variant)) for one in asked]
    here = [variant for engine, variant in found if engine != "vllm" and variant.engines != ("remote",)]
    diverges = isinstance(spec, DivergenceSpec) or spec.divergence is not None
    alone = max(map(_loaded, here), default=0)
    held = max(alone, _pair(here)) if diverges else alone
    return Room(BASE + held, BASE + held + PASS)


def needs(spec: EvaluateSpec | DivergenceSpec) -> int:
    """`Kind.needs` of both kinds of job."""
    return needed(spec).high


def check(spec: EvaluateSpec | DivergenceSpec, device: str) -> None:
    """`Kind.check` of both kinds of job."""
    if device != "cpu":  # of a GPU's memory the worker knows more
        return
    low, free = needed(spec).low, machine.memory().available
    if low > free:
        raise OutOfMemory(
            f"It needs at least {low / 1e9:.2f} GB of memory and {free / 1e9:.2f} GB are free.",
            hint="Unload models on the Compare page, measure smaller variants, or leave the divergence out.",
        )


def together(names: Sequence[str]) -> int:
    """Bytes of variants that are loaded beside each other and answer. Raises CatalogError for one that is not there."""
    found = [models.variant(base.parse(name).variant) for name in names]
    return BASE + sum(_loaded(variant) for variant in found if variant.engines != ("remote",)) + PASS


def _loaded(variant: Variant) -> int:
    """Bytes in memory: what bitsandbytes packs stays packed; transformers unpacks every other scheme on a CPU."""
    if variant.method in ("bitsandbytes", "cast"):
        return variant.bytes or 0
    return max(variant.bytes or 0, 2 * (variant.parameters or 0))


def _pair(here: Sequence[Variant]) -> int:
    """The reference, which stays, and beside it the noise floor's FP32 or the largest of the others."""
    if not here:
        return 0
    reference, *others = map(_loaded, here)
    other_type = reference // FP32_OVER_BF16 if here[0].dtype == "float32" else reference * FP32_OVER_BF16
    return reference + max([other_type, *others])
