"""A catalog of one model, `fake`, and whatever else a test names; nothing on disk."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from playground import models
from playground.core import Variant
from playground.errors import UnknownModel, UnknownVariant

SIZES = {"": 269_000_000, "nf4": 110_000_000, "int8": 163_000_000, "fp4": 111_000_000}


def fake_variant(name: str) -> Variant:
    """`fake` is the reference, `fake:nf4` and the like its quantized forms. Other names are models of their own."""
    model, _, suffix = name.partition(":")
    return Variant(
        id=name,
        model=model,
        name=suffix or "reference",
        label=suffix or "BF16",
        method="bitsandbytes" if suffix else "cast",
        scheme=suffix or "BF16",
        dtype="bfloat16",
        path="/models/fake",
        bytes=SIZES.get(suffix, 200_000_000),
        bytes_are_estimated=bool(suffix),
        parameters=134_515_008,
        engines=("transformers",) if suffix else ("transformers", "vllm"),
        quantize=suffix or None,
        source="made up; 4-bit NormalFloat" if suffix else "made up",
    )


def install(monkeypatch: pytest.MonkeyPatch, extra: Sequence[str] = ()) -> None:
    """Put the fake in the place of `playground.models`'s functions. `extra`: whole names that exist as well."""
    known = [f"fake:{suffix}".rstrip(":") for suffix in SIZES]

    def variant(name: str) -> Variant:
        if name in known or name in extra:
            return fake_variant(name)
        if name.startswith("fake:"):
            raise UnknownVariant(f"fake has no variant {name[5:]!r}.", hint="Known: nf4, int8, fp4.")
        raise UnknownModel(f"There is no model {name!r}.", hint="Known: fake.")

    def variants(model: str) -> list[Variant]:
        return [variant(model)] + [fake_variant(name) for name in known[1:] if model == "fake"]

    def split(name: str) -> tuple[str, str]:
        model, _, suffix = name.partition(":")
        return model, suffix

    monkeypatch.setenv("PLAYGROUND_MODEL", "fake")
    monkeypatch.setattr(models, "models", lambda: ["fake", "other"])
    monkeypatch.setattr(models, "describe", lambda model: "made up")
    monkeypatch.setattr(models, "split", split)
    monkeypatch.setattr("playground.models.names.split", split)
    monkeypatch.setattr(models, "variant", variant)
    monkeypatch.setattr(models, "variants", variants)
