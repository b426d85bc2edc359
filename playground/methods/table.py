"""The table of methods in the order of the page, and look-ups that suggest the nearest name for a typo.

Also schemes and calibration in words, for the page and for model cards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from playground.errors import PlaygroundError, UnknownVariant
from playground.formatting import did_you_mean
from playground.methods import (
    autoround,
    awq,
    bitsandbytes,
    cast,
    fp8,
    gguf,
    gptq,
    mxfp,
    nvfp4,
    rtn,
    smoothquant,
    spinquant,
)
from playground.methods.base import Method, OnLoad
from playground.methods.schemes import SCHEMES, Scheme

TABLE: tuple[Method, ...] = (
    cast.ROW,
    bitsandbytes.ROW,
    rtn.ROW,
    gptq.ROW,
    awq.ROW,
    smoothquant.ROW,
    fp8.ROW,
    nvfp4.ROW,
    mxfp.ROW,
    autoround.ROW,
    spinquant.ROW,
    gguf.ROW,
)
_GGUF = re.compile(r"I?Q(\d)_(.+)")


def method(name: str) -> Method:
    """Return the method called `name`. Raises UnknownVariant."""
    for row in TABLE:
        if row.name == name:
            return row
    raise UnknownVariant(f"There is no method {name!r}.", hint=did_you_mean(name, [row.name for row in TABLE]))


def on_load_names() -> tuple[str, ...]:
    """Return the names of all variants that are made while loading, in table order."""
    return tuple(entry.name for row in TABLE for entry in row.on_load)


def on_load(name: str) -> tuple[Method, OnLoad]:
    """Return method and entry of an on-load variant (`nf4`, `fp32` …). Raises UnknownVariant."""
    for row in TABLE:
        for entry in row.on_load:
            if entry.name == name:
                return row, entry
    raise UnknownVariant(f"There is no variant {name!r}.", hint=did_you_mean(name, on_load_names()))


def recommended(device: str, capability: str | None = None) -> dict[str, tuple[str, str]]:
    """Return the methods that a device of this kind is good at, with the scheme to begin with and the reason.

    capability  of an NVIDIA GPU, such as "8.9"
    """
    if device != "cuda":
        what = "this Apple GPU" if device == "mps" else "a CPU"
        reason = f"llama.cpp runs it fast on {what}. Needs no calibration and is made quickly."
        return {"gguf": ("Q4_K_M", reason)}
    four = "4-bit kernels for this GPU in vLLM; the search takes minutes here, hours on a CPU."
    methods = {"awq": ("W4A16_ASYM", four)}
    if capability and tuple(map(int, capability.split("."))) >= (8, 9):
        methods["fp8"] = ("FP8_DYNAMIC", "This GPU multiplies FP8 directly. Needs no calibration and is made quickly.")
    return methods


def scheme_words(name: str) -> str:
    """Return a scheme in words: "W4A16" → "4-bit integer weights, 16-bit activations"; "" for an unknown one."""
    if scheme := SCHEMES.get(name):
        return ", ".join([_weights(scheme), _activations(scheme)])
    if match := _GGUF.fullmatch(name):
        mixed = match[2].endswith(("_M", "_S")) or match[2] == "K"
        kind = "super-blocks of 256, more bits where it hurts most" if mixed else "blocks of 32 with a scale each"
        return f"{match[1]}-bit weights, {kind}"
    if name in ("BF16", "F16"):
        return "16-bit weights, not quantized: the baseline in llama.cpp"
    try:
        return on_load(name)[1].summary
    except PlaygroundError:
        return ""


def _weights(scheme: Scheme) -> str:
    kind = "integer" if scheme.kind == "int" else "floating-point"
    words = f"{scheme.bits}-bit {kind} weights"
    if scheme.strategy == "block":
        words += " with a scale for each 128×128 block"
    elif scheme.group is not None:
        words += f" in groups of {scheme.group}"
    return words if scheme.symmetric else f"{words} with zero points"


def _activations(scheme: Scheme) -> str:
    if not scheme.activations:
        return "16-bit activations"
    if scheme.kind == "float":
        bits = f"{scheme.bits}-bit"
    elif scheme.name.endswith("FP8"):
        bits = "FP8"
    else:
        bits = f"{scheme.name.rpartition('A')[2]}-bit"
    how = "scales from calibration" if scheme.needs_calibration else "scaled while it runs"
    return f"{bits} activations, {how}"


def calibration_words(recipe: Mapping[str, Any]) -> str:
    """Return like "32 samples of the bundled text, 256 tokens each, seed 0", without path or text; "" without any."""
    fields = recipe.get("calibration") or {}
    if not fields:
        return ""
    source = str(fields.get("source", ""))
    names = {"bundled": "the bundled text", "pasted": "pasted text"}
    where = names.get(source) or ("an uploaded file" if source.startswith("/") else source)
    return (
        f"{fields.get('samples')} samples of {where}, {fields.get('max_length')} tokens each, seed {fields.get('seed')}"
    )
