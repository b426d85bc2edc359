"""Convert a recipe to the YAML that llm-compressor's `oneshot` accepts.

The job runs this YAML and saves it beside the checkpoint. llm-compressor is not imported: modifiers are dicts of
arguments by name. https://github.com/vllm-project/llm-compressor
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
    """Return the arguments of a quantizing modifier: scheme or config groups, ignore list, KV-cache scheme.

    Raises InvalidRecipe for an unknown scheme.
    """
    untouched = [pattern for pattern, kept in recipe.keep if kept.upper() in UNQUANTIZED]
    mixed = [(pattern, scheme(kept)) for pattern, kept in recipe.keep if kept.upper() not in UNQUANTIZED]
    main = scheme(recipe.scheme)
    arguments: dict[str, Any] = {}
    if not mixed and (not main.chooses_group or recipe.group_size == PRESET_GROUP):
        arguments |= {"scheme": main.name, "targets": ["Linear"]}
    else:
        groups = [(["Linear"], main), *(([pattern], kept) for pattern, kept in mixed)]
        arguments["config_groups"] = {
            f"group_{number}": _group(targets, group_scheme, recipe.group_size or PRESET_GROUP)
            for number, (targets, group_scheme) in enumerate(groups)
        }
    arguments["ignore"] = [*recipe.ignore, *untouched]
    if recipe.kv_cache:
        arguments["ignore"] = [_without_attention(pattern) for pattern in arguments["ignore"]]
        arguments["kv_cache_scheme"] = dict(_KV_CACHE[recipe.kv_cache])
    return arguments


def _without_attention(pattern: str) -> str:
    """Return the pattern without matches of attention modules.

    llm-compressor 0.14 uses the ignore list also for the attention modules whose cache it measures; the scales of an
    ignored one are never set, and uninitialised memory is saved.
    """
    return f"re:(?!.*(?:attn|attention)$){pattern.removeprefix('re:')}" if pattern.startswith("re:") else pattern


def _group(targets: list[str], scheme: Scheme, group_size: int) -> dict[str, Any]:
    weights = weight_arguments(scheme, group_size)
    group: dict[str, Any] = {"targets": targets, "weights": weights}
    if inputs := input_arguments(scheme):
        group["input_activations"] = inputs
    return group


def to_yaml(modifiers: Modifiers) -> str:
    """Return the YAML of a recipe file with one stage."""
    stage = {"default_stage": {"default_modifiers": {name: dict(values) for name, values in modifiers.items()}}}
    return str(yaml.safe_dump(stage, sort_keys=False, default_flow_style=None, width=100))
