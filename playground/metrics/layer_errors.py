"""Relative weight errors of layers, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SAME = 1.15  # a ratio of two kinds of layers below which neither stands out


def where_it_hurt(layers: Sequence[Sequence[Any]]) -> str:
    """Where rounding lost most, in a sentence or two; "" without measurements.

    `layers`: name, relative error of its weight, whatever else.
    """
    if not layers:
        return ""
    kinds: dict[str, list[float]] = {}
    for name, error, *_ in layers:
        kinds.setdefault(name.rpartition(".")[2], []).append(error)
    means = sorted(((sum(found) / len(found), kind) for kind, found in kinds.items()), reverse=True)
    worst = max(layers, key=lambda layer: layer[1])
    said = f"Worst in {worst[0]}: {worst[1]:.1%} of the weight’s norm."
    if len(means) > 1:
        most, least = means[0], means[-1]
        if most[0] < SAME * least[0]:
            return f"All kinds of layers lose about the same, {least[0]:.1%} to {most[0]:.1%} on average. {said}"
        said = f"{most[1]} loses most ({most[0]:.1%} on average), {least[1]} least ({least[0]:.1%}). {said}"
    return said
