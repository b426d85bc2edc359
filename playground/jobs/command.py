"""A quantize job as the command that repeats it."""

from __future__ import annotations

import json
import shlex

from playground.calibration import Calibration
from playground.jobs.spec import QuantizeSpec

_CALIBRATION = ("source", "samples", "max_length", "seed")


def command(spec: QuantizeSpec) -> str:
    """One line for a shell. Text that was pasted is not in it: save it as a .txt file and name that."""
    recipe = spec.recipe
    words = ["python", "-m", "playground", "quantize", spec.model, "--method", recipe.method, "--scheme", recipe.scheme]
    if recipe.group_size is not None:
        words += ["--group-size", str(recipe.group_size)]
    if recipe.calibration:
        default = Calibration().as_dict()
        for name in _CALIBRATION:
            if (value := recipe.calibration.get(name, default[name])) != default[name]:
                option = "--calibration" if name == "source" else f"--{name.replace('_', '-')}"
                words += [option, str(value)]
    for pattern in recipe.ignore:
        words += ["--ignore", pattern]
    for pattern, scheme in recipe.keep:
        words += ["--keep", f"{pattern}={scheme}"]
    if recipe.kv_cache:
        words += ["--kv-cache", recipe.kv_cache]
    for name, value in recipe.options.items():
        words += ["--option", f"{name}={json.dumps(value)}"]
    for option, text in (("--out", spec.out), ("--name", spec.name)):
        if text:
            words += [option, text]
    return shlex.join(words)
