"""The report of a quantization: what was made of what, how much smaller it is, and where rounding lost most."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from playground import formatting
from playground.methods.recipe import without_paths
from playground.metrics.weights import error_summary
from playground.models import names, stored
from playground.models.checkpoint import Checkpoint
from playground.report import plots
from playground.report.parts import (
    Caveats,
    Cell,
    Conditions,
    Heading,
    Number,
    Numbers,
    Part,
    Picture,
    Plot,
    Sentence,
    Table,
)
from playground.store.runs import device_facts, new_run
from playground.store.schema import Run, StoredVariant

WORST = 8  # layers in the table
COLUMNS = (
    *("variant", "method", "scheme", "group_size", "bytes_before", "bytes_after", "bits_per_weight", "seconds"),
    *("peak_memory_bytes", "content_hash", "reload_kld_mean", "reload_top1_agreement", "layer", "relative_error"),
    "snr_db",
)
NUMBER_OF = ("row",)
_LAYER = re.compile(r"^(.*?)\.(\d+)\.(.+)$")


def parts(run: Run) -> tuple[Part, ...]:
    made, layers = row_of(run), layers_of(run)
    name = _name(made)
    before, after = made.get("bytes_before"), made.get("bytes_after")
    smaller = ""
    if before and after:
        smaller = f" is {1 - after / before:.0%} smaller than its original" if after < before else (
            f" is {after / before:.2f}× the size of its original"
        )  # fmt: skip
    bits = made.get("bits_per_weight")
    headline = f"{name}{smaller}{f', at {bits:.2f} bits per weight' if formatting.known(bits) else ''}."
    return (
        Sentence(headline, rest=_checked(made), note=_cost(made), why=_hurt(layers)),
        Caveats(("what this costs in quality was not measured here",)),
        Numbers(tuple(_numbers(made))),
        *_plots(layers),
        _sizes(made),
        *([_worst(layers)] if layers else []),
        Conditions(_conditions(run, made)),
        Picture(_sizes(made)),
    )


def terminal(run: Run) -> list[Sentence]:
    row = run.result["row"]
    sizes = f"{row['bytes_before'] / 1e6:,.0f} MB → {row['bytes_after'] / 1e6:,.0f} MB"
    return [Sentence(f"{sizes} in {row['seconds']:,.1f} s.")]


def number(result: Mapping[str, Any], _names: Mapping[str, str]) -> tuple[str, str]:
    """How much smaller it is."""
    made = result.get("row") or {}
    before, after = made.get("bytes_before"), made.get("bytes_after")
    if not before or not after:
        return "", ""
    return f"{before / after:.2f}×", f"smaller, {made.get('bits_per_weight', 0):.2f} bits per weight"


def rows(run: Run) -> list[dict[str, Any]]:
    """One line a layer; one in all where the method measured none."""
    made = row_of(run)
    reload = made.get("reload") or {}
    facts = dict(made) | {
        "reload_kld_mean": reload.get("kld_mean"),
        "reload_top1_agreement": reload.get("top1_agreement"),
    }
    return [facts | {"layer": one["name"]} | dict(one) for one in layers_of(run)] or [facts]


def quantized(run: Run) -> dict[str, Any]:
    """As a card of the Quantize page, from the run alone: the variant may be gone since."""
    made = row_of(run)
    layers = [(str(one["name"]), float(one["relative_error"]), one.get("snr_db")) for one in layers_of(run)]
    return {
        "row": {
            "id": str(made["variant"]),
            "label": _name(made),
            "before": made.get("bytes_before"),
            "after": made["bytes_after"],
            "bits": made["bits_per_weight"],
            "bits_before": _bits_before(made),
            "seconds": made.get("seconds"),
            "peak": made.get("peak_memory_bytes"),
            "reload": made.get("reload"),
        },
        "card": {
            "layers": layers,
            "hurt": error_summary(layers),
            "stages": made.get("stages") or {},
            "notes": [*(made.get("reasons") or ()), *(made.get("notes") or ())],
            "estimate": None,
            "calibration": "",
        },
    }


def _bits_before(made: Mapping[str, Any]) -> float | None:
    """Bits per weight of the original, which has as many weights."""
    before, after, bits = made.get("bytes_before"), made.get("bytes_after"), made.get("bits_per_weight")
    return before * bits / after if before and after and formatting.known(bits) else None


def row_of(run: Run) -> Mapping[str, Any]:
    """The JSON of `quantize --json`, completed by the variant's card."""
    return {**(run.result.get("card") or {}), **(run.result.get("row") or {})}


def _name(made: Mapping[str, Any]) -> str:
    """ "AWQ W4A16_ASYM", as the page calls it."""
    return stored.label(str(made.get("method") or ""), str(made.get("scheme") or ""))


def layers_of(run: Run) -> Sequence[Mapping[str, Any]]:
    found = run.result.get("layers") or row_of(run).get("layers") or ()
    return [one for one in found if formatting.known(one.get("relative_error"))]


def _hurt(layers: Sequence[Mapping[str, Any]]) -> str:
    return error_summary([(str(one["name"]), float(one["relative_error"]), one.get("snr_db")) for one in layers])


