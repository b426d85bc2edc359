"""`variant@engine`: which variant, on which engine. Without an engine it is the first that can run the variant here."""

from __future__ import annotations

from dataclasses import dataclass

from playground.engines.base import TABLE

NAMES = tuple(row.name for row in TABLE)


@dataclass(frozen=True, slots=True)
class Address:
    """`engine` "" leaves the choice to `choose.default`."""

    variant: str
    engine: str = ""

    def __str__(self) -> str:
        return f"{self.variant}@{self.engine}" if self.engine else self.variant


def parse(text: str) -> Address:
    """Read an address. Only a known engine's name after the last "@" is one: `owner/repo@main` has a revision.

    A revision that is called like an engine is written in full (`owner/repo@refs/heads/vllm`).
    """
    variant, at, engine = text.strip().rpartition("@")
    if at and variant and engine in NAMES:
        return Address(variant, engine)
    return Address(text.strip())
