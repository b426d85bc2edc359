"""What a variant is called after its model's colon."""

from __future__ import annotations

import hashlib
import json

from playground.methods.recipe import Recipe


def variant_name(recipe: Recipe) -> str:
    """Method, scheme and group size, "awq-w4a16_asym-g64"; what else differs from the defaults is told too.

    A scheme that says its method stands alone: "fp8_dynamic", "nvfp4a16". Layers that are kept in another scheme are
    a short hash of which: "gptq-w4a16-g64-mixed-1f0c".
    """
    method, scheme = recipe.method.lower(), recipe.scheme.lower()
    parts = [scheme] if scheme.startswith(method) else [method, scheme]
    if recipe.group_size:
        parts.append(f"g{recipe.group_size}")
    if recipe.kv_cache:
        parts.append(f"kv{recipe.kv_cache.lower()}")
    if recipe.keep:
        digest = hashlib.sha256(json.dumps(recipe.keep).encode()).hexdigest()[:4]
        parts.append(f"mixed-{digest}")
    return "-".join(parts)