def _checked(made: Mapping[str, Any]) -> str:
    found = made.get("reload")
    if not isinstance(found, Mapping) or not formatting.known(found.get("kld_mean")):
        return ""
    return (
        "The saved files were loaded in a fresh process and compared with the model that was in memory: mean KLD "
        f"{formatting.nats(found['kld_mean'])} nats, "
        f"the same top token in {formatting.percent(found.get('top1_agreement'))}."
    )


def _cost(made: Mapping[str, Any]) -> str:
    took = f"made in {formatting.seconds(made['seconds'])}" if formatting.known(made.get("seconds")) else ""
    peak = made.get("peak_memory_bytes")
    return ", ".join(filter(None, [took, f"peak memory {formatting.size(peak)}" if formatting.known(peak) else ""]))


def _numbers(made: Mapping[str, Any]) -> list[Number]:
    before, after = made.get("bytes_before"), made.get("bytes_after")
    found = [Number(formatting.ratio(after / before), "size")] if before and after else []
    found.append(Number(formatting.figure(made.get("bits_per_weight")), "bits per weight"))
    found.append(Number(formatting.seconds(made.get("seconds")), "to make"))
    return found


def _sizes(made: Mapping[str, Any]) -> Table:
    before, after, bits = made.get("bytes_before"), made.get("bytes_after"), made.get("bits_per_weight")
    name, original = _name(made), formatting.figure(_bits_before(made))
    lines = (
        (Cell("original", kind="reference"), Cell(formatting.size(before)), Cell(original)),
        (Cell(name, str(made.get("variant") or "")), Cell(formatting.size(after)), Cell(formatting.figure(bits))),
    )
    headings = (Heading("Variant", words=True), Heading("Size", "on disk"), Heading("Bits", "per weight"))
    return Table("Size", headings, lines, "all tensors of the checkpoint")


def _worst(layers: Sequence[Mapping[str, Any]]) -> Table:
    worst = sorted(layers, key=lambda one: -one["relative_error"])[:WORST]
    lines = tuple(
        (
            Cell(str(one["name"])),
            Cell(formatting.percent(one["relative_error"], 2)),
            Cell(f"{one['snr_db']:.1f}" if formatting.known(one.get("snr_db")) else formatting.UNKNOWN),
        )
        for one in worst
    )
    headings = (Heading("Layer", words=True), Heading("Error", "of the weight’s norm"), Heading("SNR", "dB"))
    return Table("Where rounding lost most", headings, lines, f"{len(worst)} of {len(layers)} layers")


def _plots(layers: Sequence[Mapping[str, Any]]) -> list[Plot]:
    placed = []
    for one in layers:
        if found := _LAYER.match(str(one["name"])):
            snr = f" · {one['snr_db']:.1f} dB" if formatting.known(one.get("snr_db")) else ""
            tip = f"{one['name']}: {formatting.percent(one['relative_error'], 2)}{snr}"
            placed.append((int(found[2]), found[3], float(one["relative_error"]), tip))
    if not placed:
        return []
    errors = [error for *_, error, _ in placed]
    between = f"{formatting.percent(min(errors))} to {formatting.percent(max(errors))}"
    said = f"relative error of each layer’s weight, {between}; darker lost more"
    return [plots.heat("Where it hurt", placed, said)]


def _conditions(run: Run, made: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    recipe = run.settings.get("recipe") or run.settings
    calibration = recipe.get("calibration") if isinstance(recipe, Mapping) else None
    asked = ""
    if isinstance(calibration, Mapping) and calibration:
        asked = f"{calibration.get('samples', '')} samples of {calibration.get('source', '')}".strip()
    found = [
        ("Group size", str(made.get("group_size") or "")),
        ("Calibration", asked),
        ("Reasons", " ".join(map(str, made.get("reasons") or ()))),
    ]
    return tuple((name, value) for name, value in found if value)


def quantization(title: str, made: StoredVariant, original: Checkpoint, device: str) -> Run:
    """How a variant was made, for `variants.add`, which stores both or neither. Where its files lie is not in it."""
    card = {**made.card, "path": None, "recipe_path": None}
    form = original.form
    before = _weights(made.parent["id"], form.label, form.method, form.scheme, original.bytes, original.parameters)
    label = stored.label(made.method, made.scheme)
    after = _weights(made.id, label, made.method, made.scheme, made.bytes, made.parameters)
    return new_run(
        "quantization",
        title=title,
        model=names.key(made.model),
        device=device_facts([device]),
        settings={"recipe": without_paths(made.recipe)},
        variants=[
            before | {"content_hash": made.parent["content_hash"], "dtype": form.dtype},
            after | {"content_hash": made.content_hash, "dtype": form.dtype},
        ],
        result={"row": card, "card": card, "layers": card["layers"]},
        job_id=made.job_id,
    )


def _weights(name: str, label: str, method: str, scheme: str, size: int, parameters: int) -> dict[str, Any]:
    bits = round(8 * size / parameters, 4)
    return {"id": name, "label": label, "method": method, "scheme": scheme, "bytes": size, "bits_per_weight": bits}
