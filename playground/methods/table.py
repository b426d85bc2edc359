"""The table: rows in the order in which a page lists them, and look-ups that answer a typo with the nearest name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from types import ModuleType

from playground.errors import UnknownVariant
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
from playground.methods.row import Method, OnLoad

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


def did_you_mean(name: str, allowed: Sequence[str]) -> str:
    """The hint of every look-up that can miss: the nearest name and the whole list."""
    near = difflib.get_close_matches(name, allowed, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return f"{guess}Known: {', '.join(allowed)}."


def method(name: str) -> Method:
    """The row called `name`."""
    for row in TABLE:
        if row.name == name:
            return row
    raise UnknownVariant(f"There is no method {name!r}.", hint=did_you_mean(name, [row.name for row in TABLE]))


def maker(name: str) -> ModuleType:
    """The file of a method that a job runs. It has one of

    modifiers(recipe)                              llm-compressor's modifiers, by name with their arguments
    make(source, target, recipe, tokens, report, is_cancelled, lost)  writes the variant's files into the folder
                                                   `target` and tells `lost` the error of each layer as it is stored
                                                   there; returns the model in memory, where there is one

    With `make` come check(recipe), which refuses what the method cannot do before anything runs, and perhaps
    notes(folder, recipe): sentences about the files, for the card.
    """
    return importlib.import_module(f"playground.methods.{method(name).name}")


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
