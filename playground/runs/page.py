"""One stored run as its page shows it: a function of the run alone. No engine is asked, nothing is loaded.

What every kind has: id, kind, title, note, model, created, how. Besides, one of
    replay      {panes: replay.panes, verdict: outcomes}                  comparison
    evaluation  evaluate.board.view                                       evaluation, divergence
    speed       the Speed page's value                                    bench
    quantized   {row, card}, as a card of the Quantize page               quantization

`how` says in words what was asked for, on which machine, with which packages, of which weights. `outcomes` is the
stored verdict: what the page said when the comparison was made, not what it would say today.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground.compare.outcome import strip_row
from playground.compare.session import WORDS
from playground.compare.stored import Compared
from playground.core import Sampling, Variant
from playground.evaluate import board
from playground.evaluate.report import left_out, named
from playground.metrics.weights import where_it_hurt
from playground.models import stored
from playground.models.address import Address
from playground.quantize.compressor import GENERATION
from playground.report import paths
from playground.runs import replay
from playground.speed import report
from playground.speed.spec import BenchRow
from playground.store.runs import Entry
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


def view(entry: Entry, *, owner: bool) -> dict[str, Any]:
    """What the page draws. Who is not the owner is told no path of this machine."""
    run = entry.run
    row = run.as_row() if owner else paths.run(run.as_row())
    shown = {
        "id": run.id,
        "kind": run.kind,
        "kind_words": KINDS.get(run.kind, run.kind),
        "title": entry.title if owner or entry.title != run.title else row["title"],
        "note": entry.note,
        "revoked": entry.revoked_at,
        "model": row["model"],
        "created": run.created_at,
        "owner": owner,
        "how": conditions(row),
    }
    match run.kind:
        case "comparison":
            shown["replay"] = {"panes": replay.panes(row), "verdict": outcomes(row)}
            shown["prompt"] = _prompt(row)
        case "evaluation" | "divergence":
            shown["evaluation"] = board.view(run, owner=owner)
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
    labels = report.Labels({Address.parse(str(one["id"])).variant: _variant(row, one) for one in row["variants"]})
    return {
        "state": "done",
        "rows": [report.shown_row(one, labels) for one in found],
        "error": None,
        "headline": report.headline(found, labels),
        "files": report.files(found),
    }


def _variant(row: Mapping[str, Any], facts: Mapping[str, Any]) -> Variant:
    """What a row is called by; the variant itself may be gone."""
    name = Address.parse(str(facts["id"])).variant
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


# How a run was measured.


def conditions(row: Mapping[str, Any]) -> dict[str, Any]:
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


# The stored verdict.


def outcomes(row: Mapping[str, Any]) -> dict[str, Any]:
    """The strip's value."""
    answers = Compared.from_row(row).answers
    divergences = [answer.forced.short() if answer.forced else None for answer in answers]
    shown = [strip_row(kept, divergences[int(kept["pane"])]) for kept in row["result"].get("verdict") or ()]
    return {"outcomes": shown, "words": WORDS["none"]}
