"""A recipe: everything that makes a quantized variant the same again. Saved with it, replayable.

It gives the variant its name after the model's colon, and the command that makes the same variant again.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from playground.errors import InvalidRequest
from playground.spec import Spec, Whole

KvCache = Literal["", "FP8", "INT8"]
_CALIBRATION = {
    "source": "--calibration", "samples": "--samples", "max_length": "--max-length", "seed": "--seed",
}  # fmt: skip
_USUAL = "lm_head"  # stays as it is without being asked


class Recipe(Spec):
    """Method and scheme with everything that changes the result.

    scheme       a name of the method's row: "W4A16", "FP8_DYNAMIC", "Q4_K_M", "nf4"
    group_size   weights that share a scale; None where the scheme fixes it or has none
    ignore       modules that stay as they are: names, or "re:" and a regular expression, as llm-compressor reads them
    keep         modules that get another scheme than the rest: (name or "re:…", scheme), or "PATTERN = SCHEME" as typed
    kv_cache     type of the stored KV-cache scheme, "" for none
    calibration  the fields of `texts.Calibration`, with the hash of the exact samples; {} without calibration
    options      what only this method knows, by the names of its modifier's arguments
    """

    method: str
    scheme: str
    group_size: Whole | None = None
    ignore: tuple[str, ...] = ()
    keep: tuple[tuple[str, str], ...] = ()
    kv_cache: KvCache = Field(default="", title="KV-cache scheme")
    calibration: Mapping[str, Any] = Field(default_factory=dict)
    options: Mapping[str, Any] = Field(default_factory=dict)

    @field_validator("keep", mode="before")
    @classmethod
    def _typed(cls, found: Any) -> Any:
        if not isinstance(found, list | tuple):
            return found
        return [_pair(one) if isinstance(one, str) else one for one in found]


def _pair(text: str) -> tuple[str, str]:
    """ "re:.*down_proj$ = W8A16". Raises InvalidRequest."""
    pattern, equals, scheme = text.rpartition("=")
    if not equals or not pattern.strip() or not scheme.strip():
        raise InvalidRequest(
            f"{text[:80]!r} does not say which layers get which scheme.",
            hint="Write one a line: re:.*down_proj$ = W8A16, or = BF16 to leave them as they are.",
        )
    return pattern.strip(), scheme.strip().upper()


def without_paths(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe for others: a calibration file without its place, pasted text without the text."""
    calibration = dict(recipe.get("calibration") or {})
    if calibration:
        source = str(calibration.get("source") or "")
        calibration |= {"source": "FILE" if source.startswith("/") else source, "text": ""}
    return {**recipe, "calibration": calibration}


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
