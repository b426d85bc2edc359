"""The table: rows in the order in which a page lists them, and look-ups that answer a typo with the nearest name.

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
    """The row called `name`."""
    for row in TABLE:
        if row.name == name:
            return row
    raise UnknownVariant(f"There is no method {name!r}.", hint=did_you_mean(name, [row.name for row in TABLE]))


def on_load_names() -> tuple[str, ...]:
    """Every variant name that can be made while loading, in table order."""
    return tuple(entry.name for row in TABLE for entry in row.on_load)


def on_load(name: str) -> tuple[Method, OnLoad]:
    """The row and the entry behind an on-load variant name (`nf4`, `fp32` …)."""
    for row in TABLE:
        for entry in row.on_load:
            if entry.name == name:
                return row, entry
    raise UnknownVariant(f"There is no variant {name!r}.", hint=did_you_mean(name, on_load_names()))


def scheme_words(name: str) -> str:
    """ "W4A16" → "4-bit integer weights, 16-bit activations"."""
    if found := SCHEMES.get(name):
        return ", ".join([_weights(found), _activations(found)])
    if block := _GGUF.fullmatch(name):
        mixed = block[2].endswith(("_M", "_S")) or block[2] == "K"
        kind = "super-blocks of 256, more bits where it hurts most" if mixed else "blocks of 32 with a scale each"
        return f"{block[1]}-bit weights, {kind}"
    if name in ("BF16", "F16"):
        return "16-bit weights, not quantized: the baseline in llama.cpp"
    try:
        return on_load(name)[1].summary
    except PlaygroundError:
        return ""


def _weights(found: Scheme) -> str:
    kind = "integer" if found.kind == "int" else "floating-point"
    words = f"{found.bits}-bit {kind} weights"
    if found.strategy == "block":
        words += " with a scale for each 128×128 block"
    elif found.group is not None:
        words += f" in groups of {found.group}"
    return words if found.symmetric else f"{words} with zero points"


def _activations(found: Scheme) -> str:
    if not found.activations:
        return "16-bit activations"
    if found.kind == "float":
        bits = f"{found.bits}-bit"
    elif found.name.endswith("FP8"):
        bits = "FP8"
    else:
        bits = f"{found.name.rpartition('A')[2]}-bit"
    how = "scales from calibration" if found.needs_calibration else "scaled while it runs"
    return f"{bits} activations, {how}"


def calibration_words(recipe: Mapping[str, Any]) -> str:
    """ "32 samples of the bundled text, 256 tokens each, seed 0"; no path and no text. "" without calibration."""
    found = recipe.get("calibration") or {}
    if not found:
        return ""
    source = str(found.get("source", ""))
    known = {"bundled": "the bundled text", "pasted": "pasted text"}
    where = known.get(source) or ("an uploaded file" if source.startswith("/") else source)
    return f"{found.get('samples')} samples of {where}, {found.get('max_length')} tokens each, seed {found.get('seed')}"
