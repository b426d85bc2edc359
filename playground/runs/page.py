"""The JSON of one stored run's page, from the run alone: no engine is used, no model is loaded.

Every kind has id, kind, title, note, model, created, how, and one of
    replay      {panes: replay.panes, verdict: outcomes}                  comparison
    evaluation  evaluate.board.view                                       evaluation, divergence
    speed       the Speed page's value                                    bench
    quantized   {row, card}, as a card of the Quantize page               quantization
    review      the stored result                                         review

`how` has the settings, the machine, the versions of packages and the weights, in words. `outcomes` is the verdict as
stored with the comparison; it is not computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from playground.compare.outcome import strip_row
from playground.compare.session import WORDS
from playground.compare.stored import Compared
from playground.core import Sampling, Variant
from playground.evaluate import board
from playground.evaluate.report import unread_settings, with_labels
from playground.models import stored
from playground.models.address import Address
from playground.quantize.compressor import GENERATION
from playground.quantize.report import quantized
from playground.report import paths
from playground.runs import replay
from playground.runs.kinds import title
from playground.runs.titles import title_of
from playground.speed import report
from playground.speed.spec import BenchRow
from playground.store.runs import Entry
from playground.store.schema import Run
from playground.web.values import megabytes

NAMES = {  # of settings whose key is not clear enough
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
UNSET = {"limit": "all", "few_shot": "as the task says"}  # the words for None
AGAIN = ("evaluation", "divergence", "quantization")  # what a job measured, and can measure again
DEVICE = {"name": "device", "device": "computed on"}
MAX_WORDS = 600


def view(entry: Entry, *, owner: bool) -> dict[str, Any]:
    """The page's value. For visitors it has no path of this machine."""
    run = entry.run
    row = run.as_row() if owner else paths.run(run.as_row())
    value = {
        "id": run.id,
        "kind": run.kind,
        "kind_words": title(run.kind),
        "title": title_of(entry),
        "note": entry.note,
        "revoked": entry.revoked_at,
        "model": row["model"],
        "created": run.created_at,
        "owner": owner,
        "job": run.job_id if owner and run.kind in AGAIN else None,
        "how": conditions(row),
    }
    match run.kind:
        case "comparison":
            value["replay"] = {"panes": replay.panes(row), "verdict": outcomes(row)}
            value["prompt"] = _prompt(row)
        case "evaluation" | "divergence":
            value["evaluation"] = board.view(run, owner=owner)
        case "bench":
            value["speed"] = speed(row)
        case "quantization":
            value["quantized"] = quantized(Run(**row))
        case "review":
            value["review"] = row["result"]
    return value


def _prompt(row: Mapping[str, Any]) -> list[list[str]]:
    """The messages before the last one (a system prompt, earlier turns) as [role, text]."""
    messages = (row["result"].get("prompt") or {}).get("messages") or ()
    return [[str(message["role"]), str(message["content"])] for message in messages[:-1]]


def speed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The value of a finished measurement on the Speed page."""
    rows = bench_rows(row)
    labels = report.Labels({Address.parse(str(facts["id"])).variant: _variant(row, facts) for facts in row["variants"]})
    return {
        "state": "done",
        "rows": [report.page_row(bench_row, labels) for bench_row in rows],
        "error": None,
        **report.shown(rows, labels),
        "files": report.files(rows),
    }


def _variant(row: Mapping[str, Any], facts: Mapping[str, Any]) -> Variant:
    """A variant made of the run's facts, for its label. The variant itself may have been deleted."""
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
    """The stored rows; fields that this version does not have are dropped."""
    fields = BenchRow.__dataclass_fields__
    return [
        BenchRow(**{name: value for name, value in entry.items() if name in fields})
        for entry in row["result"].get("rows") or ()
    ]


# How a run was measured.


def conditions(row: Mapping[str, Any]) -> dict[str, Any]:
    """How a run was measured: groups of [name, words], and the variants, the reference first."""
    return {
        "settings": settings(row),
        "device": device(row.get("device") or {}),
        "time": [
            [str(name), f"{seconds:,.1f} s"]
            for name, seconds in (row["result"].get("seconds") or {}).items()
            if isinstance(seconds, int | float)
        ],
        "versions": [[str(name), str(version)] for name, version in (row.get("versions") or {}).items()],
        "variants": [variant(facts) for facts in row.get("variants") or ()],
        "measured": measured(row),
    }


def measured(row: Mapping[str, Any]) -> list[list[Any]]:
    """When each answer of a comparison was measured, as [label, seconds since the epoch]; older runs did not store it.

    An answer may be older than its run: regenerating one pane keeps the others' answers.
    """
    panes = row["result"].get("panes") or () if row["kind"] == "comparison" else ()
    return [
        [str(pane.get("label") or pane["variant"]), pane["measured_at"]] for pane in panes if pane.get("measured_at")
    ]


def settings(row: Mapping[str, Any]) -> list[list[str]]:
    """The run's settings as [name, words]."""
    pairs = []
    for name, value in (row.get("settings") or {}).items():
        if name == "sampling" and isinstance(value, Mapping):
            pairs.append(["sampling", str(Sampling.from_dict(value))])
        else:
            text = UNSET.get(str(name), "–") if value is None else words(value)
            pairs.append([NAMES.get(str(name), str(name).replace("_", " ")), text])
    if (row.get("settings") or {}).get("tasks") and (
        ignored := unread_settings(with_labels(row.get("variants") or ()))
    ):
        pairs.append([GENERATION, ignored.removeprefix(f"{GENERATION} ")])
    return pairs


def words(value: Any) -> str:
    """One setting's value in words, at most `MAX_WORDS` characters."""
    if value is None or value == "" or value == [] or value == {}:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        text = ", ".join(f"{str(name).replace('_', ' ')} {words(part)}" for name, part in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        text = ", ".join(words(part) for part in value)
    else:
        text = str(value)
    return text if len(text) <= MAX_WORDS else text[:MAX_WORDS] + "…"


def device(facts: Mapping[str, Any]) -> list[list[str]]:
    pairs = []
    for name, value in sorted(facts.items(), key=lambda pair: pair[0] != "name"):
        if value in (None, ""):
            continue
        text = words(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            if "bandwidth" in str(name):
                text = f"{value / 1e9:.3g} GB/s"
            elif "memory" in str(name) or "bytes" in str(name):
                text = megabytes(value)
        pairs.append([DEVICE.get(str(name), str(name).replace("_", " ")), text])
    return pairs


def variant(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table of variants. The hash is complete; the page shortens it."""
    method, scheme, engine = (str(facts.get(key) or "") for key in ("method", "scheme", "engine"))
    return {
        "id": str(facts["id"]),
        "label": str(facts.get("label") or facts["id"]),
        "made": stored.label(method, scheme).strip() if method else scheme,
        "bytes": facts.get("bytes"),
        "bits": facts.get("bits_per_weight"),
        "engine": report.engine_title(engine) if engine else "",
        "dtype": str(facts.get("dtype") or ""),
        "hash": str(facts.get("content_hash") or ""),
    }


# The stored verdict.


def outcomes(row: Mapping[str, Any]) -> dict[str, Any]:
    """The value of the strip with the stored verdict."""
    answers = Compared.from_row(row).answers
    divergences = [answer.forced.short() if answer.forced else None for answer in answers]
    rows = [strip_row(verdict, divergences[int(verdict["pane"])]) for verdict in row["result"].get("verdict") or ()]
    return {"outcomes": rows, "words": WORDS["none"]}
