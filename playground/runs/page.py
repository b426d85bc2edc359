"""One stored run as its page shows it: a function of the run alone. No engine is asked, nothing is loaded.

What every kind has: id, kind, title, note, model, created, how. Besides, one of
    replay      {panes: run_replay.panes, verdict: the strip's value}     comparison
    evaluation  evaluate_run.view                                         evaluation, divergence
    speed       the Speed page's value                                    bench
    quantized   {row, card}, as a card of the Quantize page               quantization
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playground.core import Variant
from playground.engines.base import parse
from playground.evaluate import run_page
from playground.metrics.weights import where_it_hurt
from playground.models import stored
from playground.runs import how, replay
from playground.runs.verdict import outcomes
from playground.speed import page
from playground.speed.spec import BenchRow
from playground.store.runs import Entry
from playground.web import owner as web_owner


def view(entry: Entry, *, owner: bool) -> dict[str, Any]:
    """What the page draws. Who is not the owner is told no path of this machine."""
    run = entry.run
    row = run.as_row() if owner else web_owner.run(run.as_row())
    shown = {
        "id": run.id,
        "kind": run.kind,
        "kind_words": how.KINDS.get(run.kind, run.kind),
        "title": entry.title if owner or entry.title != run.title else row["title"],
        "note": entry.note,
        "revoked": entry.revoked_at,
        "model": row["model"],
        "created": run.created_at,
        "owner": owner,
        "how": how.how(row),
    }
    match run.kind:
        case "comparison":
            shown["replay"] = {"panes": replay.panes(row), "verdict": outcomes(row)}
            shown["prompt"] = _prompt(row)
        case "evaluation" | "divergence":
            shown["evaluation"] = run_page.view(run, owner=owner)
        case "bench":
            shown["speed"] = speed(row)
        case "quantization":
            shown["quantized"] = quantized(row)
    return shown


def _prompt(row: Mapping[str, Any]) -> list[list[str]]:
    """What stood before the last words: a system prompt, earlier turns. [role, text] each."""
    messages = (row["result"].get("prompt") or {}).get("messages") or ()
    return [[str(one["role"]), str(one["content"])] for one in messages[:-1]]


def speed(row: Mapping[str, Any]) -> dict[str, Any]:
    """As the Speed page's value when it is done."""
    found = bench_rows(row)
    labels = page.Labels({parse(str(one["id"])).variant: _variant(row, one) for one in row["variants"]})
    return {
        "state": "done",
        "rows": [page.row(one, labels) for one in found],
        "error": None,
        "headline": page.headline(found, labels),
        "files": page.files(found),
    }


def _variant(row: Mapping[str, Any], facts: Mapping[str, Any]) -> Variant:
    """What a row is called by; the variant itself may be gone."""
    name = parse(str(facts["id"])).variant
    return Variant(
        id=name,
        model=str(row["model"]),
        name=name.removeprefix(f"{row['model']}:"),
        label=str(facts.get("label") or name),
        method=str(facts.get("method") or ""),
        scheme=str(facts.get("scheme") or ""),
        dtype=str(facts.get("dtype") or ""),
        path="",
    )


def bench_rows(row: Mapping[str, Any]) -> list[BenchRow]:
    """What a later version added is left out."""
    known = BenchRow.__dataclass_fields__
    return [
        BenchRow(**{name: value for name, value in one.items() if name in known})
        for one in row["result"].get("rows") or ()
    ]


def quantized(row: Mapping[str, Any]) -> dict[str, Any]:
    """As a card of the Quantize page, from the run alone: the variant may be gone since."""
    result = row["result"]
    made: Mapping[str, Any] = {**(result.get("card") or {}), **(result.get("row") or {})}
    layers = [
        [str(one["name"]), float(one["relative_error"]), one.get("snr_db")]
        for one in result.get("layers") or made.get("layers") or ()
    ]
    before, after, bits = made.get("bytes_before"), made["bytes_after"], made["bits_per_weight"]
    return {
        "row": {
            "id": str(made["variant"]),
            "label": stored.label(str(made["method"]), str(made["scheme"])),
            "before": before,
            "after": after,
            "bits": bits,
            "bits_before": before * bits / after if before and after else None,
            "seconds": made.get("seconds"),
            "peak": made.get("peak_memory_bytes"),
            "reload": made.get("reload"),
        },
        "card": {
            "layers": layers,
            "hurt": where_it_hurt(layers),
            "stages": made.get("stages") or {},
            "notes": [*(made.get("reasons") or ()), *(made.get("notes") or ())],
            "estimate": None,
            "calibration": "",
        },
    }
