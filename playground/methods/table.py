"""The table: rows in the order in which a page lists them, and look-ups that answer a typo with the nearest name."""

from __future__ import annotations

from playground.errors import UnknownVariant
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
