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
    row, layers = row_of(run), layers_of(run)
    name = _name(row)
    before, after = row.get("bytes_before"), row.get("bytes_after")
    smaller = ""
    if before and after:
        smaller = f" is {1 - after / before:.0%} smaller than its original" if after < before else (
            f" is {after / before:.2f}× the size of its original"
        )  # fmt: skip
    bits = row.get("bits_per_weight")
    headline = f"{name}{smaller}{f', at {bits:.2f} bits per weight' if formatting.known(bits) else ''}."
    return (
        Sentence(headline, rest=_reload_sentence(row), note=_cost_sentence(row), why=_error_sentence(layers)),
        Caveats(("what this costs in quality was not measured here",)),
        Numbers(tuple(_numbers(row))),
        *_plots(layers),
        _sizes(row),
        *([_worst(layers)] if layers else []),
        Conditions(_conditions(run, row)),
        Picture(_sizes(row)),
    )


def terminal(run: Run) -> list[Sentence]:
    row = run.result["row"]
    sizes = f"{row['bytes_before'] / 1e6:,.0f} MB → {row['bytes_after'] / 1e6:,.0f} MB"
    return [Sentence(f"{sizes} in {row['seconds']:,.1f} s.")]


def number(result: Mapping[str, Any], _names: Mapping[str, str]) -> tuple[str, str]:
    """Return the compression ratio and its caption; two empty strings if the result has no sizes."""
    row = result.get("row") or {}
    before, after = row.get("bytes_before"), row.get("bytes_after")
    if not before or not after:
        return "", ""
    return f"{before / after:.2f}×", f"smaller, {row.get('bits_per_weight', 0):.2f} bits per weight"


def rows(run: Run) -> list[dict[str, Any]]:
    """Return one row per layer, or a single row if the method measured no layer."""
    row = row_of(run)
    reload = row.get("reload") or {}
    fields = dict(row) | {
        "reload_kld_mean": reload.get("kld_mean"),
        "reload_top1_agreement": reload.get("top1_agreement"),
    }
    return [fields | {"layer": layer["name"]} | dict(layer) for layer in layers_of(run)] or [fields]


def quantized(run: Run) -> dict[str, Any]:
    """Return the card of the Quantize page, from the run alone: the variant may have been deleted."""
    row = row_of(run)
    layers = [(str(layer["name"]), float(layer["relative_error"]), layer.get("snr_db")) for layer in layers_of(run)]
    return {
        "row": {
            "id": str(row["variant"]),
            "label": _name(row),
            "before": row.get("bytes_before"),
            "after": row["bytes_after"],
            "bits": row["bits_per_weight"],
            "bits_before": _bits_before(row),
            "seconds": row.get("seconds"),
            "peak": row.get("peak_memory_bytes"),
            "reload": row.get("reload"),
        },
        "card": {
            "layers": layers,
            "heat": heat_row(layers, max((error for _, error, _ in layers), default=0.0)),
            "hurt": error_summary(layers),
            "stages": row.get("stages") or {},
            "notes": [*(row.get("reasons") or ()), *(row.get("notes") or ())],
            "estimate": None,
            "calibration": "",
        },
    }


def _bits_before(row: Mapping[str, Any]) -> float | None:
    """Return bits per weight of the original, which has as many weights; None if it is not known."""
    before, after, bits = row.get("bytes_before"), row.get("bytes_after"), row.get("bits_per_weight")
    return before * bits / after if before and after and formatting.known(bits) else None


def row_of(run: Run) -> Mapping[str, Any]:
    """Return the JSON of `quantize --json`, with missing keys taken from the variant's card."""
    return {**(run.result.get("card") or {}), **(run.result.get("row") or {})}


def _name(row: Mapping[str, Any]) -> str:
    """Return the label of the page: "AWQ W4A16_ASYM"."""
    return stored.label(str(row.get("method") or ""), str(row.get("scheme") or ""))


def layers_of(run: Run) -> Sequence[Mapping[str, Any]]:
    layers = run.result.get("layers") or row_of(run).get("layers") or ()
    return [layer for layer in layers if formatting.known(layer.get("relative_error"))]


def _error_sentence(layers: Sequence[Mapping[str, Any]]) -> str:
    return error_summary(
        [(str(layer["name"]), float(layer["relative_error"]), layer.get("snr_db")) for layer in layers]
    )


def _reload_sentence(row: Mapping[str, Any]) -> str:
    reload = row.get("reload")
    if not isinstance(reload, Mapping) or not formatting.known(reload.get("kld_mean")):
        return ""
    return (
        "The saved files were loaded in a fresh process and compared with the model that was in memory: mean KLD "
        f"{formatting.nats(reload['kld_mean'])} nats, "
        f"the same top token in {formatting.percent(reload.get('top1_agreement'))}."
    )


def _cost_sentence(row: Mapping[str, Any]) -> str:
    time = f"made in {formatting.seconds(row['seconds'])}" if formatting.known(row.get("seconds")) else ""
    peak = row.get("peak_memory_bytes")
    return ", ".join(filter(None, [time, f"peak memory {formatting.size(peak)}" if formatting.known(peak) else ""]))


