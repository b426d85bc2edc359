"""What a quantize job is asked to do: JSON in the job's row, a typed dataclass for the worker's body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playground.methods.recipe import Recipe
from playground.models import names


@dataclass(frozen=True, slots=True)
class QuantizeSpec:
    """Make one quantized variant.

    model   as `models` reads it: a bundled name, a repository, a folder
    recipe  method, scheme and all that changes the result
    out     destination folder; "" for the home's folder of variants
    name    name of the variant, after the model's colon; "" derives it from the recipe

    Raises InvalidRequest for a name that no variant can have: it is also part of a path.
    """

    model: str
    recipe: Recipe
    out: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if self.name:
            names.check_variant_name(self.model, self.name)

    @property
    def kind(self) -> str:
        return "quantize"

    @property
    def title(self) -> str:
        """ "smollm2 · awq W4A16_ASYM g64" """
        group = f" g{self.recipe.group_size}" if self.recipe.group_size else ""
        return f"{self.model} · {self.recipe.method} {self.recipe.scheme}{group}"

    def as_dict(self) -> dict[str, Any]:
        return {"model": self.model, "recipe": self.recipe.as_dict(), "out": self.out, "name": self.name}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> QuantizeSpec:
        return cls(
            model=str(raw["model"]),
            recipe=Recipe.from_dict(raw["recipe"]),
            out=str(raw.get("out", "")),
            name=str(raw.get("name", "")),
        )
