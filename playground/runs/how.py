"""How a run was measured, in words: what was asked for, on which machine, with which packages, of which weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground.core import Sampling
from playground.evaluate.report import left_out, named
from playground.quantize.compressor import GENERATION
from playground.web.values import megabytes

KINDS = {
    "comparison": "Comparison",
    "evaluation": "Evaluation",
    "divergence": "Divergence",
    "bench": "Speed",
    "quantization": "Quantization",
}
NAMES = {  # of settings, where the plain word is not enough
    "at_once": "all at once",
    "batch_size": "batch",
    "chat_template": "chat template",
    "concurrency": "requests at once",
    "depths": "context before it, tokens",
    "divergence": "divergence",
    "few_shot": "examples in the prompt",
    "limit": "items of each task",
    "max_length": "longest document, tokens",
    "max_tokens": "max tokens",
    "multiturn": "examples as turns",
    "output_tokens": "tokens written",
    "prompt_tokens": "tokens read",
    "runs": "repetitions",
    "strip_thinking": "text after </think>",
    "tokens": "tokens compared",
}
UNSET = {"limit": "all", "few_shot": "as the task says"}  # what no value means
DEVICE = {"name": "device", "device": "computed on"}
MAX_WORDS = 600


def how(row: Mapping[str, Any]) -> dict[str, Any]:
    """Groups of [name, words], and the variants, the reference first."""
    return {
        "settings": settings(row),
        "device": device(row.get("device") or {}),
        "time": [
            [str(name), f"{seconds:,.1f} s"]
            for name, seconds in (row["result"].get("seconds") or {}).items()
            if isinstance(seconds, int | float)
        ],
        "versions": [[str(name), str(version)] for name, version in (row.get("versions") or {}).items()],
        "variants": [variant(one) for one in row.get("variants") or ()],
    }


def settings(row: Mapping[str, Any]) -> list[list[str]]:
    found = []
    for name, value in (row.get("settings") or {}).items():
        if name == "sampling" and isinstance(value, Mapping):
            found.append(["sampling", sampling(value)])
        else:
            said = UNSET.get(str(name), "–") if value is None else words(value)
            found.append([NAMES.get(str(name), str(name).replace("_", " ")), said])
    if (row.get("settings") or {}).get("tasks") and (ignored := left_out(named(row.get("variants") or ()))):
        found.append([GENERATION, ignored.removeprefix(f"{GENERATION} ")])
    return found


def sampling(given: Mapping[str, Any]) -> str:
    known = {name: value for name, value in given.items() if name in Sampling.__dataclass_fields__}
    return str(Sampling(**known | {"stop": tuple(known.get("stop") or ())}))


def words(value: Any) -> str:
    """One setting's value as a reader says it."""
    if value is None or value == "" or value == [] or value == {}:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        text = ", ".join(f"{str(name).replace('_', ' ')} {words(one)}" for name, one in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        text = ", ".join(words(one) for one in value)
    else:
        text = str(value)
    return text if len(text) <= MAX_WORDS else text[:MAX_WORDS] + "…"


def device(found: Mapping[str, Any]) -> list[list[str]]:
    shown = []
    for name, value in sorted(found.items(), key=lambda pair: pair[0] != "name"):
        if value in (None, ""):
            continue
        text = words(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            if "bandwidth" in str(name):
                text = f"{value / 1e9:.3g} GB/s"
            elif "memory" in str(name) or "bytes" in str(name):
                text = megabytes(value)
        shown.append([DEVICE.get(str(name), str(name).replace("_", " ")), text])
    return shown


def variant(found: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the table. A hash is whole: the page shortens it."""
    method, scheme = str(found.get("method") or ""), str(found.get("scheme") or "")
    made = scheme if not method or scheme.lower().startswith(method.lower()) else f"{method} {scheme}"
    return {
        "id": str(found["id"]),
        "label": str(found.get("label") or found["id"]),
        "made": made.strip(),
        "bytes": found.get("bytes"),
        "bits": found.get("bits_per_weight"),
        "engine": " · ".join(str(found[key]) for key in ("engine", "dtype") if found.get(key)),
        "hash": str(found.get("content_hash") or ""),
    }
