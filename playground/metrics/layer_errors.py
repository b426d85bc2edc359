"""Relative weight errors of layers: as numbers, and in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

SAME = 1.15  # a ratio of two kinds of layers below which neither stands out
WHAT = "relative weight error"  # what a report calls it


@dataclass(frozen=True, slots=True)
class LayerError:
    """relative_error: ‖stored - original‖ / ‖original‖ in the Frobenius norm. snr_db: the same as decibels."""

    name: str
    relative_error: float

    @property
    def snr_db(self) -> float | None:
        """None where nothing was lost."""
        return -20 * math.log10(self.relative_error) if self.relative_error > 0 else None

    def as_row(self) -> dict[str, Any]:
        snr = self.snr_db
        return {
            "name": self.name,
            "relative_error": float(f"{self.relative_error:.6g}"),
            "snr_db": None if snr is None else round(snr, 2),
        }


def relative_error(original: Any, stored: Any) -> float:
    """Of two torch tensors of one shape; 0 for two zero tensors."""
    wide = original.float()
    lost = stored.float() - wide
    return of_parts([(float(lost.norm()) ** 2, float(wide.norm()) ** 2)])


def of_parts(parts: Iterable[tuple[float, float]]) -> float:
    """Of a tensor that was gone through piece by piece: the squares that each piece lost, and the squares in it."""
    lost = there = 0.0
    for one, other in parts:
        lost, there = lost + one, there + other
    return math.sqrt(lost / there) if there else math.sqrt(lost)


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
