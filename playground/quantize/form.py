"""What the Quantize form offers, and a filled form as a job's spec.

`offer` lists the methods with the recommended one first; `estimated` says what a draft would cost. A calibration file
is named by the token of its upload, never by a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from playground import machine
from playground import models as catalog
from playground.core import Variant
from playground.engines import base
from playground.errors import PlaygroundError
from playground.methods import TABLE, method
from playground.methods.base import Method, Option
from playground.methods.recipe import Recipe, variant_name
from playground.methods.schemes import GROUP_SIZES, SCHEMES
from playground.methods.table import recommended, scheme_words
from playground.models import names
from playground.models.variants import open_checkpoint
from playground.quantize.estimate import Estimate, Facts, estimate
from playground.quantize.files import MAX_BYTES, PIECE_BYTES, SUFFIXES, uploaded
from playground.quantize.recipes import complete, needs_text, open_original
from playground.quantize.spec import Draft, DraftCalibration, QuantizeSpec
from playground.texts import Calibration
from playground.texts.calibration import BUNDLED, MAX_PASTED, PASTED, bundled
from playground.texts.hub import check as check_hub
from playground.web.api import error_row

# Help for the fields that select layers: an example and a rule for each. An empty `keep`: the method has no such field.
_LAYERS = {
    "ignore": r"re:.*layers\.0\..*",
    "keep": "re:.*down_proj$ = W8A16",
    "ignore_rule": "One name or re:pattern per line. lm_head and MoE gates are never quantized.",
    "keep_rule": "pattern = scheme, one per line. BF16 leaves a layer unquantized.",
}
_LAYERS_OF = {
    "gguf": {
        "ignore": r"re:blk\.0\..*",
        "keep": r"re:blk\.\d+\.ffn_down = Q8_0",
        "ignore_rule": "One GGUF name (blk.0.attn_q) or re:pattern per line. Norms and MoE gates are never quantized.",
        "keep_rule": "pattern = block type, one per line. Overrides the type that the scheme would choose.",
    },
    "bitsandbytes": {
        "ignore": "model.layers.0.mlp",
        "keep": "",
        "ignore_rule": "One name per line, or how it begins or ends. lm_head is never quantized.",
        "keep_rule": "",
    },
}


def offer(name: str, offered: list[str]) -> dict[str, Any]:
    """Return what the form offers for the model `name`: methods, schemes, options, calibration sources, defaults.

    offered  the models that the caller may use

    "error" says why the model cannot be quantized; the methods are listed all the same.
    """
    model, origin, error = name, "", None
    try:
        model, _ = catalog.split(name)
        origin = catalog.describe(model)
        open_checkpoint(model)
    except PlaygroundError as refusal:
        error = error_row(refusal)
    listed = [each for each in offered if not each.startswith("@")]
    default = Calibration()
    methods = _methods()
    return {
        "model": model,
        "origin": origin,
        "error": error,
        "models": listed if model in listed or error else [model, *listed],
        "methods": methods,
        "default": next((row["name"] for row in methods if row["missing"] is None), ""),
        "group_sizes": GROUP_SIZES,
        "calibration": {
            "bundled": _bundled(),
            "samples": default.samples,
            "max_length": default.max_length,
            "seed": default.seed,
            "max_pasted": MAX_PASTED,
        },
        "upload": {"suffixes": SUFFIXES, "limit": MAX_BYTES, "piece": PIECE_BYTES},
    }


@cache
def _bundled() -> int:
    """Return the number of bundled calibration samples."""
    return sum(1 for _ in bundled())


def _methods() -> list[dict[str, Any]]:
    """Return every method that a job runs: recommended ones, those without calibration, the others, the unavailable."""
    probe = machine.known()
    advice = recommended(probe.device if probe else "cpu", probe.capability if probe else None)
    rows = [_method(row, advice.get(row.name)) for row in TABLE if row.job]
    return sorted(rows, key=lambda row: GROUPS.index(row["group"]))


GROUPS = ("recommended", "plain", "calibrated", "missing")


def _method(row: Method, advice: tuple[str, str] | None) -> dict[str, Any]:
    engines = {option.engine: option for option in base.options(_example_variant(row))}
    missing = _missing(row)
    calibrating = [row.calibrates(scheme) for scheme in row.schemes]
    group = "missing" if missing else "recommended" if advice else "calibrated" if all(calibrating) else "plain"
    return {
        "name": row.name,
        "title": row.title,
        "group": group,
        "calibration": "all" if all(calibrating) else "some" if any(calibrating) else "none",
        "scheme": advice[0] if advice else row.schemes[0],
        "recommended": advice[1] if advice and not missing else "",
        "good": row.good_at,
        "bad": row.bad_at,
        "hardware": row.hardware,
        "paper": row.paper,
        "format": row.output_format,
        "group_rule": row.group_size,
        "architectures": row.architectures,
        "compressor": "llmcompressor" in row.requires,
        "schemes": [_scheme(row, name) for name in row.schemes],
        "engines": [
            {"title": engines[name].title.removesuffix(" host"), "runs": engines[name].runs, "why": _why(engines[name])}
            for name in row.engines
            if name in engines
        ],
        "options": [_option(option) for option in row.options],
        "layers": _LAYERS_OF.get(row.name, _LAYERS),
        "missing": missing,
    }


def _why(option: base.Option) -> str:
    return f"{option.why} ({option.do})" if option.do else option.why


def _scheme(row: Method, name: str) -> dict[str, Any]:
    scheme = SCHEMES.get(name)
    return {
        "name": name,
        "words": scheme_words(name),
        "calibrates": row.calibrates(name),
        "groups": scheme is not None and scheme.chooses_group,
    }


def _option(option: Option) -> dict[str, Any]:
    default = option.default
    text = ", ".join(default) if isinstance(default, tuple) else str(default)
    kind = "flag" if isinstance(default, bool) else "several" if isinstance(default, tuple) else "value"
    return {
        "name": option.name,
        "default": text.lower() if kind == "flag" else text,
        "summary": option.summary,
        "choices": option.choices,
        "kind": kind,
    }


def _example_variant(row: Method) -> Variant:
    """Return a variant as this method makes them, to look up which engines can run it."""
    return Variant("", "", "", row.title, row.name, row.schemes[0], "bfloat16", "", engines=row.engines)


def _missing(row: Method) -> str | None:
    """Return why the method cannot run here and what to do about it; None if it can."""
    absent = [name for name, version in machine.versions(row.requires).items() if version is None]
    if absent:
        return f"{', '.join(absent)} not installed. Install it with: make setup"
    probe = machine.known()
    if probe and probe.device not in row.devices:
        return f"Runs on {', '.join(row.devices)}; this device is {probe.device}."
    return None


def estimated(draft: Draft, host: Facts) -> dict[str, Any]:
    """Return the estimate of a draft. `error` says why it does not fit. Raises PlaygroundError."""
    spec = as_spec(draft)
    checkpoint = open_original(spec.model)
    expected = estimate(checkpoint, spec.recipe, host)
    name = spec.name or variant_name(complete(checkpoint, spec.recipe).recipe)
    sentences = list(expected.reasons)
    group = next((sentence for sentence in sentences if sentence.startswith("Group size")), "")
    if name in names.stored(spec.model):
        sentences.insert(0, f"A variant called {name} exists already; this replaces it.")
    return {
        "name": f"{spec.model}:{name}",
        "before": expected.bytes_before,
        "after": expected.bytes_after,
        "exact": expected.bytes_is_exact,
        "bits": expected.bits_per_weight,
        "bits_before": expected.bytes_before * expected.bits_per_weight / expected.bytes_after,
        "memory": expected.peak_memory,
        "memory_free": host.memory_available,
        "disk": expected.disk_bytes,
        "disk_free": host.disk_free,
        "seconds": expected.seconds,
        "measured": host.speed is not None,
        "error": _refused(expected),
        "group": group,
        "reasons": [sentence for sentence in sentences if sentence != group],
    }


def _refused(expected: Estimate) -> dict[str, Any] | None:
    try:
        expected.check()
    except PlaygroundError as error:
        return error_row(error)
    return None


# A filled form, as a spec.


def as_spec(draft: Draft) -> QuantizeSpec:
    """Return the spec of a draft: the method's first scheme where none is named, no calibration where none is read.

    Raises PlaygroundError.
    """
    row = method(draft.method)
    recipe = Recipe.model_validate(
        {
            "method": row.name,
            "scheme": draft.scheme or row.schemes[0],
            "group_size": draft.group_size,
            "ignore": draft.ignore,
            "keep": draft.keep,
            "kv_cache": draft.kv_cache,
            "options": _options(draft.options, row),
        }
    )
    if needs_text(recipe):
        recipe = recipe.changed(calibration=_calibration(draft.calibration).model_dump(mode="json"))
    return QuantizeSpec(model=draft.model, recipe=recipe, name=draft.name)


def _calibration(draft: DraftCalibration) -> Calibration:
    """Raises InvalidRequest, InvalidCalibration; `field` is that of the form."""
    source: str = draft.source
    try:
        if draft.source == "hub":
            source = check_hub(draft.hub, "and after a colon the configuration or split")
        elif draft.source == "upload":
            source = str(uploaded(draft.upload))
        return Calibration(
            source=source,
            text=draft.text if source == PASTED else "",
            samples=draft.samples,
            max_length=draft.max_length,
            seed=draft.seed,
        )
    except PlaygroundError as error:
        error.field = error.field or {"upload": "upload", "hub": "hub", PASTED: "text", BUNDLED: ""}[draft.source]
        raise


def _options(values: Mapping[str, Any], row: Method) -> dict[str, Any]:
    """Return the options that differ from their defaults; completing the recipe refuses what is unknown or invalid."""
    known = {option.name: option for option in row.options}
    typed = {name: _value(known[name], raw) if name in known else raw for name, raw in values.items()}
    return {name: value for name, value in typed.items() if name not in known or value != known[name].default}


def _value(option: Option, raw: Any) -> Any:
    """Return a text in the type of the option's default; unchanged if it cannot be converted."""
    if not isinstance(raw, str):
        return tuple(raw) if isinstance(raw, list) else raw
    text = raw.strip()
    if isinstance(option.default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(option.default, tuple):
        return tuple(part for part in text.replace(",", " ").split() if part)
    if isinstance(option.default, int | float):
        try:
            return type(option.default)(text)
        except ValueError:
            return text
    return text
