"""The engines table: one row per engine of this version. Doctor, documentation and tests read it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineRow:
    """One engine: what runs it, where, and what it is for. requires: distributions as pip names them."""

    name: str
    title: str
    devices: tuple[str, ...]
    requires: tuple[str, ...]
    good_at: str
    bad_at: str


TABLE: tuple[EngineRow, ...] = (
    EngineRow(
        name="transformers",
        title="transformers host",
        devices=("cuda", "mps", "cpu"),
        requires=("torch", "transformers", "tokenizers", "safetensors", "accelerate"),
        good_at="Every token with its own time, probability and alternatives; several variants in one process.",
        bad_at="One sequence at a time, and few fused kernels for quantized weights.",
    ),
)
