"""A recipe as the command that makes the same variant again."""

from __future__ import annotations

import json
import shlex

from playground.methods.recipe import Recipe

_CALIBRATION = {
    "source": "--calibration", "samples": "--samples", "max_length": "--max-length", "seed": "--seed",
}  # fmt: skip
_USUAL = "lm_head"  # stays as it is without being asked


def command(model: str, recipe: Recipe, *, out: str = "", name: str = "") -> str:
    """One line for a shell, with every number of the calibration: another version's defaults change nothing.

    Text that was pasted is not in it: save it as a .txt file and name that.
    """
    words = ["python", "-m", "playground", "quantize", model, "--method", recipe.method, "--scheme", recipe.scheme]
    if recipe.group_size is not None:
        words += ["--group-size", str(recipe.group_size)]
    for key, option in _CALIBRATION.items():
        if key in recipe.calibration and (key, recipe.calibration[key]) != ("source", "bundled"):
            words += [option, str(recipe.calibration[key])]
    for pattern in recipe.ignore:
        words += ["--ignore", pattern] if pattern != _USUAL else []
    for pattern, scheme in recipe.keep:
        words += ["--keep", f"{pattern}={scheme}"]
    if recipe.kv_cache:
        words += ["--kv-cache", recipe.kv_cache]
    for key, value in recipe.options.items():
        words += ["--option", f"{key}={json.dumps(value)}"]
    for option, text in (("--out", out), ("--name", name)):
        words += [option, text] if text else []
    return shlex.join(words)
