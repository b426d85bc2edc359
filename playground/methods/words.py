"""Schemes and calibration in words, for the page and for model cards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from playground.errors import PlaygroundError
from playground.methods.schemes import SCHEMES, Scheme
from playground.methods.table import on_load

_GGUF = re.compile(r"I?Q(\d)_(.+)")


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
