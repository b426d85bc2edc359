"""One line of the list of runs: what was measured of what, and the one number that matters most in it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from playground.core import REFERENCE
from playground.engines.base import parse
from playground.evaluate.report import named
from playground.evaluate.run_page import NOISE
from playground.evaluate.verdict_table import WITHHELD
from playground.runs.page import KINDS
from playground.store import runs
from playground.store.runs import Entry

PARTS = {
    "comparison": ("verdict",),
    "evaluation": ("rows", "divergence"),
    "divergence": ("rows",),
    "bench": ("rows",),
    "quantization": ("row",),
}
MAX_KEPT = 2000
Number = tuple[str, str]


class Rows:
    """The lines of a page of the list. A run never changes, so its number is read once."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[str, Number] = OrderedDict()

    def lines(self, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        self._read(entries)
        return [line(entry, self._numbers.get(entry.id, ("", ""))) for entry in entries]

    def _read(self, entries: Sequence[Entry]) -> None:
        for kind, names in PARTS.items():
            new = [entry for entry in entries if entry.run.kind == kind and entry.id not in self._numbers]
            found = runs.parts([entry.id for entry in new], names)
            for entry in new:
                self._numbers[entry.id] = number(kind, found.get(entry.id) or {}, labels(entry))
        while len(self._numbers) > MAX_KEPT:
            self._numbers.popitem(last=False)


def labels(entry: Entry) -> dict[str, str]:
    """What variants are called, the reference first: by id, and by that without its engine."""
    found = {str(one["id"]): str(one["label"]) for one in named(entry.run.variants)}
    return found | {plain: label for name, label in found.items() if (plain := parse(name).variant) not in found}


def line(entry: Entry, found: Number) -> dict[str, Any]:
    run = entry.run
    return {
        "id": run.id,
        "kind": run.kind,
        "kind_words": KINDS.get(run.kind, run.kind),
        "title": entry.title,
        "own_title": run.title,
        "note": entry.note,
        "revoked": entry.revoked_at,
        "model": run.model,
        "created": run.created_at,
        "variants": [str(one["label"]) for one in named(run.variants)],
        "number": found,
    }


def number(kind: str, parts: Mapping[str, Any], names: Mapping[str, str]) -> Number:
    """The figure and what it is; two empty texts where nothing was measured."""
    match kind:
        case "comparison":
            return _comparison(parts.get("verdict"))
        case "evaluation":
            return _evaluation(parts.get("rows") or (), names) or _divergence(parts.get("divergence") or (), names)
        case "divergence":
            return _divergence(parts.get("rows") or (), names)
        case "bench":
            return _bench(parts.get("rows") or (), names)
        case "quantization":
            return _quantization(parts.get("row") or {})
    return "", ""


def _comparison(verdict: Any) -> Number:
    ratios = [(float(one["decode_ratio"]), str(one["label"])) for one in verdict or () if one.get("decode_ratio")]
    if not ratios:
        return "", ""
    ratio, label = max(ratios)
    return f"{ratio:.2f}×", f"decode speed, {label}" if label else "decode speed"


def _evaluation(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Number | None:
    none = (REFERENCE, WITHHELD)
    said = [row for row in rows if row.get("recovery") is not None and row.get("verdict") not in none]
    if not said:
        return None
    worst = min(said, key=lambda row: float(row["recovery"]))
    name = names.get(str(worst["variant"]), str(worst["variant"]))
    return f"{worst['recovery']:.1f}%", f"worst recovery, {name} on {worst['task']}"


def _divergence(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Number:
    reference = next(iter(names), "")
    others = [row for row in rows if row["variant"] not in (NOISE, reference) and row.get("kld_mean") is not None]
    if not others:
        return "", ""
    worst = max(others, key=lambda row: float(row["kld_mean"]))
    name = names.get(str(worst["variant"]), str(worst["variant"]))
    return f"{worst['kld_mean']:.3g}", f"mean KLD in nats, {name}"


def _bench(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Number:
    decode = [row for row in rows if str(row.get("test", "")).startswith("tg") and row.get("tok_s_mean")]
    if not decode:
        return "", ""
    best = max(decode, key=lambda row: float(row["tok_s_mean"]))
    name = names.get(str(best["variant"]), str(best["variant"]))
    return f"{best['tok_s_mean']:.3g}", f"tok/s decode, {name} in {best['engine']}"


def _quantization(made: Mapping[str, Any]) -> Number:
    before, after = made.get("bytes_before"), made.get("bytes_after")
    if not before or not after:
        return "", ""
    return f"{before / after:.2f}×", f"smaller, {made.get('bits_per_weight', 0):.2f} bits per weight"
