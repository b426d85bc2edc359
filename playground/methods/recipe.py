"""A recipe: everything that is needed to make a quantized variant again. It is saved with the variant.

Also the name of the variant after the model's colon, and the command that makes it again.
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
_USUAL = "lm_head"  # always ignored


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
    def _typed(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [_pair(entry) if isinstance(entry, str) else entry for entry in value]


def _pair(text: str) -> tuple[str, str]:
    """Return pattern and scheme of a line like "re:.*down_proj$ = W8A16". Raises InvalidRequest."""
    pattern, separator, scheme = text.rpartition("=")
    if not separator or not pattern.strip() or not scheme.strip():
        raise InvalidRequest(
            f"{text[:80]!r} does not say which layers get which scheme.",
            hint="Write one a line: re:.*down_proj$ = W8A16, or = BF16 to leave them as they are.",
        )
    return pattern.strip(), scheme.strip().upper()


def without_paths(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe without the path of a calibration file and without pasted text."""
    calibration = dict(recipe.get("calibration") or {})
    if calibration:
        source = str(calibration.get("source") or "")
        calibration |= {"source": "FILE" if source.startswith("/") else source, "text": ""}
    return {**recipe, "calibration": calibration}


def variant_name(recipe: Recipe) -> str:
    """Return the variant's name: method, scheme, group size and KV-cache scheme, "awq-w4a16_asym-g64".

    A scheme that begins with its method is not preceded by it: "fp8_dynamic". If some layers are kept in another
    scheme, a short hash of `keep` is added: "gptq-w4a16-g64-mixed-1f0c".
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
    """Return the shell command that makes the variant, with all calibration numbers, so that no default matters.

    Pasted text is not included: it has to be saved as a .txt file.
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
