"""Stored variants as a job leaves them: a folder with files, a row with a whole card."""

from __future__ import annotations

import time
from typing import Any

from playground.methods.recipe import Recipe
from playground.store import folders, variants
from playground.store.schema import StoredVariant

KINDS = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")


def layers(count: int = 3) -> list[dict[str, Any]]:
    """`down_proj` loses most, in the last layer."""
    found = [(at, number, kind) for at in range(count) for number, kind in enumerate(KINDS, 1)]
    return [
        {"name": f"model.layers.{at}.{kind}", "relative_error": 0.02 * number + 0.001 * at, "snr_db": 30.0}
        for at, number, kind in found
    ]


def made(name: str = "awq-w4a16_asym-g64", model: str = "smollm2", **more: Any) -> StoredVariant:
    """A variant of 1 MB on the disk and in the store."""
    path = folders.variants() / f"{model}-{name}".replace("/", "-")
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"w" * 1_000_000)
    (path / "recipe.yaml").write_text("default_stage:\n  default_modifiers:\n    AWQModifier: {}\n")
    folders.mark(path, {"job_id": "job0", "variant": f"{model}:{name}"})
    calibration = {"source": "bundled", "text": "", "samples": 32, "max_length": 256, "seed": 0}
    recipe = Recipe(method="awq", scheme="W4A16_ASYM", group_size=64, ignore=("lm_head",), calibration=calibration)
    card = {
        "bytes_before": 269_030_016,
        "bytes_after": 113_928_096,
        "seconds": 178.6,
        "peak_memory_bytes": 1_130_000_000,
        "recipe_path": str(path / "recipe.yaml"),
        "layers": layers(),
        "reload": {"max_abs_logit_difference": 0.0, "kld_mean": 0.0, "top1_agreement": 1.0},
        "stages": {"quantize": 150.0, "reload": 20.0},
        "reasons": ["Group size 64: 128 does not divide 576."],
    }
    values: dict[str, Any] = {
        "id": f"{model}:{name}",
        "model": model,
        "name": name,
        "method": "awq",
        "scheme": "W4A16_ASYM",
        "group_size": 64,
        "path": str(path),
        "bytes": 113_928_096,
        "bits_per_weight": 6.7756,
        "parameters": 134_515_008,
        "content_hash": "ab" * 32,
        "recipe": recipe.model_dump(mode="json"),
        "parent": {"id": model, "content_hash": "cd" * 32},
        "job_id": "job0",
        "created_at": time.time(),
    }
    row = StoredVariant(**(values | more | {"card": card | more.get("card", {})}))
    variants.add(row)
    return row