def _numbers(row: Mapping[str, Any]) -> list[Number]:
    before, after = row.get("bytes_before"), row.get("bytes_after")
    numbers = [Number(formatting.ratio(after / before), "size")] if before and after else []
    numbers.append(Number(formatting.figure(row.get("bits_per_weight")), "bits per weight"))
    numbers.append(Number(formatting.seconds(row.get("seconds")), "to make"))
    return numbers


def _sizes(row: Mapping[str, Any]) -> Table:
    before, after, bits = row.get("bytes_before"), row.get("bytes_after"), row.get("bits_per_weight")
    name, original = _name(row), formatting.figure(_bits_before(row))
    rows = (
        (Cell("original", kind="reference"), Cell(formatting.size(before)), Cell(original)),
        (Cell(name, str(row.get("variant") or "")), Cell(formatting.size(after)), Cell(formatting.figure(bits))),
    )
    headings = (Heading("Variant", words=True), Heading("Size", "on disk"), Heading("Bits", "per weight"))
    return Table("Size", headings, rows, "all tensors of the checkpoint")


def _worst(layers: Sequence[Mapping[str, Any]]) -> Table:
    worst = sorted(layers, key=lambda layer: -layer["relative_error"])[:WORST]
    rows = tuple(
        (
            Cell(str(layer["name"])),
            Cell(formatting.percent(layer["relative_error"], 2)),
            Cell(f"{layer['snr_db']:.1f}" if formatting.known(layer.get("snr_db")) else formatting.UNKNOWN),
        )
        for layer in worst
    )
    headings = (Heading("Layer", words=True), Heading("Error", "of the weight’s norm"), Heading("SNR", "dB"))
    return Table("Where rounding lost most", headings, rows, f"{len(worst)} of {len(layers)} layers")


def _plots(layers: Sequence[Mapping[str, Any]]) -> list[Plot]:
    plot = heat([(str(layer["name"]), float(layer["relative_error"]), layer.get("snr_db")) for layer in layers])
    return [plot] if plot else []


def heat_row(layers: Sequence[tuple[str, float, float | None]], high: float) -> dict[str, Any] | None:
    """Return the heat map as JSON, with the top of its scale; None if there is no numbered layer."""
    plot = heat(layers, high)
    return {"spec": plot.spec, "alt": plot.alt, "high": high} if plot else None


def heat(layers: Sequence[tuple[str, float, float | None]], high: float | None = None) -> Plot | None:
    """Return the heat map of layers by name, relative error and SNR in dB; None if there is no numbered layer.

    high  the top of a colour scale that several maps share
    """
    cells = []
    for name, error, snr_db in layers:
        if match := _LAYER.match(name):
            snr = f" · {snr_db:.1f} dB" if formatting.known(snr_db) else ""
            cells.append((int(match[2]), match[3], error, f"{name}: {formatting.percent(error, 2)}{snr}"))
    if not cells:
        return None
    errors = [error for *_, error, _ in cells]
    between = f"{formatting.percent(min(errors))} to {formatting.percent(max(errors))}"
    caption = f"relative error of each layer’s weight, {between}; darker lost more"
    return plots.heat("Where it hurt", cells, caption, high)


def _conditions(run: Run, row: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    recipe = run.settings.get("recipe") or run.settings
    calibration = recipe.get("calibration") if isinstance(recipe, Mapping) else None
    text = ""
    if isinstance(calibration, Mapping) and calibration:
        text = f"{calibration.get('samples', '')} samples of {calibration.get('source', '')}".strip()
    conditions = [
        ("Group size", str(row.get("group_size") or "")),
        ("Calibration", text),
        ("Reasons", " ".join(map(str, row.get("reasons") or ()))),
    ]
    return tuple((name, value) for name, value in conditions if value)


def quantization(title: str, variant: StoredVariant, original: Checkpoint, device: str) -> Run:
    """Return the run that records how a variant was made, without the paths of its files.

    `variants.add` stores the variant and this run in one transaction.
    """
    card = {**variant.card, "path": None, "recipe_path": None}
    form = original.form
    before = _weights(variant.parent["id"], form.label, form.method, form.scheme, original.bytes, original.parameters)
    label = stored.label(variant.method, variant.scheme)
    after = _weights(variant.id, label, variant.method, variant.scheme, variant.bytes, variant.parameters)
    return new_run(
        "quantization",
        title=title,
        model=names.key(variant.model),
        device=device_facts([device]),
        settings={"recipe": without_paths(variant.recipe)},
        variants=[
            before | {"content_hash": variant.parent["content_hash"], "dtype": form.dtype},
            after | {"content_hash": variant.content_hash, "dtype": form.dtype},
        ],
        result={"row": card, "card": card, "layers": card["layers"]},
        job_id=variant.job_id,
    )


def _weights(name: str, label: str, method: str, scheme: str, size: int, parameters: int) -> dict[str, Any]:
    bits = round(8 * size / parameters, 4)
    return {"id": name, "label": label, "method": method, "scheme": scheme, "bytes": size, "bits_per_weight": bits}
