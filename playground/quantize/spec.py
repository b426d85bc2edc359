"""The request of a quantize job: one model and one recipe."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from playground.methods.recipe import Recipe
from playground.models import names
from playground.spec import Spec


class QuantizeSpec(Spec):
    """Make one quantized variant.

    model   a bundled name, a hub repository or a folder
    recipe  method, scheme and everything else that changes the result
    out     destination folder; "" for the home's folder of variants
    name    name of the variant, after the model's colon; "" derives it from the recipe

    Raises InvalidRequest, also for an invalid name, which would become part of a path.
    """

    model: str
    recipe: Recipe
    out: str = ""
    name: str = ""

    @model_validator(mode="after")
    def _name_of_a_variant(self) -> Self:
        if self.name:
            names.check_variant_name(self.model, self.name)
        return self

    @property
    def kind(self) -> str:
        return "quantize"

    @property
    def title(self) -> str:
        """ "smollm2 · awq W4A16_ASYM g64" """
        group = f" g{self.recipe.group_size}" if self.recipe.group_size else ""
        return f"{self.model} · {self.recipe.method} {self.recipe.scheme}{group}"
