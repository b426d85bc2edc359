"""The request of a quantize job: one model and one recipe. A `Draft` is the same as a form or a script has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from playground.methods.recipe import KvCache, Recipe
from playground.models import names
from playground.spec import Spec, Whole
from playground.texts import Calibration

Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000)]
Lines = Annotated[tuple[Line, ...], Field(max_length=64)]
_DEFAULT = Calibration()


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


class DraftCalibration(Spec):
    """Where calibration text comes from. What only another source needs is ignored.

    upload  the token that `POST /api/quantize/upload` returned
    hub     a data set, owner/name[:config][:split]
    text    the pasted text
    """

    source: Literal["bundled", "upload", "hub", "pasted"] = Field(default="bundled", title="Calibration source")
    upload: Line = ""
    hub: Line = Field(default="", title="Data set")
    text: str = ""
    samples: Whole = Field(default=_DEFAULT.samples, title="Samples")
    max_length: Whole = Field(default=_DEFAULT.max_length, title="Length")
    seed: Whole = Field(default=_DEFAULT.seed, title="Seed")


class Draft(Spec):
    """A variant to be made.

    scheme      "" for the method's first
    group_size  None for the largest of 128, 64, 32 that fits
    ignore      layers that are not quantized: names, or re: and a pattern
    keep        layers that get another scheme than the rest: PATTERN = SCHEME
    name        name of the variant; "" derives it from method and scheme
    options     what only this method knows; a text is converted to the option's type
    """

    model: Line
    method: Line
    scheme: Line = ""
    group_size: Whole | None = Field(default=None, title="Group size")
    kv_cache: KvCache = Field(default="", title="KV-cache scheme")
    ignore: Lines = ()
    keep: Lines = ()
    name: Line = ""
    options: Mapping[str, Any] = Field(default_factory=dict)
    calibration: DraftCalibration = DraftCalibration()


class EstimateRequest(Draft):
    """A draft; `measure` measures the speed of this machine first where it is not known, for about ten seconds."""

    measure: bool = False
