"""What the Quantize page says of methods, schemes and estimates: the values of its drawn parts as inert JSON."""

from __future__ import annotations

from functools import cache
from typing import Any

from playground import machine
from playground import models as catalog
from playground.core import Variant
from playground.engines import base
from playground.errors import PlaygroundError
from playground.methods import TABLE
from playground.methods.base import Method, Option
from playground.methods.schemes import GROUP_SIZES, SCHEMES
from playground.methods.table import scheme_words
from playground.quantize.estimate import Estimate, Facts
from playground.quantize.files import MAX_BYTES, SUFFIXES
from playground.texts import Calibration
from playground.texts.sources import bundled
from playground.web.values import inert

DEFAULT = ("awq", "W4A16_ASYM")
# How a method is told which layers: an example of each field and what else to know; no example of `keep`: it has none.
_LAYERS = {
    "ignore": r"re:.*layers\.0\..*",
    "keep": "re:.*down_proj$ = W8A16",
    "ignore_rule": "one name or re:pattern a line; lm_head and MoE gates always stay",
    "keep_rule": "pattern = scheme, one a line; BF16 leaves a layer as it is",
}
_LAYERS_OF = {
    "gguf": {
        "ignore": r"re:blk\.0\..*",
        "keep": r"re:blk\.\d+\.ffn_down = Q8_0",
        "ignore_rule": "one GGUF name (blk.0.attn_q) or re:pattern a line; norms and MoE gates always stay",
        "keep_rule": "pattern = block type, one a line, instead of what the scheme’s mixture chooses",
    },
    "bitsandbytes": {
        "ignore": "model.layers.0.mlp",
        "keep": "",
        "ignore_rule": "one name a line, its beginning or its end; lm_head always stays",
        "keep_rule": "",
    },
}


def form(
    model: str, origin: str = "", error: PlaygroundError | None = None, refusal: PlaygroundError | None = None
) -> str:
    """The value of the form: every method that a job runs, and why not those that cannot run here.

    `refusal`: why whoever asks may look and not start anything.
    """
    models = [name for name in catalog.models() if not name.startswith("@")]
    default = Calibration()
    return inert(
        {
            "model": model,
            "models": models if model in models else [model, *models],
            "origin": origin,
            "methods": [_method(row) for row in TABLE if row.job],
            "default": DEFAULT,
            "group_sizes": GROUP_SIZES,
            "calibration": {
                "bundled": _bundled(),
                "samples": default.samples,
                "max_length": default.max_length,
                "seed": default.seed,
            },
            "upload": {"suffixes": SUFFIXES, "limit": MAX_BYTES},
            "error": _said(error),
            "refusal": _said(refusal),
        }
    )


@cache
def _bundled() -> int:
    """How many samples come with the program."""
    return sum(1 for _ in bundled())


def _said(error: PlaygroundError | None) -> list[str] | None:
    return [error.message, error.hint] if error else None


def _method(row: Method) -> dict[str, Any]:
    engines = {option.engine: option for option in base.options(_made_by(row))}
    return {
        "name": row.name,
        "title": row.title,
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
        "missing": _missing(row),
    }


def _why(option: base.Option) -> str:
    return f"{option.why} ({option.do})" if option.do else option.why


def _scheme(row: Method, name: str) -> dict[str, Any]:
    found = SCHEMES.get(name)
    return {
        "name": name,
        "words": scheme_words(name),
        "calibrates": row.calibrates(name),
        "groups": found is not None and found.chooses_group,
    }


def _option(option: Option) -> dict[str, Any]:
    default = option.default
    shown = ", ".join(default) if isinstance(default, tuple) else str(default)
    kind = "flag" if isinstance(default, bool) else "several" if isinstance(default, tuple) else "value"
    return {
        "name": option.name,
        "default": shown.lower() if kind == "flag" else shown,
        "summary": option.summary,
        "choices": option.choices,
        "kind": kind,
    }


def _made_by(row: Method) -> Variant:
    """A variant as this method makes them, to ask which engines would run it."""
    return Variant("", "", "", row.title, row.name, row.schemes[0], "bfloat16", "", engines=row.engines)


def _missing(row: Method) -> list[str] | None:
    """Why the method cannot be run here, and what to do; None when it can."""
    absent = [name for name, version in machine.versions(row.requires).items() if version is None]
    if absent:
        return [f"{', '.join(absent)} not installed.", "Run `make setup`."]
    probe = machine.known()
    if probe and probe.device not in row.devices:
        return [f"Runs on {', '.join(row.devices)}; this device is {probe.device}.", ""]
    return None


def refused(serial: object, error: PlaygroundError) -> str:
    """The value of the estimate when there is none."""
    return inert({"serial": serial, "error": _said(error)})


def estimated(serial: object, name: str, found: Estimate, here: Facts, taken: bool) -> str:
    """The value of the estimate. `taken`: a variant of this name is there and would be replaced."""
    sentences = list(found.reasons)
    group = next((one for one in sentences if one.startswith("Group size")), "")
    if taken:
        sentences.insert(0, f"A variant called {name} is there already: this replaces it.")
    return inert(
        {
            "serial": serial,
            "name": name,
            "before": found.bytes_before,
            "after": found.bytes_after,
            "exact": found.bytes_is_exact,
            "bits": found.bits_per_weight,
            "bits_before": 8 * found.bytes_before * found.bits_per_weight / (8 * found.bytes_after),
            "memory": found.peak_memory,
            "memory_free": here.memory_available,
            "disk": found.disk_bytes,
            "disk_free": here.disk_free,
            "seconds": found.seconds,
            "measured": here.speed is not None,
            "fits": found.fits,
            "error": None if found.fits else [found.refusal, found.hint],
            "group": group,
            "reasons": [one for one in sentences if one != group],
        }
    )
