"""The last step of every method that llm-compressor runs: a recipe as the YAML that its `oneshot` accepts.

The job runs this very YAML and saves it beside the checkpoint, so what is saved is what was run. Nothing heavy is
imported: modifiers are plain arguments by name. https://github.com/vllm-project/llm-compressor
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from playground.methods.recipe import Recipe
from playground.methods.schemes import UNQUANTIZED, Scheme, input_arguments, scheme, weight_arguments

Modifiers = Mapping[str, Mapping[str, Any]]
GROUP_RULE = "the largest of 128, 64 and 32 that divides every targeted layer's input dimension"
PRESET_GROUP = 128  # of llm-compressor's own presets
_KV_CACHE = {
    "FP8": {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False, "symmetric": True},
    "INT8": {"num_bits": 8, "type": "int", "strategy": "tensor", "dynamic": False, "symmetric": True},
}


def quantization(recipe: Recipe) -> dict[str, Any]:
    """Arguments of a quantizing modifier: which layers, in which format, and what stays as it is."""
    untouched = [pattern for pattern, kept in recipe.keep if kept.upper() in UNQUANTIZED]
    mixed = [(pattern, scheme(kept)) for pattern, kept in recipe.keep if kept.upper() not in UNQUANTIZED]
    main = scheme(recipe.scheme)
    found: dict[str, Any] = {}
    if not mixed and (not main.chooses_group or recipe.group_size == PRESET_GROUP):
        found |= {"scheme": main.name, "targets": ["Linear"]}
    else:
        groups = [(["Linear"], main), *(([pattern], kept) for pattern, kept in mixed)]
        found["config_groups"] = {
            f"group_{number}": _group(targets, one, recipe.group_size or PRESET_GROUP)
            for number, (targets, one) in enumerate(groups)
        }
    found["ignore"] = [*recipe.ignore, *untouched]
    if recipe.kv_cache:
        found["ignore"] = [_but_attention(pattern) for pattern in found["ignore"]]
        found["kv_cache_scheme"] = dict(_KV_CACHE[recipe.kv_cache])
    return found


def _but_attention(pattern: str) -> str:
    """A pattern for layers that does not also name the attention around them.

    llm-compressor 0.14 asks the same list which attention modules to leave out when it measures the cache; the scales
    of one that is left out are never set, and what is saved is whatever was in memory.
    """
    return f"re:(?!.*(?:attn|attention)$){pattern.removeprefix('re:')}" if pattern.startswith("re:") else pattern


def _group(targets: list[str], one: Scheme, group_size: int) -> dict[str, Any]:
    weights = weight_arguments(one, group_size)
    group: dict[str, Any] = {"targets": targets, "weights": weights}
    if inputs := input_arguments(one):
        group["input_activations"] = inputs
    return group


def to_yaml(modifiers: Modifiers) -> str:
    """A recipe file with one stage."""
    stage = {"default_stage": {"default_modifiers": {name: dict(values) for name, values in modifiers.items()}}}
    return str(yaml.safe_dump(stage, sort_keys=False, default_flow_style=None, width=100))
